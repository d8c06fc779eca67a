/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/exchange.h"
#include "shim/protocols/bytes.h"
#include "shim/unwind.h"

struct span_limits {
	uint32_t attributes, links, events, event_attributes;
	size_t text;  /* characters */
	size_t whole; /* bytes: a text of so many needs no cutting */
};
extern struct span_limits span_limits; /* written by span_start() only */

/*
 * Attributes on the span of a recorded exchange (and of none else), within the limits of the OTEL_SPAN_* and OTEL_ATTRIBUTE_* settings: what is over the
 * count is dropped and counted, what is too long is cut on a code point.
 */
void span_start(void); /* read the limits from config */
void span_open(struct exchange *e, enum span_kind kind);
static inline void span_name(struct exchange *e, struct slice a, struct slice b); /* "a b", or "a" */
static inline void span_string(struct exchange *e, enum attr key, struct slice value); /* .p NULL: nothing */
static inline void span_int(struct exchange *e, enum attr key, int64_t value);
/* n attributes that were built before, len bytes of items. False, and nothing added: some of them would have to be left out. */
bool span_items(struct exchange *e, const uint8_t *items, size_t len, uint32_t n);
void span_named(struct exchange *e, const char *prefix, struct slice key, struct slice value);
void span_link(struct exchange *e, const struct context *linked);
void span_tracestate(struct exchange *e);

/* What an event carries. Borrowed for the call. Of OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT attributes, the first stay. */
struct event_facts {
	const char *name;
	uint64_t ns;                /* CLOCK_MONOTONIC */
	double stall_seconds;       /* event_loop.stall.duration */
	const struct context *blocker; /* event_loop.blocker.*; NULL: none */
	uint32_t tid;               /* thread.id; 0: none */
	const struct unwind_stack *stack; /* code.stacktrace; NULL: none */
};
/*
 * An event on the span, whole, or without its stack, or not at all: one that is over OTEL_SPAN_EVENT_COUNT_LIMIT, or does not fit, is
 * counted as dropped.
 */
void span_event(struct exchange *e, const struct event_facts *event);
/* Parent, evidence and flags, from e->context, and parent (NULL: a root). */
void span_parent(struct exchange *e, const struct context *parent, enum evidence evidence);

/* ---- inline: some fifteen of these make a span ---- */

/* The length of what is left of a text that is too long. */
size_t span_cut(struct slice text);

static inline size_t span_fit(struct slice text)
{
	return __builtin_expect(text.len <= span_limits.whole, 1) ? text.len : span_cut(text);
}

static inline bool span_may_add(struct exchange *e)
{
	if (__builtin_expect(e->n_attributes < span_limits.attributes, 1)) {
		e->n_attributes++;
		return true;
	}
	record_leave_out(&e->record);
	return false;
}

static inline void span_string(struct exchange *e, enum attr key, struct slice value)
{
	if (!value.p || !span_may_add(e))
		return;

	size_t len = span_fit(value);
	uint8_t *at = record_room(&e->record, ITEM_STRING, key, len);

	if (at)
		memcpy(at, value.p, len);
}

static inline void span_int(struct exchange *e, enum attr key, int64_t value)
{
	uint8_t *at = span_may_add(e) ? record_room(&e->record, ITEM_INT, key, sizeof(value)) : NULL;

	if (at)
		memcpy(at, &value, sizeof(value));
}

#define SPAN_NAME_PART 128

void span_long_name(struct exchange *e, struct slice a, struct slice b);

static inline void span_name(struct exchange *e, struct slice a, struct slice b)
{
	uint8_t *at;

	if (b.len > 0 || a.len > SPAN_NAME_PART) {
		span_long_name(e, a, b);
		return;
	}
	at = record_room(&e->record, ITEM_NAME, 0, a.len);
	if (at)
		memcpy(at, a.p, a.len);
}
