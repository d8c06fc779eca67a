/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "export/retry.h"

static void test_only_four_statuses_are_retried(void **state)
{
	(void)state;
	for (long status = 100; status < 600; status++) {
		enum delivery_outcome want = DELIVERY_REFUSED;

		if (status >= 200 && status < 300)
			want = DELIVERY_ACCEPTED;
		if (status == 429 || status == 502 || status == 503 || status == 504)
			want = DELIVERY_RETRY;
		assert_int_equal(retry_classify(status), want);
	}
}

static void test_intervals_grow_and_stop_growing(void **state)
{
	uint32_t interval = RETRY_FIRST_MS;
	struct retry retry;

	(void)state;
	retry_begin(&retry, 1);
	for (int i = 0; i < 50; i++) {
		uint32_t wait = retry_next_ms(&retry, 0, 0);

		assert_in_range(wait, interval / 2, interval / 2 + interval);
		interval += interval / 2;
		if (interval > RETRY_MAX_MS)
			interval = RETRY_MAX_MS;
	}
}

static void test_waits_differ_between_clients(void **state)
{
	uint32_t first = 0, different = 0;
	struct retry retry;

	(void)state;
	for (uint64_t seed = 0; seed < 100; seed++) {
		uint32_t wait;

		retry_begin(&retry, seed * 1000003);
		wait = retry_next_ms(&retry, 0, 0);
		if (seed == 0)
			first = wait;
		different += wait != first;
	}
	assert_true(different > 50);
}

static void test_the_receiver_s_wish_counts_up_to_a_limit(void **state)
{
	struct retry retry;

	(void)state;
	retry_begin(&retry, 1);
	assert_int_equal(retry_next_ms(&retry, 60000, 0), 60000);
	assert_int_equal(retry_next_ms(&retry, UINT32_MAX, 0), RETRY_AFTER_MAX_MS);
	retry_begin(&retry, 1);
	assert_true(retry_next_ms(&retry, 1, 0) >= RETRY_FIRST_MS / 2);
}

static void test_the_back_off_starts_over(void **state)
{
	struct retry retry;

	(void)state;
	retry_begin(&retry, 1);
	while (retry.interval_ms < 5000)
		retry_next_ms(&retry, 0, 30000);
	for (int i = 0; i < 10 && retry.interval_ms != RETRY_FIRST_MS; i++)
		retry_next_ms(&retry, 0, 30000);
	assert_int_equal(retry.interval_ms, RETRY_FIRST_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_only_four_statuses_are_retried),
	    cmocka_unit_test(test_intervals_grow_and_stop_growing),
	    cmocka_unit_test(test_waits_differ_between_clients),
	    cmocka_unit_test(test_the_receiver_s_wish_counts_up_to_a_limit),
	    cmocka_unit_test(test_the_back_off_starts_over),
	};

	return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
