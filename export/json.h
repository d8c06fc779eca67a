/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "export/buffer.h"
#include "export/otlp.h"

/*
 * OTLP JSON (opentelemetry-specification, protocol/otlp, "JSON Protobuf Encoding"): lowerCamelCase keys, ids in hex,
 * enums as numbers, 64-bit integers as decimal strings. One document is one TracesData on one line.
 * Context: one thread; memory comes from the buffer only.
 */

/* A document is: begin, then for each resource group_begin, json_add..., group_end; then end, with the newline. */
struct json_state {
	bool first_group;
	bool first_span;
	const struct otlp_scope *scope;
};

void json_begin(struct buffer *b, struct json_state *state, const struct otlp_scope *scope);
void json_group_begin(struct buffer *b, struct json_state *state, const struct resource *resource);
void json_add(struct buffer *b, struct json_state *state, const struct span *span);
void json_group_end(struct buffer *b, struct json_state *state);
void json_end(struct buffer *b);
/* A JSON string. The text must be UTF-8. */
void json_put_text(struct buffer *b, struct text text);
