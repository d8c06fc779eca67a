/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/segment_fixture.h"

static _Alignas(8) uint8_t memory[RECORD_MAX_BYTES + 64];

static struct record *begin(struct record_builder *b, uint32_t cap)
{
	memset(memory, 0xee, sizeof(memory));
	record_begin(b, memory, cap);
	b->record->kind = SPAN_CLIENT;
	return b->record;
}

/* Everything that can be added is found again, in order, and nothing else. */
static void everything_comes_back(void **state)
{
	struct context linked = {.trace_id = {1}, .span_id = {2}, .flags = TRACE_FLAG_SAMPLED, .remote = true};
	const uint8_t types[] = {ITEM_NAME, ITEM_STRING, ITEM_INT, ITEM_BOOL, ITEM_NAMED, ITEM_LINK};
	const uint8_t keys[] = {0, ATTR_URL_PATH, ATTR_SERVER_PORT, ATTR_INTERSPAN_DETACHED, 0, 0};
	const uint16_t lens[] = {3, 2, 8, 1, 1 + 3 + 5, sizeof(struct record_link)};
	struct record_builder b;
	struct record *r = begin(&b, 1024);
	struct record_item item;
	const uint8_t *payload[6];
	struct record_link link;
	uint32_t cursor = 0;
	int64_t number;
	unsigned i;

	(void)state;
	record_add(&b, ITEM_NAME, 0, "GET", 3);
	record_add_string(&b, ATTR_URL_PATH, "/x", 2);
	record_add_int(&b, ATTR_SERVER_PORT, -8080);
	record_add_bool(&b, ATTR_INTERSPAN_DETACHED, true);
	record_add_named(&b, "key", 3, "value", 5);
	record_add_link(&b, &linked);
	assert_int_equal(record_finish(&b) % 8, 0);
	assert_true(record_valid(r, r->size));
	for (i = 0; i < 6; i++) {
		assert_true(record_next(r, &cursor, &item, &payload[i]));
		assert_int_equal(item.type, types[i]);
		assert_int_equal(item.key, keys[i]);
		assert_int_equal(item.len, lens[i]);
	}
	assert_false(record_next(r, &cursor, &item, &payload[0]));
	memcpy(&number, payload[2], sizeof(number));
	assert_int_equal(number, -8080);
	assert_memory_equal(payload[4], "\3keyvalue", 9);
	memcpy(&link, payload[5], sizeof(link));
	assert_memory_equal(link.trace_id, linked.trace_id, 16);
	assert_memory_equal(link.span_id, linked.span_id, 8);
	assert_int_equal(link.flags, TRACE_FLAG_SAMPLED);
	assert_int_equal(link.remote, 1);
	assert_int_equal(r->dropped_attrs, 0);
}

static void an_empty_record_is_valid(void **state)
{
	struct record_builder b;
	struct record *r = begin(&b, sizeof(struct record));

	(void)state;
	assert_int_equal(record_finish(&b), sizeof(*r));
	assert_true(record_valid(r, sizeof(*r)));
	record_add(&b, ITEM_NAME, 0, "", 0);
	assert_int_equal(r->dropped_attrs, 1);
}

/* For every capacity: what fits is there, what does not is counted, nothing is written beyond it. */
static void capacity_is_kept(void **state)
{
	struct record_builder b;
	uint32_t cap;

	(void)state;
	for (cap = sizeof(struct record); cap < 200; cap++) {
		struct record *r = begin(&b, cap);
		uint32_t size;

		record_add(&b, ITEM_NAME, 0, "0123456789", 10);
		record_add_string(&b, ATTR_URL_PATH, "0123456789abcdef", 16);
		record_add_int(&b, ATTR_SERVER_PORT, 1);
		size = record_finish(&b);
		assert_true(size <= cap);
		assert_int_equal(memory[cap], 0xee);
		assert_true(record_valid(r, size));
		/* 14, 20 and 12 bytes: the third goes in where the second has not. */
		assert_int_equal(r->dropped_attrs, (cap < 88) + (cap < 104) + (cap < 120));
	}
}

static void what_is_too_long_is_left_out(void **state)
{
	static char text[70000];
	struct record_builder b;
	struct record *r = begin(&b, RECORD_MAX_BYTES + 64);

	(void)state;
	assert_ptr_equal(b.end, (uint8_t *)r + RECORD_MAX_BYTES);
	memset(text, 'x', sizeof(text));
	record_add(&b, ITEM_NAME, 0, text, sizeof(text));
	record_add(&b, ITEM_NAME, 0, text, RECORD_MAX_BYTES);
	record_add_named(&b, text, 256, "v", 1);
	record_add_named(&b, text, 0, "v", 1);
	record_add_named(&b, text, 255, text, 65535);
	assert_int_equal(r->dropped_attrs, 5);
	assert_ptr_equal(b.at, r + 1);
	record_add_named(&b, text, 255, "v", 1);
	assert_int_equal(r->dropped_attrs, 5);
	r->dropped_attrs = UINT16_MAX;
	record_add_named(&b, text, 0, "v", 1);
	record_add(&b, ITEM_NAME, 0, text, sizeof(text));
	assert_int_equal(r->dropped_attrs, UINT16_MAX);
}

/* Of a valid record, each of these makes an invalid one. */
static void lies_are_found(void **state)
{
	struct record_builder b;
	struct record *r = begin(&b, 256);
	struct record good;

	(void)state;
	record_add(&b, ITEM_NAME, 0, "GET", 3);
	record_finish(&b);
	good = *r;
	assert_true(record_valid(r, r->size));
#define LIE(field, value)                                                                                              \
	r->field = (value);                                                                                            \
	assert_false(record_valid(r, 256));                                                                            \
	*r = good
	LIE(size, good.size + 4);
	LIE(size, good.size + 8);
	LIE(size, good.size - 8);
	LIE(size, 0);
	LIE(size, 264);
	LIE(size, UINT32_MAX - 7);
	LIE(version, 0);
	LIE(version, RECORD_VERSION + 1);
	LIE(kind, 0);
	LIE(kind, 4);
	LIE(status, 3);
	LIE(evidence, EVIDENCE_N);
	LIE(items_len, 0 - 4u);
	LIE(items_len, 3);
	LIE(items_len, 20);
#undef LIE
}

/* One item, changed in every way that its type does not allow. */
static void item_shapes_are_checked(void **state)
{
	static const struct {
		uint8_t type, key, len, first;
		bool valid;
	} cases[] = {
		{ITEM_NAME, 0, 4, 0, true},        {ITEM_TRACESTATE, 0, 0, 0, true},
		{ITEM_LINK, 0, 32, 0, true},       {ITEM_LINK, 0, 31, 0, false},
		{ITEM_EVENT, 0, 8, 0, true},       {ITEM_EVENT, 0, 7, 0, false},
		{ITEM_EVENT_END, 0, 0, 0, true},   {ITEM_EVENT_END, 0, 1, 0, false},
		{ITEM_STRING, 0, 0, 0, true},      {ITEM_STRING, ATTR_N, 0, 0, false},
		{ITEM_INT, 0, 8, 0, true},         {ITEM_INT, 0, 4, 0, false},
		{ITEM_INT, ATTR_N, 8, 0, false},   {ITEM_DOUBLE, 0, 8, 0, true},
		{ITEM_DOUBLE, 0, 9, 0, false},     {ITEM_BOOL, 0, 1, 0, true},
		{ITEM_BOOL, 0, 0, 0, false},       {ITEM_BOOL, ATTR_N, 1, 0, false},
		{ITEM_NAMED, 0, 0, 0, false},      {ITEM_NAMED, 0, 1, 0, false},
		{ITEM_NAMED, 0, 2, 1, true},       {ITEM_NAMED, 0, 2, 0, false},
		{ITEM_NAMED, 0, 2, 2, false},      {ITEM_STATUS_TEXT, 0, 1, 0, true},
		{ITEM_STACK, 0, 8, 0, true},       {ITEM_STACK, 0, 16, 0, true},
		{ITEM_STACK, 0, 12, 0, false},     {ITEM_STACK, 0, 0, 0, false},
		{ITEM_STACK, ATTR_N, 8, 0, false}, {ITEM_DROPPED, 0, 4, 0, true},
		{ITEM_DROPPED, 0, 8, 0, false},    {ITEM_DROPPED + 1, 0, 0, 0, false},
		{0, 0, 0, 0, false},
	};
	uint8_t items[64];
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct record_item item = {cases[i].type, cases[i].key, cases[i].len};
		uint32_t len = (uint32_t)sizeof(item) + cases[i].len;

		memset(items, 0, sizeof(items));
		memcpy(items, &item, sizeof(item));
		items[sizeof(item)] = cases[i].first;
		assert_int_equal(items_valid(items, len), cases[i].valid);
		assert_false(items_valid(items, len + 1));
		assert_false(cases[i].len != 0 && items_valid(items, len - 1));
	}
}

/* Never a byte beyond avail is read: the sanitizer watches the allocations' ends. */
static void truncation_is_found(void **state)
{
	struct record *whole = make_record(memory, 256, 1, 1);
	size_t n;

	(void)state;
	for (n = 0; n < whole->size; n++) {
		struct record *cut = malloc(n != 0 ? n : 1);

		memcpy(cut, whole, n);
		assert_false(record_valid(cut, n));
		free(cut);
	}
}

static void mutations_do_no_harm(void **state)
{
	struct record *r = malloc(512);
	unsigned seed = 1, round, walked = 0;

	(void)state;
	for (round = 0; round < 100000; round++) {
		struct record_item item;
		const uint8_t *payload;
		uint32_t cursor = 0;

		make_record(r, 512, 1, round);
		((uint8_t *)r)[rand_r(&seed) % 128] ^= (uint8_t)(1 << rand_r(&seed) % 8);
		if (!record_valid(r, 512))
			continue;
		while (record_next(r, &cursor, &item, &payload))
			walked += item.len != 0 ? payload[item.len - 1] : 0;
	}
	assert_true(walked > 0);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_comes_back), cmocka_unit_test(an_empty_record_is_valid),
		cmocka_unit_test(capacity_is_kept),      cmocka_unit_test(what_is_too_long_is_left_out),
		cmocka_unit_test(lies_are_found),        cmocka_unit_test(item_shapes_are_checked),
		cmocka_unit_test(truncation_is_found),   cmocka_unit_test(mutations_do_no_harm),
	};

	return cmocka_run_group_tests(tests, set_deadline, NULL);
}
