/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/record.h"

/*
 * A set of attributes as OTLP wants it: keys unique and never empty, every text valid UTF-8. It is filled from a
 * record's items and keeps pointers into them (or into its texts, where a text had to be mended), so it lives as
 * long as those bytes stay put.
 * Context: one thread; no allocation.
 */

#define ATTRIBUTES_MAX 256
#define ELEMENTS_MAX 2048

struct text {
	const uint8_t *bytes;
	uint32_t len;
};

/* A place for mended texts. Three times the bytes that were read always suffice. */
struct texts {
	uint32_t used;
	uint8_t bytes[3 * RECORD_MAX_BYTES];
};

enum value_type { VALUE_STRING, VALUE_INT, VALUE_BOOL, VALUE_DOUBLE, VALUE_STRINGS };

struct attribute {
	struct text key;
	enum value_type type;
	union {
		struct text text;
		int64_t integer;
		double number;
		bool flag;
		struct {
			uint16_t first; /* index into elements->list */
			uint16_t last;
		} strings;
	};
};

/* Elements of string arrays, chained; index 0 is the end of a chain. */
struct elements {
	uint32_t n;
	struct {
		struct text text;
		uint16_t next;
	} list[ELEMENTS_MAX];
};

struct attributes {
	struct attribute *list;
	uint32_t n;
	uint32_t cap;
	uint32_t dropped;           /* items that could not be taken in */
	bool named_are_arrays;      /* ITEM_NAMED: element of a string array (spans), or plain string (resources) */
	bool has_named;             /* some key did not come from the table */
	uint16_t place_of[ATTR_N];  /* index + 1 of a table key in list; 0: not there */
	struct texts *texts;
	struct elements *elements;
};

/* An empty set over room for cap attributes, sharing texts and elements with others. */
void attributes_begin(struct attributes *set, struct attribute *room, uint32_t cap);

/*
 * Take in one valid item (items_valid()). A key that is there already is overwritten, except that array elements are
 * appended. Items that are no attributes are ignored; a key that is not UTF-8, or a value of another type than its
 * key's, counts as dropped.
 */
void attributes_add_item(struct attributes *set, const struct record_item *item, const uint8_t *payload);
void attributes_set_string(struct attributes *set, enum attr key, const char *text);
void attributes_set_int(struct attributes *set, enum attr key, int64_t value);

/* The text, mended where it is not UTF-8. */
struct text text_clean(struct texts *texts, const uint8_t *bytes, size_t len);
