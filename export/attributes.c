/* SPDX-License-Identifier: Apache-2.0 */
#include "export/attributes.h"

#include <string.h>

#include "export/utf8.h"

#define ITEM_OF_STRING ITEM_STRING
#define ITEM_OF_STRINGS ITEM_STRING
#define ITEM_OF_INT ITEM_INT
#define ITEM_OF_BOOL ITEM_BOOL
#define ITEM_OF_DOUBLE ITEM_DOUBLE

static const struct {
	struct text key;
	uint8_t item;
	uint8_t type;
} table[ATTR_N] = {
#define ATTR(id, name, type) [ATTR_##id] = {{(const uint8_t *)(name), sizeof(name) - 1}, ITEM_OF_##type, VALUE_##type},
#include "shim/attr.def"
#undef ATTR
};

void attributes_begin(struct attributes *set, struct attribute *room, uint32_t cap)
{
	set->list = room;
	set->cap = cap;
	set->n = 0;
	set->dropped = 0;
	set->has_named = false;
	memset(set->place_of, 0, sizeof(set->place_of));
}

struct text text_clean(struct texts *texts, const uint8_t *bytes, size_t len)
{
	struct text text = {bytes, (uint32_t)len};

	if (utf8_is_valid(bytes, len))
		return text;
	if (len > (sizeof(texts->bytes) - texts->used) / 3)
		return (struct text){(const uint8_t *)"", 0};
	text.bytes = texts->bytes + texts->used;
	text.len = (uint32_t)utf8_clean(texts->bytes + texts->used, bytes, len);
	texts->used += text.len;
	return text;
}

static struct attribute *find_by_name(struct attributes *set, struct text key)
{
	for (uint32_t i = 0; i < set->n; i++)
		if (set->list[i].key.len == key.len && memcmp(set->list[i].key.bytes, key.bytes, key.len) == 0)
			return &set->list[i];
	return NULL;
}

/* The new last attribute, with this key and no value; NULL, counted, when there is no room. */
static struct attribute *append(struct attributes *set, struct text key)
{
	struct attribute *a;

	if (set->n == set->cap) {
		set->dropped++;
		return NULL;
	}
	a = &set->list[set->n++];
	a->key = key;
	a->type = VALUE_STRINGS;
	a->strings.first = a->strings.last = 0;
	return a;
}

/* The attribute of a table key, made if need be. */
static struct attribute *place(struct attributes *set, enum attr key)
{
	struct attribute *a = NULL;

	if (set->place_of[key])
		return &set->list[set->place_of[key] - 1];
	if (set->has_named)
		a = find_by_name(set, table[key].key);
	if (!a)
		a = append(set, table[key].key);
	if (a)
		set->place_of[key] = (uint16_t)(a - set->list + 1);
	return a;
}

static void add_element(struct attributes *set, struct attribute *a, struct text text)
{
	struct elements *elements = set->elements;
	uint16_t at;

	if (a->type != VALUE_STRINGS || elements->n + 1 >= ELEMENTS_MAX) {
		set->dropped++;
		return;
	}
	at = (uint16_t)++elements->n;
	elements->list[at].text = text;
	elements->list[at].next = 0;
	if (a->strings.last)
		elements->list[a->strings.last].next = at;
	else
		a->strings.first = at;
	a->strings.last = at;
}

static void set_string(struct attribute *a, struct text text)
{
	a->type = VALUE_STRING;
	a->text = text;
}

/* Payload: u8 key length, key, value. A key is not mended: two bad ones could become equal. */
static void add_named(struct attributes *set, const uint8_t *payload, uint32_t len)
{
	struct text key = {payload + 1, payload[0]}, value;
	struct attribute *a;

	if (!utf8_is_valid(key.bytes, key.len)) {
		set->dropped++;
		return;
	}
	value = text_clean(set->texts, key.bytes + key.len, len - 1 - key.len);
	a = find_by_name(set, key);
	if (!a)
		a = append(set, key);
	if (!a)
		return;
	set->has_named = true;
	if (set->named_are_arrays)
		add_element(set, a, value);
	else
		set_string(a, value);
}

static void add_keyed(struct attributes *set, const struct record_item *item, const uint8_t *payload)
{
	struct attribute *a;

	if (table[item->key].item != item->type) {
		set->dropped++;
		return;
	}
	a = place(set, item->key);
	if (!a)
		return;
	if (table[item->key].type == VALUE_STRINGS) {
		add_element(set, a, text_clean(set->texts, payload, item->len));
		return;
	}
	a->type = table[item->key].type;
	if (a->type == VALUE_STRING)
		a->text = text_clean(set->texts, payload, item->len);
	else if (a->type == VALUE_INT)
		memcpy(&a->integer, payload, sizeof(a->integer));
	else if (a->type == VALUE_DOUBLE)
		memcpy(&a->number, payload, sizeof(a->number));
	else
		a->flag = payload[0] != 0;
}

void attributes_add_item(struct attributes *set, const struct record_item *item, const uint8_t *payload)
{
	switch (item->type) {
	case ITEM_STRING:
	case ITEM_INT:
	case ITEM_BOOL:
	case ITEM_DOUBLE:
		add_keyed(set, item, payload);
		break;
	case ITEM_NAMED:
		add_named(set, payload, item->len);
		break;
	}
}

void attributes_set_string(struct attributes *set, enum attr key, const char *text)
{
	struct attribute *a = place(set, key);

	if (a)
		set_string(a, (struct text){(const uint8_t *)text, (uint32_t)strlen(text)});
}

void attributes_set_int(struct attributes *set, enum attr key, int64_t value)
{
	struct attribute *a = place(set, key);

	if (!a)
		return;
	a->type = VALUE_INT;
	a->integer = value;
}
