/* SPDX-License-Identifier: Apache-2.0 */
#include "export/span.h"

#include <string.h>

/* OTLP Span.flags and Link.flags: bits 0-7 are the W3C trace flags. */
#define OTLP_FLAG_HAS_IS_REMOTE 0x100u
#define OTLP_FLAG_IS_REMOTE 0x200u
#define W3C_FLAGS (TRACE_FLAG_SAMPLED | TRACE_FLAG_RANDOM)

/* The value of interspan.parent.evidence. */
static const char *evidence_name(uint8_t evidence)
{
	static const char *const names[EVIDENCE_N] = {
	    [EVIDENCE_ROOT] = "root",           [EVIDENCE_REMOTE] = "remote",     [EVIDENCE_STAMP] = "stamp",
	    [EVIDENCE_RUNTIME] = "runtime",     [EVIDENCE_WORK_ITEM] = "work_item", [EVIDENCE_STIMULUS] = "stimulus",
	    [EVIDENCE_THREAD] = "thread",       [EVIDENCE_OPENER] = "opener",     [EVIDENCE_CONTENT] = "content",
	    [EVIDENCE_AMBIGUOUS] = "ambiguous",
	};

	return names[evidence];
}

static bool is_zero(const uint8_t *id, size_t len)
{
	uint8_t bits = 0;

	for (size_t i = 0; i < len; i++)
		bits |= id[i];
	return bits == 0;
}

static uint32_t otlp_flags(uint8_t w3c, bool remote)
{
	return (w3c & W3C_FLAGS) | OTLP_FLAG_HAS_IS_REMOTE | (remote ? OTLP_FLAG_IS_REMOTE : 0);
}

static void add_link(struct span *span, const uint8_t *payload)
{
	struct span_link *link = &span->links[span->n_links];
	struct record_link in;

	memcpy(&in, payload, sizeof(in));
	if (span->n_links == SPAN_MAX_LINKS || is_zero(in.trace_id, sizeof(in.trace_id)) ||
	    is_zero(in.span_id, sizeof(in.span_id))) {
		span->dropped_links++;
		return;
	}
	memcpy(link->trace_id, in.trace_id, sizeof(link->trace_id));
	memcpy(link->span_id, in.span_id, sizeof(link->span_id));
	link->flags = otlp_flags(in.flags, in.remote != 0);
	span->n_links++;
}

/* Events are read one after the other, and an event's attributes are the items up to the next event or the end. */
struct event_reader {
	struct attributes set;
	struct span_event *event; /* NULL: items belong to the span */
	bool skip;                /* they belong to an event that was dropped */
	uint32_t used;            /* of event_attributes */
};

static void event_close(struct event_reader *reader)
{
	if (reader->event) {
		reader->event->n = reader->set.n;
		reader->event->dropped = reader->set.dropped;
		reader->used += reader->set.n;
	}
	reader->event = NULL;
	reader->skip = false;
}

/* What the writer left out because of a limit. */
static void add_dropped(struct event_reader *reader, struct span *span, const uint8_t *payload)
{
	uint32_t n;

	memcpy(&n, payload, sizeof(n));
	if (reader->event)
		reader->set.dropped += n;
	else if (!reader->skip)
		span->dropped_events += n;
}

static void event_open(struct event_reader *reader, struct span *span, const uint8_t *payload, uint32_t len,
		       int64_t offset)
{
	uint64_t ns;

	event_close(reader);
	if (len == sizeof(ns) || span->n_events == SPAN_MAX_EVENTS) {
		span->dropped_events++;
		reader->skip = true;
		return;
	}
	memcpy(&ns, payload, sizeof(ns));
	reader->event = &span->events[span->n_events++];
	reader->event->unix_ns = ns + (uint64_t)offset;
	reader->event->name = text_clean(&span->texts, payload + sizeof(ns), len - sizeof(ns));
	reader->event->first = reader->used;
	attributes_begin(&reader->set, span->event_attributes + reader->used, ATTRIBUTES_MAX - reader->used);
	reader->set.named_are_arrays = true;
	reader->set.texts = &span->texts;
	reader->set.elements = &span->elements;
}

/* A stack becomes text here: the program's threads, and whoever wrote the record, know addresses only. */
static void add_stack(struct span *span, struct attributes *set, const struct record_item *item, const uint8_t *payload,
		      const struct span_options *options)
{
	uint64_t addresses[RECORD_STACK_MAX];
	size_t room = sizeof(span->stacks) - span->stack_used, len;
	char *text = span->stacks + span->stack_used;
	struct record_item as_text = {.type = ITEM_STRING, .key = item->key};

	memcpy(addresses, payload, item->len);
	if (options->text_limit >= 0 && (uint64_t)options->text_limit < room)
		room = (size_t)options->text_limit;
	len = symbols_text(options->symbols, addresses, item->len / sizeof(addresses[0]), text, room);
	span->stack_used += (uint32_t)len;
	as_text.len = (uint16_t)len;
	attributes_add_item(set, &as_text, (const uint8_t *)text);
}

static void read_items(struct span *span, const struct record *record, const struct span_options *options)
{
	struct event_reader reader;
	struct record_item item;
	const uint8_t *payload;
	uint32_t cursor = 0;

	reader.event = NULL;
	reader.skip = false;
	reader.used = 0;
	while (record_next(record, &cursor, &item, &payload)) {
		switch (item.type) {
		case ITEM_NAME:
			span->name = text_clean(&span->texts, payload, item.len);
			break;
		case ITEM_TRACESTATE:
			span->tracestate = text_clean(&span->texts, payload, item.len);
			break;
		case ITEM_STATUS_TEXT:
			span->status_text = text_clean(&span->texts, payload, item.len);
			break;
		case ITEM_LINK:
			add_link(span, payload);
			break;
		case ITEM_EVENT:
			event_open(&reader, span, payload, item.len, options->unix_offset_ns);
			break;
		case ITEM_EVENT_END:
			event_close(&reader);
			break;
		case ITEM_STACK:
			if (!reader.skip)
				add_stack(span, reader.event ? &reader.set : &span->attributes, &item, payload, options);
			break;
		case ITEM_DROPPED:
			add_dropped(&reader, span, payload);
			break;
		default:
			if (!reader.skip)
				attributes_add_item(reader.event ? &reader.set : &span->attributes, &item, payload);
		}
	}
	event_close(&reader);
}

static void begin(struct span *span)
{
	span->tracestate = span->name = span->status_text = (struct text){(const uint8_t *)"", 0};
	span->n_events = span->n_links = span->dropped_events = span->dropped_links = 0;
	span->elements.n = 0;
	span->texts.used = 0;
	span->stack_used = 0;
	attributes_begin(&span->attributes, span->attribute_room, ATTRIBUTES_MAX);
	span->attributes.named_are_arrays = true;
	span->attributes.texts = &span->texts;
	span->attributes.elements = &span->elements;
}

bool span_read(struct span *ret, const struct record *record, const struct span_options *options)
{
	bool root = is_zero(record->parent_id, sizeof(record->parent_id));

	if (is_zero(record->trace_id, sizeof(record->trace_id)) || is_zero(record->span_id, sizeof(record->span_id)))
		return false;
	begin(ret);
	ret->trace_id = record->trace_id;
	ret->span_id = record->span_id;
	ret->parent_id = root ? NULL : record->parent_id;
	ret->start_unix_ns = record->start_ns + (uint64_t)options->unix_offset_ns;
	ret->end_unix_ns = record->end_ns + (uint64_t)options->unix_offset_ns;
	if (ret->end_unix_ns < ret->start_unix_ns)
		ret->end_unix_ns = ret->start_unix_ns;
	ret->kind = record->kind;
	ret->status = record->status;
	ret->flags = otlp_flags(record->flags, !root && record->parent_remote);
	read_items(ret, record, options);
	ret->attributes.dropped += record->dropped_attrs;
	if (ret->name.len == 0)
		ret->name = (struct text){(const uint8_t *)"unknown", 7};
	if (ret->status != STATUS_ERROR)
		ret->status_text.len = 0;
	if (options->evidence)
		attributes_set_string(&ret->attributes, ATTR_INTERSPAN_PARENT_EVIDENCE,
				      evidence_name(record->evidence));
	return true;
}
