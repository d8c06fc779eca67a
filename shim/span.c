/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/span.h"

#include "shim/config.h"

#define TEXT_MAX 2048 /* a longer text would crowd out the rest of the record */
#define KEY_MAX 128
#define ROOM_FOR_THE_END 512 /* events leave so much of a record to what is known when the exchange ends */

struct span_limits span_limits = {128, 128, 128, 128, TEXT_MAX, TEXT_MAX};

void span_start(void)
{
	int64_t count = config.span_attr_count_limit >= 0 ? config.span_attr_count_limit : config.attr_count_limit;
	int64_t text = config.span_attr_value_length_limit >= 0 ? config.span_attr_value_length_limit
								 : config.attr_value_length_limit;

	span_limits.attributes = (uint32_t)count;
	span_limits.links = (uint32_t)config.span_link_count_limit;
	span_limits.events = (uint32_t)config.span_event_count_limit;
	span_limits.event_attributes = (uint32_t)config.event_attr_count_limit;
	span_limits.text = text >= 0 ? (size_t)text : SIZE_MAX;
	span_limits.whole = span_limits.text < TEXT_MAX ? span_limits.text : TEXT_MAX;
}

void span_open(struct exchange *e, enum span_kind kind)
{
	record_begin(&e->record, e->record_memory, sizeof(e->record_memory));
	e->record.record->kind = (uint8_t)kind;
	e->n_attributes = 0;
	e->n_links = 0;
	e->n_events = e->events_dropped = 0;
}

size_t span_cut(struct slice text)
{
	size_t characters = 0, i = 0;

	while (i < text.len && characters < span_limits.text) {
		size_t width = 1;

		while (i + width < text.len && (text.p[i + width] & 0xc0) == 0x80)
			width++;
		if (i + width > TEXT_MAX)
			break;
		i += width;
		characters++;
	}
	return i;
}

void span_long_name(struct exchange *e, struct slice a, struct slice b)
{
	size_t n = a.len < SPAN_NAME_PART ? a.len : SPAN_NAME_PART, m = b.len < SPAN_NAME_PART ? b.len : SPAN_NAME_PART;
	uint8_t *at = record_room(&e->record, ITEM_NAME, 0, n + m + (m > 0));

	if (!at)
		return;
	memcpy(at, a.p, n);
	if (m > 0) {
		at[n] = ' ';
		memcpy(at + n + 1, b.p, m);
	}
}

bool span_items(struct exchange *e, const uint8_t *items, size_t len, uint32_t n)
{
	struct record_builder *b = &e->record;

	if (e->n_attributes + n > span_limits.attributes || len > (size_t)(b->end - b->at))
		return false;
	memcpy(b->at, items, len);
	b->at += len;
	e->n_attributes += n;
	return true;
}

void span_named(struct exchange *e, const char *prefix, struct slice key, struct slice value)
{
	char full[KEY_MAX];
	size_t n = strlen(prefix);

	if (!e->recorded || key.len > sizeof(full) - n || !span_may_add(e))
		return;
	memcpy(full, prefix, n);
	for (size_t i = 0; i < key.len; i++)
		full[n + i] = (char)ascii_lower(key.p[i]);
	record_add_named(&e->record, full, n + key.len, (const char *)value.p, span_fit(value));
}

void span_link(struct exchange *e, const struct context *linked)
{
	if (e->recorded && e->n_links < span_limits.links) {
		e->n_links++;
		record_add_link(&e->record, linked);
	}
}

void span_tracestate(struct exchange *e)
{
	if (e->recorded && e->tracestate_len > 0)
		record_add(&e->record, ITEM_TRACESTATE, 0, e->tracestate, e->tracestate_len);
}

/* ---- events ---- */

/* Attributes that a full event still takes. */
struct event_room {
	struct record_builder *b;
	uint32_t left, dropped;
};

static bool event_may_add(struct event_room *room)
{
	if (room->left > 0) {
		room->left--;
		return true;
	}
	room->dropped++;
	return false;
}

static void event_id(struct event_room *room, enum attr key, const uint8_t *id, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	char text[32];

	if (!event_may_add(room))
		return;
	for (size_t i = 0; i < n; i++) {
		text[2 * i] = digits[id[i] >> 4];
		text[2 * i + 1] = digits[id[i] & 15];
	}
	record_add_string(room->b, key, text, 2 * n);
}

/* Where the runtime has frames of its own, those are the stack that the program's author knows. */
static void event_stack(struct event_room *room, const struct unwind_stack *s)
{
	bool has_text = s->text_len > 0;

	if (has_text && event_may_add(room))
		record_add_string(room->b, ATTR_CODE_STACKTRACE, s->text, s->text_len);
	if (s->n > 0 && event_may_add(room))
		record_add_stack(room->b, has_text ? ATTR_INTERSPAN_STACKTRACE_NATIVE : ATTR_CODE_STACKTRACE,
				 s->addresses, s->n);
}

static void event_attributes(struct event_room *room, const struct event_facts *event)
{
	if (event_may_add(room))
		record_add_double(room->b, ATTR_EVENT_LOOP_STALL_DURATION, event->stall_seconds);
	if (event->blocker) {
		event_id(room, ATTR_EVENT_LOOP_BLOCKER_TRACE_ID, event->blocker->trace_id, 16);
		event_id(room, ATTR_EVENT_LOOP_BLOCKER_SPAN_ID, event->blocker->span_id, 8);
	}
	if (event->stack)
		event_stack(room, event->stack);
	if (event->tid && event_may_add(room))
		record_add_int(room->b, ATTR_THREAD_ID, event->tid);
}

/* Where every item of an event fits, none of them is left out half-way: what follows would be taken for the event's. */
static bool event_fits(const struct exchange *e, const struct event_facts *event)
{
	size_t items = 8 * sizeof(struct record_item), texts = strlen(event->name) + 32 + 16;
	size_t numbers = 4 * sizeof(uint64_t);
	size_t stack = event->stack ? event->stack->n * sizeof(uint64_t) + event->stack->text_len : 0;

	return (size_t)(e->record.end - e->record.at) >= items + texts + numbers + stack + ROOM_FOR_THE_END;
}

void span_event(struct exchange *e, const struct event_facts *event)
{
	struct event_room room = {.b = &e->record, .left = span_limits.event_attributes};
	struct event_facts bare = *event;
	size_t name_len = strlen(event->name);
	uint8_t *at;

	if (!e->recorded)
		return;
	bare.stack = NULL;
	if (!event_fits(e, event)) {
		room.dropped = event->stack != NULL;
		event = &bare;
	}
	if (e->n_events >= span_limits.events || !event_fits(e, event)) {
		e->events_dropped++;
		return;
	}
	e->n_events++;
	at = record_room(&e->record, ITEM_EVENT, 0, sizeof(event->ns) + name_len);
	if (!at)
		return;
	memcpy(at, &event->ns, sizeof(event->ns));
	memcpy(at + sizeof(event->ns), event->name, name_len);
	event_attributes(&room, event);
	if (room.dropped > 0)
		record_add_dropped(&e->record, room.dropped);
	record_add(&e->record, ITEM_EVENT_END, 0, NULL, 0);
}

#define TEXT(s) {(const uint8_t *)(s), sizeof(s) - 1}

static const struct slice evidence_texts[EVIDENCE_N] = {
	[EVIDENCE_ROOT] = TEXT("root"),	  [EVIDENCE_REMOTE] = TEXT("remote"),	    [EVIDENCE_STAMP] = TEXT("stamp"),
	[EVIDENCE_RUNTIME] = TEXT("runtime"),	  [EVIDENCE_WORK_ITEM] = TEXT("work_item"), [EVIDENCE_STIMULUS] = TEXT("stimulus"),
	[EVIDENCE_THREAD] = TEXT("thread"),	  [EVIDENCE_OPENER] = TEXT("opener"),	    [EVIDENCE_CONTENT] = TEXT("content"),
	[EVIDENCE_AMBIGUOUS] = TEXT("ambiguous"),
};

void span_parent(struct exchange *e, const struct context *parent, enum evidence evidence)
{
	struct record *r = e->record.record;

	if (!e->recorded)
		return;
	memcpy(r->trace_id, e->context.trace_id, 16);
	memcpy(r->span_id, e->context.span_id, 8);
	r->flags = e->context.flags;
	r->evidence = (uint8_t)evidence;
	if (parent) {
		memcpy(r->parent_id, parent->span_id, 8);
		r->parent_remote = parent->remote;
	}
	if (config.evidence)
		span_string(e, ATTR_INTERSPAN_PARENT_EVIDENCE, evidence_texts[evidence]);
}
