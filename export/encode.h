/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "export/consumer.h"
#include "export/json.h"
#include "shim/config.h"

/*
 * A batch of records becomes one request body: grouped by the process that wrote them (one ResourceSpans each), in
 * protobuf or in JSON. Context: one thread.
 */

enum encoding { ENCODING_PROTOBUF, ENCODING_JSON };

/* Working memory, about 500 KiB; keep one and use it again. */
struct encoder {
	enum encoding encoding;
	bool evidence; /* spans get interspan.parent.evidence */
	int64_t text_limit; /* characters of a stack; negative: no limit */
	struct symbols symbols;
	uint64_t boot_unix_s;
	struct otlp_scope scope;
	struct span span;
	struct resource resource;
	_Alignas(8) uint8_t shared[SEGMENT_RESOURCE_BYTES];
};

/* Fill encoder->resource for the process that made the segment. */
void encoder_read_creator(struct encoder *encoder, const struct consumer *consumer);

void encoder_begin(struct encoder *encoder, enum encoding encoding, const struct config *settings);

/*
 * Append the batch to out. Returns the spans written; *ret_invalid is the records that cannot be spans. out->full
 * says that the whole did not fit.
 */
uint32_t encode_batch(struct encoder *encoder, const struct consumer *consumer, const struct consumer_batch *batch,
		      struct buffer *out, uint32_t *ret_invalid);
