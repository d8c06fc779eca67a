/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/context.h"

/*
 * A record is one finished span, as it lies in the segment: a fixed header, then items. An item is
 * {type, key, len} and len payload bytes, unaligned, in any order. The record's size is a multiple of
 * eight. Writers build it in place with record_*(); readers must use record_valid() first and
 * record_next() after, and believe nothing else: the bytes may come from a broken or hostile process.
 */

#define RECORD_VERSION 1
#define RECORD_MAX_BYTES 8192 /* header included; what does not fit is left out and counted */

enum record_item_type {
	ITEM_NAME = 1,    /* text: the span's name */
	ITEM_TRACESTATE,  /* text */
	ITEM_LINK,        /* struct record_link */
	ITEM_EVENT,       /* u64 monotonic ns, then the name; attributes follow as items until the next
			     ITEM_EVENT or ITEM_EVENT_END */
	ITEM_EVENT_END,   /* no payload: what follows belongs to the span again */
	ITEM_STRING,      /* key is an enum attr; text */
	ITEM_INT,         /* key is an enum attr; i64 */
	ITEM_BOOL,        /* key is an enum attr; u8 */
	ITEM_DOUBLE,      /* key is an enum attr; double */
	ITEM_NAMED,       /* one element of a string array under a key of its own:
			     u8 key length, key text, value text (captured headers, custom keys) */
	ITEM_STATUS_TEXT, /* text: status message */
	ITEM_STACK,       /* key is an enum attr of a string; u64 addresses of code in the process that wrote the record, the
			     innermost first, all but that one return addresses: the exporter makes them into text */
	ITEM_DROPPED,     /* u32: attributes that the event it is in would have had; outside one, events that the span would */
};

#define RECORD_STACK_MAX 40 /* addresses in an ITEM_STACK */

enum attr {
#define ATTR(id, name, type) ATTR_##id,
#include "shim/attr.def"
#undef ATTR
	ATTR_N
};

/* OTLP numbers (trace.proto SpanKind, StatusCode). */
enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER = 2, SPAN_CLIENT = 3 };
enum span_status { STATUS_UNSET = 0, STATUS_OK = 1, STATUS_ERROR = 2 };

struct record {
	uint32_t size;     /* bytes, header, items and padding included; a multiple of 8 */
	uint8_t version;   /* RECORD_VERSION */
	uint8_t kind;      /* enum span_kind */
	uint8_t status;    /* enum span_status */
	uint8_t flags;     /* W3C trace flags */
	uint8_t evidence;  /* enum evidence */
	uint8_t parent_remote;
	uint16_t dropped_attrs;
	uint32_t process;  /* index into the segment's process table */
	uint64_t start_ns; /* CLOCK_MONOTONIC */
	uint64_t end_ns;   /* CLOCK_MONOTONIC */
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint8_t parent_id[8]; /* zero: a root */
	uint32_t items_len;   /* bytes of items after the header */
	uint32_t tid;
};
_Static_assert(sizeof(struct record) == 72, "the record header is part of the format");

struct record_item {
	uint8_t type;
	uint8_t key;
	uint16_t len;
};
_Static_assert(sizeof(struct record_item) == 4, "the item header is part of the format");

struct record_link {
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint8_t flags;
	uint8_t remote;
	uint8_t pad[6];
};

/* Where items are added: a record with room for cap bytes in all. */
struct record_builder {
	struct record *record; /* its size and items_len: set by record_finish() */
	uint8_t *at, *end;     /* where the next item goes, and what it must not go beyond */
};

/*
 * Start an empty record in memory of cap bytes (at least sizeof(struct record), 8-aligned).
 * The adders below leave out an item that does not fit, and count it in dropped_attrs. Text is cut at
 * limit characters where a limit applies (the caller's business) and is not checked for UTF-8: the
 * exporter replaces what is not.
 */
void record_begin(struct record_builder *b, void *memory, uint32_t cap);
void record_add(struct record_builder *b, enum record_item_type type, uint8_t key, const void *bytes,
		size_t len);
void record_add_string(struct record_builder *b, enum attr key, const char *text, size_t len);
void record_add_int(struct record_builder *b, enum attr key, int64_t value);
void record_add_double(struct record_builder *b, enum attr key, double value);
void record_add_stack(struct record_builder *b, enum attr key, const uint64_t *addresses, unsigned n);
void record_add_dropped(struct record_builder *b, uint32_t n);
void record_add_bool(struct record_builder *b, enum attr key, bool value);
void record_add_named(struct record_builder *b, const char *key, size_t key_len, const char *value,
		      size_t value_len);
void record_add_link(struct record_builder *b, const struct context *linked);
/* An item that does not fit: counted. */
void record_leave_out(struct record_builder *b);
/* Room for the len payload bytes of a new item, which the caller writes. NULL: it does not fit. Inline: a span has fifteen. */
static inline uint8_t *record_room(struct record_builder *b, enum record_item_type type, unsigned key, size_t len)
{
	const struct record_item item = {.type = (uint8_t)type, .key = (uint8_t)key, .len = (uint16_t)len};
	uint8_t *payload = b->at + sizeof(item);

	/* The record is less than 64 KiB; len may be anything. */
	if (__builtin_expect((ptrdiff_t)len > b->end - payload || (ptrdiff_t)len < 0, 0)) {
		record_leave_out(b);
		return NULL;
	}
	__builtin_memcpy(b->at, &item, sizeof(item));
	b->at = payload + len;
	return payload;
}
/* Pad to a multiple of 8 and set size. Returns the size. */
uint32_t record_finish(struct record_builder *b);

/*
 * The items of a record are also used by themselves, for the resource. items_append adds one, its payload in two parts, to *len
 * bytes of items with room for cap; false: it does not fit. items_valid checks that every item lies within len
 * and has the size that its type demands; items_next walks valid ones, *cursor from 0, false at the end.
 */
bool items_append(uint8_t *items, uint32_t cap, uint32_t *len, struct record_item item, const void *part1, size_t len1,
		  const void *part2, size_t len2);
bool items_valid(const uint8_t *items, uint32_t len);
bool items_next(const uint8_t *items, uint32_t len, uint32_t *cursor, struct record_item *ret_item,
		const uint8_t **ret_payload);

/* Is this a well-formed record of at most avail bytes? Checks every length; never reads beyond avail. */
bool record_valid(const struct record *r, size_t avail);
/* Walk the items of a valid record: *cursor starts at 0. Returns false at the end. payload is unaligned. */
bool record_next(const struct record *r, uint32_t *cursor, struct record_item *ret_item,
		 const uint8_t **ret_payload);
