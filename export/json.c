/* SPDX-License-Identifier: Apache-2.0 */
#include "export/json.h"

#include <math.h>
#include <stdio.h>

#define LITERAL(b, text) buffer_put(b, text, sizeof(text) - 1)

static void put_uint(struct buffer *b, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	buffer_put(b, digits + at, sizeof(digits) - at);
}

static void put_int(struct buffer *b, int64_t v)
{
	if (v < 0)
		LITERAL(b, "-");
	put_uint(b, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

static void put_hex(struct buffer *b, const uint8_t *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t *p = buffer_take(b, 2 * n);

	if (!p)
		return;
	for (size_t i = 0; i < n; i++) {
		*p++ = (uint8_t)digits[bytes[i] >> 4];
		*p++ = (uint8_t)digits[bytes[i] & 15];
	}
}

static void put_escape(struct buffer *b, uint8_t c)
{
	char text[7];

	switch (c) {
	case '"':
		LITERAL(b, "\\\"");
		break;
	case '\\':
		LITERAL(b, "\\\\");
		break;
	case '\n':
		LITERAL(b, "\\n");
		break;
	case '\t':
		LITERAL(b, "\\t");
		break;
	default:
		snprintf(text, sizeof(text), "\\u%04x", c);
		buffer_put(b, text, 6);
	}
}

/* RFC 8259 section 7. The text is valid UTF-8 already. */
void json_put_text(struct buffer *b, struct text text)
{
	uint32_t start = 0;

	LITERAL(b, "\"");
	for (uint32_t i = 0; i < text.len; i++) {
		uint8_t c = text.bytes[i];

		if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
			continue;
		buffer_put(b, text.bytes + start, i - start);
		put_escape(b, c);
		start = i + 1;
	}
	buffer_put(b, text.bytes + start, text.len - start);
	LITERAL(b, "\"");
}

static void put_chars(struct buffer *b, const char *text)
{
	json_put_text(b, (struct text){(const uint8_t *)text, (uint32_t)strlen(text)});
}

/* A text that reads back as the same double. The calling thread's locale is "C" (export/plugin.c). */
static void put_double(struct buffer *b, double v)
{
	char text[40];

	if (isnan(v)) {
		LITERAL(b, "\"NaN\"");
		return;
	}
	if (isinf(v)) {
		put_chars(b, v < 0 ? "-Infinity" : "Infinity");
		return;
	}
	snprintf(text, sizeof(text), "%.17g", v);
	buffer_put(b, text, strlen(text));
}

static void put_strings(struct buffer *b, const struct attribute *a, const struct elements *elements)
{
	LITERAL(b, "{\"arrayValue\":{\"values\":[");
	for (uint16_t i = a->strings.first; i; i = elements->list[i].next) {
		if (i != a->strings.first)
			LITERAL(b, ",");
		LITERAL(b, "{\"stringValue\":");
		json_put_text(b, elements->list[i].text);
		LITERAL(b, "}");
	}
	LITERAL(b, "]}}");
}

static void put_value(struct buffer *b, const struct attribute *a, const struct elements *elements)
{
	switch (a->type) {
	case VALUE_STRING:
		LITERAL(b, "{\"stringValue\":");
		json_put_text(b, a->text);
		LITERAL(b, "}");
		break;
	case VALUE_INT:
		LITERAL(b, "{\"intValue\":\"");
		put_int(b, a->integer);
		LITERAL(b, "\"}");
		break;
	case VALUE_BOOL:
		buffer_put(b, a->flag ? "{\"boolValue\":true}" : "{\"boolValue\":false}", a->flag ? 18 : 19);
		break;
	case VALUE_DOUBLE:
		LITERAL(b, "{\"doubleValue\":");
		put_double(b, a->number);
		LITERAL(b, "}");
		break;
	case VALUE_STRINGS:
		put_strings(b, a, elements);
		break;
	}
}

static void put_attributes(struct buffer *b, const struct attribute *list, uint32_t n, const struct elements *elements)
{
	LITERAL(b, "[");
	for (uint32_t i = 0; i < n; i++) {
		if (i)
			LITERAL(b, ",");
		LITERAL(b, "{\"key\":");
		json_put_text(b, list[i].key);
		LITERAL(b, ",\"value\":");
		put_value(b, &list[i], elements);
		LITERAL(b, "}");
	}
	LITERAL(b, "]");
}

/* ,"name":count, where there is something to count. */
static void put_count(struct buffer *b, const char *name, uint32_t count)
{
	if (!count)
		return;
	LITERAL(b, ",");
	put_chars(b, name);
	LITERAL(b, ":");
	put_uint(b, count);
}

static void put_events(struct buffer *b, const struct span *span)
{
	LITERAL(b, ",\"events\":[");
	for (uint32_t i = 0; i < span->n_events; i++) {
		const struct span_event *event = &span->events[i];

		if (i)
			LITERAL(b, ",");
		LITERAL(b, "{\"timeUnixNano\":\"");
		put_uint(b, event->unix_ns);
		LITERAL(b, "\",\"name\":");
		json_put_text(b, event->name);
		if (event->n) {
			LITERAL(b, ",\"attributes\":");
			put_attributes(b, span->event_attributes + event->first, event->n, &span->elements);
		}
		put_count(b, "droppedAttributesCount", event->dropped);
		LITERAL(b, "}");
	}
	LITERAL(b, "]");
}

static void put_links(struct buffer *b, const struct span *span)
{
	LITERAL(b, ",\"links\":[");
	for (uint32_t i = 0; i < span->n_links; i++) {
		const struct span_link *link = &span->links[i];

		if (i)
			LITERAL(b, ",");
		LITERAL(b, "{\"traceId\":\"");
		put_hex(b, link->trace_id, sizeof(link->trace_id));
		LITERAL(b, "\",\"spanId\":\"");
		put_hex(b, link->span_id, sizeof(link->span_id));
		LITERAL(b, "\",\"flags\":");
		put_uint(b, link->flags);
		LITERAL(b, "}");
	}
	LITERAL(b, "]");
}

static void put_status(struct buffer *b, const struct span *span)
{
	if (span->status == STATUS_UNSET)
		return;
	LITERAL(b, ",\"status\":{");
	if (span->status_text.len) {
		LITERAL(b, "\"message\":");
		json_put_text(b, span->status_text);
		LITERAL(b, ",");
	}
	LITERAL(b, "\"code\":");
	put_uint(b, span->status);
	LITERAL(b, "}");
}

static void put_identity(struct buffer *b, const struct span *span)
{
	LITERAL(b, "{\"traceId\":\"");
	put_hex(b, span->trace_id, 16);
	LITERAL(b, "\",\"spanId\":\"");
	put_hex(b, span->span_id, 8);
	if (span->parent_id) {
		LITERAL(b, "\",\"parentSpanId\":\"");
		put_hex(b, span->parent_id, 8);
	}
	LITERAL(b, "\",\"flags\":");
	put_uint(b, span->flags);
	if (span->tracestate.len) {
		LITERAL(b, ",\"traceState\":");
		json_put_text(b, span->tracestate);
	}
}

void json_add(struct buffer *b, struct json_state *state, const struct span *span)
{
	if (!state->first_span)
		LITERAL(b, ",");
	state->first_span = false;
	put_identity(b, span);
	LITERAL(b, ",\"name\":");
	json_put_text(b, span->name);
	LITERAL(b, ",\"kind\":");
	put_uint(b, span->kind);
	LITERAL(b, ",\"startTimeUnixNano\":\"");
	put_uint(b, span->start_unix_ns);
	LITERAL(b, "\",\"endTimeUnixNano\":\"");
	put_uint(b, span->end_unix_ns);
	LITERAL(b, "\"");
	if (span->attributes.n) {
		LITERAL(b, ",\"attributes\":");
		put_attributes(b, span->attributes.list, span->attributes.n, &span->elements);
	}
	put_count(b, "droppedAttributesCount", span->attributes.dropped);
	if (span->n_events)
		put_events(b, span);
	put_count(b, "droppedEventsCount", span->dropped_events);
	if (span->n_links)
		put_links(b, span);
	put_count(b, "droppedLinksCount", span->dropped_links);
	put_status(b, span);
	LITERAL(b, "}");
}

static void put_schema(struct buffer *b, const struct otlp_scope *scope)
{
	if (!scope->schema_url[0])
		return;
	LITERAL(b, ",\"schemaUrl\":");
	put_chars(b, scope->schema_url);
}

void json_begin(struct buffer *b, struct json_state *state, const struct otlp_scope *scope)
{
	*state = (struct json_state){.first_group = true, .scope = scope};
	LITERAL(b, "{\"resourceSpans\":[");
}

void json_group_begin(struct buffer *b, struct json_state *state, const struct resource *resource)
{
	if (!state->first_group)
		LITERAL(b, ",");
	state->first_group = false;
	state->first_span = true;
	LITERAL(b, "{\"resource\":{\"attributes\":");
	put_attributes(b, resource->attributes.list, resource->attributes.n, &resource->elements);
	LITERAL(b, "},\"scopeSpans\":[{\"scope\":{\"name\":");
	put_chars(b, state->scope->name);
	LITERAL(b, ",\"version\":");
	put_chars(b, state->scope->version);
	LITERAL(b, "},\"spans\":[");
}

void json_group_end(struct buffer *b, struct json_state *state)
{
	LITERAL(b, "]");
	put_schema(b, state->scope);
	LITERAL(b, "}]");
	put_schema(b, state->scope);
	LITERAL(b, "}");
}

void json_end(struct buffer *b)
{
	LITERAL(b, "]}\n");
}
