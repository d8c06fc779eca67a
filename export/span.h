/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "export/attributes.h"
#include "export/symbols.h"

/*
 * One finished span, read out of a record and made fit for OTLP: both encodings (protobuf, JSON) are written from
 * this. Pointers go into the record and into this object.
 */

#define SPAN_MAX_EVENTS 128
#define SPAN_MAX_LINKS 128
#define SPAN_STACK_BYTES 32768 /* of all its stacks as text; what is over is cut, whole lines at a time */

struct span_event {
	uint64_t unix_ns;
	struct text name;
	uint32_t first; /* its attributes: event_attributes[first], n of them */
	uint32_t n;
	uint32_t dropped;
};

struct span_link {
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint32_t flags;
};

struct span {
	const uint8_t *trace_id;
	const uint8_t *span_id;
	const uint8_t *parent_id; /* NULL: a root */
	struct text tracestate;
	struct text name;
	struct text status_text;
	uint64_t start_unix_ns;
	uint64_t end_unix_ns;
	uint32_t kind; /* OTLP's numbers are the record's */
	uint32_t status;
	uint32_t flags;
	struct attributes attributes;
	uint32_t n_events;
	uint32_t dropped_events;
	uint32_t n_links;
	uint32_t dropped_links;
	struct span_event events[SPAN_MAX_EVENTS];
	struct span_link links[SPAN_MAX_LINKS];
	struct attribute attribute_room[ATTRIBUTES_MAX];
	struct attribute event_attributes[ATTRIBUTES_MAX];
	struct elements elements;
	struct texts texts;
	uint32_t stack_used;
	char stacks[SPAN_STACK_BYTES]; /* the texts of its stacks */
};

struct span_options {
	int64_t unix_offset_ns; /* added to the record's times */
	bool evidence;          /* add interspan.parent.evidence */
	struct symbols *symbols; /* what addresses in stacks mean; NULL: they stay numbers */
	int64_t text_limit;     /* characters of a stack; negative: no limit */
};

/*
 * Read a record that record_valid() has accepted and that nobody else can write to. Returns false when it cannot be a
 * span (an id is all zeros): receivers refuse a whole batch for one of those.
 */
bool span_read(struct span *ret, const struct record *record, const struct span_options *options);
