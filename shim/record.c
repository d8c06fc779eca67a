/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/record.h"

#include <string.h>

static uint8_t *record_items(struct record *r)
{
	return (uint8_t *)(r + 1);
}

bool items_append(uint8_t *items, uint32_t cap, uint32_t *len, struct record_item item, const void *part1, size_t len1,
		  const void *part2, size_t len2)
{
	uint8_t *at = items + *len;
	size_t payload;

	if (len1 > UINT16_MAX || len2 > UINT16_MAX)
		return false;
	payload = len1 + len2;
	if (payload > UINT16_MAX || cap - *len < sizeof(item) + payload)
		return false;
	item.len = (uint16_t)payload;
	memcpy(at, &item, sizeof(item));
	if (len1 != 0)
		memcpy(at + sizeof(item), part1, len1);
	if (len2 != 0)
		memcpy(at + sizeof(item) + len1, part2, len2);
	*len += (uint32_t)(sizeof(item) + payload);
	return true;
}

/* Does this item's payload have the shape that its type demands? */
static bool item_valid(const struct record_item *item, const uint8_t *payload)
{
	switch (item->type) {
	case ITEM_NAME:
	case ITEM_TRACESTATE:
	case ITEM_STATUS_TEXT:
		return true;
	case ITEM_LINK:
		return item->len == sizeof(struct record_link);
	case ITEM_EVENT:
		return item->len >= sizeof(uint64_t);
	case ITEM_EVENT_END:
		return item->len == 0;
	case ITEM_STRING:
		return item->key < ATTR_N;
	case ITEM_INT:
	case ITEM_DOUBLE:
		return item->key < ATTR_N && item->len == 8;
	case ITEM_BOOL:
		return item->key < ATTR_N && item->len == 1;
	case ITEM_STACK:
		return item->key < ATTR_N && item->len > 0 && item->len % sizeof(uint64_t) == 0 &&
		       item->len <= RECORD_STACK_MAX * sizeof(uint64_t);
	case ITEM_DROPPED:
		return item->len == sizeof(uint32_t);
	case ITEM_NAMED:
		return item->len >= 2 && payload[0] != 0 && payload[0] < item->len;
	default:
		return false;
	}
}

bool items_next(const uint8_t *items, uint32_t len, uint32_t *cursor, struct record_item *ret_item,
		const uint8_t **ret_payload)
{
	if (*cursor > len || len - *cursor < sizeof(*ret_item))
		return false;
	memcpy(ret_item, items + *cursor, sizeof(*ret_item));
	if (len - *cursor - sizeof(*ret_item) < ret_item->len)
		return false;
	*ret_payload = items + *cursor + sizeof(*ret_item);
	*cursor += (uint32_t)sizeof(*ret_item) + ret_item->len;
	return true;
}

bool items_valid(const uint8_t *items, uint32_t len)
{
	struct record_item item;
	const uint8_t *payload;
	uint32_t cursor = 0;

	while (items_next(items, len, &cursor, &item, &payload))
		if (!item_valid(&item, payload))
			return false;
	return cursor == len;
}

void record_begin(struct record_builder *b, void *memory, uint32_t cap)
{
	/* The size is a multiple of 8: what cap has beyond one cannot be used. */
	cap = (cap > RECORD_MAX_BYTES ? RECORD_MAX_BYTES : cap) & ~7u;
	b->record = memory;
	b->at = record_items(b->record);
	b->end = (uint8_t *)memory + cap;
	memset(b->record, 0, sizeof(*b->record));
	b->record->version = RECORD_VERSION;
}

void record_leave_out(struct record_builder *b)
{
	if (b->record->dropped_attrs != UINT16_MAX)
		b->record->dropped_attrs++;
}

void record_add(struct record_builder *b, enum record_item_type type, uint8_t key, const void *bytes, size_t len)
{
	uint8_t *at = record_room(b, type, key, len);

	if (at && len > 0)
		memcpy(at, bytes, len);
}

void record_add_string(struct record_builder *b, enum attr key, const char *text, size_t len)
{
	record_add(b, ITEM_STRING, (uint8_t)key, text, len);
}

void record_add_int(struct record_builder *b, enum attr key, int64_t value)
{
	record_add(b, ITEM_INT, (uint8_t)key, &value, sizeof(value));
}

void record_add_double(struct record_builder *b, enum attr key, double value)
{
	record_add(b, ITEM_DOUBLE, (uint8_t)key, &value, sizeof(value));
}

void record_add_stack(struct record_builder *b, enum attr key, const uint64_t *addresses, unsigned n)
{
	if (n > 0)
		record_add(b, ITEM_STACK, (uint8_t)key, addresses, (n < RECORD_STACK_MAX ? n : RECORD_STACK_MAX) * sizeof(*addresses));
}

void record_add_dropped(struct record_builder *b, uint32_t n)
{
	record_add(b, ITEM_DROPPED, 0, &n, sizeof(n));
}

void record_add_bool(struct record_builder *b, enum attr key, bool value)
{
	uint8_t byte = value;

	record_add(b, ITEM_BOOL, (uint8_t)key, &byte, 1);
}

void record_add_named(struct record_builder *b, const char *key, size_t key_len, const char *value, size_t value_len)
{
	uint8_t *at;

	if (key_len == 0 || key_len > UINT8_MAX) {
		record_leave_out(b);
		return;
	}
	at = record_room(b, ITEM_NAMED, 0, 1 + key_len + value_len);
	if (!at)
		return;
	*at = (uint8_t)key_len;
	memcpy(at + 1, key, key_len);
	if (value_len > 0)
		memcpy(at + 1 + key_len, value, value_len);
}

void record_add_link(struct record_builder *b, const struct context *linked)
{
	struct record_link link = {.flags = linked->flags, .remote = linked->remote};

	memcpy(link.trace_id, linked->trace_id, sizeof(link.trace_id));
	memcpy(link.span_id, linked->span_id, sizeof(link.span_id));
	record_add(b, ITEM_LINK, 0, &link, sizeof(link));
}

uint32_t record_finish(struct record_builder *b)
{
	struct record *r = b->record;
	uint32_t used = (uint32_t)(b->at - (uint8_t *)r);

	r->items_len = used - (uint32_t)sizeof(*r);
	r->size = (used + 7) & ~7u;
	if (b->end - b->at >= (ptrdiff_t)sizeof(uint64_t)) /* one store, where there is room for it */
		__builtin_memset(b->at, 0, sizeof(uint64_t));
	else
		memset(b->at, 0, r->size - used);
	return r->size;
}

bool record_valid(const struct record *r, size_t avail)
{
	if (avail < sizeof(*r) || r->size < sizeof(*r) || r->size > avail || r->size > RECORD_MAX_BYTES ||
	    r->size % 8 != 0)
		return false;
	if (r->version != RECORD_VERSION || r->kind < SPAN_INTERNAL || r->kind > SPAN_CLIENT ||
	    r->status > STATUS_ERROR || r->evidence >= EVIDENCE_N)
		return false;
	if (r->items_len > r->size - sizeof(*r) || r->size - sizeof(*r) - r->items_len >= 8)
		return false;
	return items_valid((const uint8_t *)(r + 1), r->items_len);
}

bool record_next(const struct record *r, uint32_t *cursor, struct record_item *ret_item, const uint8_t **ret_payload)
{
	return items_next((const uint8_t *)(r + 1), r->items_len, cursor, ret_item, ret_payload);
}
