/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/runtimes/python_items.h"
#include "tests/unit/engine_fixture.h"

static int up(void **state)
{
	(void)state;
	engine_up(NULL);
	return 0;
}

static struct label label_of(uint8_t n)
{
	struct context c = {.trace_id = {n, 1}, .span_id = {n, 2}};

	return label_snapshot(&c);
}

static const void *object(uintptr_t n)
{
	return (const void *)(0x10000 + 16 * n);
}

static void put(uintptr_t queue, uintptr_t item, uint8_t n)
{
	struct item what = {.label = label_of(n)};

	items_put(object(queue), object(item), &what);
}

/* Whose it was: 0 for nobody's that is known, -1 if it is not there. */
static int take(uintptr_t queue, uintptr_t item)
{
	struct item what;

	if (!items_take(object(queue), object(item), &what))
		return -1;
	return what.label.kind == LABEL_CONTEXT ? what.label.context.trace_id[0] : 0;
}

static uint64_t live(void)
{
	return counted(STAT_ITEMS_LABELLED) - counted(STAT_ITEMS_FORGOTTEN);
}

static void an_item_keeps_its_putters_label(void **state)
{
	(void)state;
	put(1, 10, 7);
	put(2, 10, 8);
	put(1, 11, 9);
	assert_int_equal(take(1, 10), 7);
	assert_int_equal(take(1, 10), -1);
	assert_int_equal(take(2, 10), 8);
	assert_int_equal(take(1, 11), 9);
	assert_int_equal(live(), 0);
}

static void one_object_that_lies_there_twice_is_known_if_both_agree(void **state)
{
	(void)state;
	put(1, 10, 7);
	put(1, 10, 7);
	assert_int_equal(take(1, 10), 7);
	put(1, 10, 8);
	assert_int_equal(take(1, 10), 0);
	assert_int_equal(take(1, 10), 0);
	assert_int_equal(take(1, 10), -1);
	assert_int_equal(live(), 0);
}

static void what_goes_round_is_only_what_always_did(void **state)
{
	struct item back = {.label = label_of(7), .returned = true}, new = {.label = label_of(7)}, what;

	(void)state;
	items_put(object(1), object(10), &back);
	items_put(object(1), object(10), &new);
	assert_true(items_take(object(1), object(10), &what));
	assert_false(what.returned);
	assert_int_equal(take(1, 10), 7);
}

static void items_end_with_their_queue(void **state)
{
	(void)state;
	for (uintptr_t i = 0; i < 1000; i++) {
		put(1, i, 7);
		put(2, i, 8);
	}
	items_end(object(1));
	items_end(object(3));
	assert_int_equal(live(), 1000);
	for (uintptr_t i = 0; i < 1000; i++) {
		assert_int_equal(take(1, i), -1);
		assert_int_equal(take(2, i), 8);
	}
	assert_int_equal(live(), 0);
}

/* What it has no room for is not known, and does not push out what is. */
static void a_full_table_takes_no_more(void **state)
{
	uint64_t before;
	unsigned known = 0;

	(void)state;
	for (uintptr_t i = 0; i < 40000; i++)
		put(i % 7, i, (uint8_t)(i % 200 + 1));
	before = live();
	assert_in_range(before, 1000, 39999);
	for (uintptr_t i = 0; i < 40000; i++) {
		int whose = take(i % 7, i);

		known += whose != -1;
		if (whose != -1)
			assert_int_equal(whose, i % 200 + 1);
	}
	assert_int_equal(known, before);
	assert_int_equal(live(), 0);
}

/* In any order, as queues of priorities give them. */
static void entries_are_found_whatever_was_taken_before(void **state)
{
	static int whose[2000];
	uint64_t random = 12345;

	(void)state;
	for (unsigned step = 0; step < 200000; step++) {
		random = random * 6364136223846793005u + 1442695040888963407u;

		unsigned i = (unsigned)(random >> 33) % 2000;

		if (whose[i] == 0) {
			whose[i] = 1 + (int)(step % 250);
			put(i % 3, i, (uint8_t)whose[i]);
		} else {
			assert_int_equal(take(i % 3, i), whose[i]);
			whose[i] = 0;
		}
	}
}

#define ITEMS_TEST(test) cmocka_unit_test_setup(test, up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ITEMS_TEST(an_item_keeps_its_putters_label),
		ITEMS_TEST(one_object_that_lies_there_twice_is_known_if_both_agree),
		ITEMS_TEST(what_goes_round_is_only_what_always_did),
		ITEMS_TEST(items_end_with_their_queue),
		ITEMS_TEST(a_full_table_takes_no_more),
		ITEMS_TEST(entries_are_found_whatever_was_taken_before),
	};

	return ENGINE_RUN_EACH(tests);
}
