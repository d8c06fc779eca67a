/* SPDX-License-Identifier: Apache-2.0 */
#include "export/otlp.h"

/* Field numbers, as in export/otlp.proto. */
enum { REQUEST_RESOURCE_SPANS = 1 };
enum { RESOURCE_SPANS_RESOURCE = 1, RESOURCE_SPANS_SCOPE_SPANS, RESOURCE_SPANS_SCHEMA_URL };
enum { RESOURCE_ATTRIBUTES = 1 };
enum { SCOPE_SPANS_SCOPE = 1, SCOPE_SPANS_SPANS, SCOPE_SPANS_SCHEMA_URL };
enum { SCOPE_NAME = 1, SCOPE_VERSION };
enum { KEY_VALUE_KEY = 1, KEY_VALUE_VALUE };
enum { VALUE_STRING_FIELD = 1, VALUE_BOOL_FIELD, VALUE_INT_FIELD, VALUE_DOUBLE_FIELD, VALUE_ARRAY_FIELD };
enum { ARRAY_VALUES = 1 };
enum { STATUS_MESSAGE = 2, STATUS_CODE };
enum { EVENT_TIME = 1, EVENT_NAME, EVENT_ATTRIBUTES, EVENT_DROPPED };
enum { LINK_TRACE_ID = 1, LINK_SPAN_ID, LINK_FLAGS = 6 };
enum {
	SPAN_TRACE_ID = 1,
	SPAN_SPAN_ID,
	SPAN_TRACE_STATE,
	SPAN_PARENT_SPAN_ID,
	SPAN_NAME,
	SPAN_KIND,
	SPAN_START,
	SPAN_END,
	SPAN_ATTRIBUTES,
	SPAN_DROPPED_ATTRIBUTES,
	SPAN_EVENTS,
	SPAN_DROPPED_EVENTS,
	SPAN_LINKS,
	SPAN_DROPPED_LINKS,
	SPAN_STATUS,
	SPAN_FLAGS,
};

static void put_text(struct buffer *b, unsigned field, struct text text)
{
	if (text.len)
		pb_put_bytes(b, field, text.bytes, text.len);
}

static void put_chars(struct buffer *b, unsigned field, const char *text)
{
	put_text(b, field, (struct text){(const uint8_t *)text, (uint32_t)strlen(text)});
}

static void put_count(struct buffer *b, unsigned field, uint32_t count)
{
	if (count)
		pb_put_uint(b, field, count);
}

/* Bytes of a field with a length before it, its one-byte key included. */
static size_t sized(size_t len)
{
	return 1 + pb_varint_size(len) + len;
}

/* An ArrayValue's bytes: each element is an AnyValue with a string. */
static size_t array_size(const struct attribute *a, const struct elements *elements)
{
	size_t size = 0;

	for (uint16_t i = a->strings.first; i; i = elements->list[i].next)
		size += sized(sized(elements->list[i].text.len));
	return size;
}

/* An AnyValue's bytes. A zero is written too: in a oneof it is a value. */
static size_t value_size(const struct attribute *a, size_t array)
{
	switch (a->type) {
	case VALUE_STRING:
		return sized(a->text.len);
	case VALUE_INT:
		return 1 + pb_varint_size((uint64_t)a->integer);
	case VALUE_BOOL:
		return 2;
	case VALUE_DOUBLE:
		return 9;
	case VALUE_STRINGS:
		return sized(array);
	}
	return 0;
}

static uint8_t *store_length(uint8_t *p, unsigned field, size_t len)
{
	*p++ = (uint8_t)pb_key(field, PB_LEN);
	return pb_store_varint(p, len);
}

static uint8_t *store_text(uint8_t *p, unsigned field, struct text text)
{
	p = store_length(p, field, text.len);
	memcpy(p, text.bytes, text.len);
	return p + text.len;
}

static uint8_t *store_array(uint8_t *p, const struct attribute *a, const struct elements *elements)
{
	for (uint16_t i = a->strings.first; i; i = elements->list[i].next) {
		p = store_length(p, ARRAY_VALUES, sized(elements->list[i].text.len));
		p = store_text(p, VALUE_STRING_FIELD, elements->list[i].text);
	}
	return p;
}

static void store_value(uint8_t *p, const struct attribute *a, const struct elements *elements, size_t array)
{
	switch (a->type) {
	case VALUE_STRING:
		store_text(p, VALUE_STRING_FIELD, a->text);
		break;
	case VALUE_INT:
		*p++ = (uint8_t)pb_key(VALUE_INT_FIELD, PB_VARINT);
		pb_store_varint(p, (uint64_t)a->integer);
		break;
	case VALUE_BOOL:
		*p++ = (uint8_t)pb_key(VALUE_BOOL_FIELD, PB_VARINT);
		*p = a->flag;
		break;
	case VALUE_DOUBLE:
		*p++ = (uint8_t)pb_key(VALUE_DOUBLE_FIELD, PB_FIXED64);
		memcpy(p, &a->number, sizeof(a->number));
		break;
	case VALUE_STRINGS:
		store_array(store_length(p, VALUE_ARRAY_FIELD, array), a, elements);
		break;
	}
}

/* Sizes first, then one reservation and plain stores: this is where the exporter spends its time. */
static void put_attribute(struct buffer *b, unsigned field, const struct attribute *a, const struct elements *elements)
{
	size_t array = a->type == VALUE_STRINGS ? array_size(a, elements) : 0;
	size_t value = value_size(a, array);
	size_t size = sized(a->key.len) + sized(value);
	uint8_t *p = buffer_take(b, sized(size));

	if (!p)
		return;
	p = store_length(p, field, size);
	p = store_text(p, KEY_VALUE_KEY, a->key);
	p = store_length(p, KEY_VALUE_VALUE, value);
	store_value(p, a, elements, array);
}

static void put_event(struct buffer *b, const struct span *span, const struct span_event *event)
{
	struct pb_mark mark = pb_begin(b, SPAN_EVENTS, 1);

	pb_put_fixed64(b, EVENT_TIME, event->unix_ns);
	put_text(b, EVENT_NAME, event->name);
	for (uint32_t i = 0; i < event->n; i++)
		put_attribute(b, EVENT_ATTRIBUTES, &span->event_attributes[event->first + i], &span->elements);
	put_count(b, EVENT_DROPPED, event->dropped);
	pb_end(b, mark);
}

static void put_link(struct buffer *b, const struct span_link *link)
{
	struct pb_mark mark = pb_begin(b, SPAN_LINKS, 1);

	pb_put_bytes(b, LINK_TRACE_ID, link->trace_id, sizeof(link->trace_id));
	pb_put_bytes(b, LINK_SPAN_ID, link->span_id, sizeof(link->span_id));
	pb_put_fixed32(b, LINK_FLAGS, link->flags);
	pb_end(b, mark);
}

static void put_status(struct buffer *b, const struct span *span)
{
	struct pb_mark mark;

	if (span->status == STATUS_UNSET)
		return;
	mark = pb_begin(b, SPAN_STATUS, 1);
	put_text(b, STATUS_MESSAGE, span->status_text);
	pb_put_uint(b, STATUS_CODE, span->status);
	pb_end(b, mark);
}

void otlp_add(struct buffer *b, const struct span *span)
{
	struct pb_mark mark = pb_begin(b, SCOPE_SPANS_SPANS, 2);

	pb_put_bytes(b, SPAN_TRACE_ID, span->trace_id, 16);
	pb_put_bytes(b, SPAN_SPAN_ID, span->span_id, 8);
	put_text(b, SPAN_TRACE_STATE, span->tracestate);
	if (span->parent_id)
		pb_put_bytes(b, SPAN_PARENT_SPAN_ID, span->parent_id, 8);
	put_text(b, SPAN_NAME, span->name);
	pb_put_uint(b, SPAN_KIND, span->kind);
	pb_put_fixed64(b, SPAN_START, span->start_unix_ns);
	pb_put_fixed64(b, SPAN_END, span->end_unix_ns);
	for (uint32_t i = 0; i < span->attributes.n; i++)
		put_attribute(b, SPAN_ATTRIBUTES, &span->attributes.list[i], &span->elements);
	put_count(b, SPAN_DROPPED_ATTRIBUTES, span->attributes.dropped);
	for (uint32_t i = 0; i < span->n_events; i++)
		put_event(b, span, &span->events[i]);
	put_count(b, SPAN_DROPPED_EVENTS, span->dropped_events);
	for (uint32_t i = 0; i < span->n_links; i++)
		put_link(b, &span->links[i]);
	put_count(b, SPAN_DROPPED_LINKS, span->dropped_links);
	put_status(b, span);
	pb_put_fixed32(b, SPAN_FLAGS, span->flags);
	pb_end(b, mark);
}

void otlp_put_resource(struct buffer *b, unsigned field, const struct resource *resource)
{
	struct pb_mark mark = pb_begin(b, field, 2);

	for (uint32_t i = 0; i < resource->attributes.n; i++)
		put_attribute(b, RESOURCE_ATTRIBUTES, &resource->attributes.list[i], &resource->elements);
	pb_end(b, mark);
}

void otlp_put_scope(struct buffer *b, unsigned field, const struct otlp_scope *scope)
{
	struct pb_mark mark = pb_begin(b, field, 1);

	put_chars(b, SCOPE_NAME, scope->name);
	put_chars(b, SCOPE_VERSION, scope->version);
	pb_end(b, mark);
}

struct otlp_group otlp_begin(struct buffer *b, const struct resource *resource, const struct otlp_scope *scope)
{
	struct otlp_group group = {.scope = scope};

	group.resource_spans = pb_begin(b, REQUEST_RESOURCE_SPANS, 3);
	otlp_put_resource(b, RESOURCE_SPANS_RESOURCE, resource);
	group.scope_spans = pb_begin(b, RESOURCE_SPANS_SCOPE_SPANS, 3);
	otlp_put_scope(b, SCOPE_SPANS_SCOPE, scope);
	return group;
}

void otlp_end(struct buffer *b, struct otlp_group group)
{
	put_chars(b, SCOPE_SPANS_SCHEMA_URL, group.scope->schema_url);
	pb_end(b, group.scope_spans);
	put_chars(b, RESOURCE_SPANS_SCHEMA_URL, group.scope->schema_url);
	pb_end(b, group.resource_spans);
}
