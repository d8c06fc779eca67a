/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <string.h>

#include "shim/stats.h"
#include "tests/unit/segment_fixture.h"

static _Atomic uint64_t shared[STAT_N], second[STAT_N];

static void counts_move_to_the_segment(void **state)
{
	(void)state;
	stats_count(STAT_STARTED);
	stats_add(STAT_WRITTEN, 5);
	stats_move(shared);
	assert_int_equal(shared[STAT_STARTED], 1);
	assert_int_equal(shared[STAT_WRITTEN], 5);
	stats_count(STAT_STARTED);
	assert_int_equal(shared[STAT_STARTED], 2);
	stats_settle();
	stats_settle();
	assert_int_equal(shared[STAT_STARTED], 2);
	assert_int_equal(shared[STAT_WRITTEN], 5);
}

/* After a fork, what the parent counted is not the child's: it begins at zero. */
static void a_fresh_start_has_no_past(void **state)
{
	(void)state;
	stats_move(NULL);
	stats_settle();
	stats_add(STAT_STARTED, 3);
	assert_int_equal(shared[STAT_STARTED], 2);
	stats_move(NULL);
	stats_count(STAT_STARTED);
	stats_move(second);
	assert_int_equal(second[STAT_STARTED], 1);
}

static void *count_a_lot(void *arg)
{
	unsigned i;

	for (i = 0; i < 20000; i++)
		stats_count(STAT_EXCLUDED);
	return arg;
}

/* A thread that read the target just before it moved counts privately; settling carries that over. */
static void nothing_is_lost_in_the_move(void **state)
{
	pthread_t threads[4];
	unsigned i;

	(void)state;
	stats_move(NULL);
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_a_lot, NULL), 0);
	stats_move(shared);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	stats_settle();
	assert_int_equal(shared[STAT_EXCLUDED], 80000);
}

static void names(void **state)
{
	unsigned i;

	(void)state;
	assert_string_equal(stats_name(STAT_STARTED), "started");
	assert_string_equal(stats_name(STAT_RULES_REVOKED), "rules.revoked");
	assert_string_equal(stats_name(STAT_N), "");
	for (i = 0; i < STAT_N; i++)
		assert_true(strlen(stats_name((enum stat_id)i)) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_move_to_the_segment),
		cmocka_unit_test(a_fresh_start_has_no_past),
		cmocka_unit_test(nothing_is_lost_in_the_move),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, set_deadline, NULL);
}
