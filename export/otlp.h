/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "export/pb.h"
#include "export/resource.h"
#include "export/span.h"

/*
 * OTLP protobuf: spans as an ExportTraceServiceRequest. Field numbers and order are those of export/otlp.proto;
 * tests decode the result with the code generated from it.
 * Context: one thread; memory comes from the buffer only.
 */

#define OTLP_SCHEMA_URL "https://opentelemetry.io/schemas/1.44.0"

/* Who made the spans. An empty schema_url is left out. */
struct otlp_scope {
	const char *name;
	const char *version;
	const char *schema_url;
};

/* A request is a sequence of these: the spans of one resource, of one scope. */
struct otlp_group {
	const struct otlp_scope *scope;
	struct pb_mark resource_spans;
	struct pb_mark scope_spans;
};

struct otlp_group otlp_begin(struct buffer *b, const struct resource *resource, const struct otlp_scope *scope);
void otlp_add(struct buffer *b, const struct span *span);
void otlp_end(struct buffer *b, struct otlp_group group);

/* A Resource and an InstrumentationScope as fields of these numbers. */
void otlp_put_resource(struct buffer *b, unsigned field, const struct resource *resource);
void otlp_put_scope(struct buffer *b, unsigned field, const struct otlp_scope *scope);

/* What a receiver said about a request. */
struct otlp_answer {
	uint64_t rejected;  /* spans (or data points) of a partial success that it did not take */
	char message[256];  /* its reason, printable ASCII; "" = none */
};

enum otlp_answer_form {
	OTLP_ANSWER_SUCCESS, /* Export*ServiceResponse */
	OTLP_ANSWER_FAILURE, /* google.rpc.Status */
	OTLP_ANSWER_TEXT,
};

/* Read an answer's body. One that does not decode says nothing. */
void otlp_read_answer(struct otlp_answer *ret, const uint8_t *body, size_t len, enum otlp_answer_form form);
