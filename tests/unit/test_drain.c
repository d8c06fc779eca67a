/* SPDX-License-Identifier: Apache-2.0 */
/* How much time there is left for the names in stacks, when somebody waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "export/drain.h"
#include "shim/clock.h"

#define SECOND_NS 1000000000ull

static struct segment_header header;
static struct consumer consumer;
static _Atomic uint32_t stop;
static struct drain drain;

static int up(void **state)
{
	(void)state;
	atomic_store(&header.flush, 7);
	atomic_store(&stop, 0);
	consumer = (struct consumer){.header = &header, .flush_seen = 7};
	drain = (struct drain){.consumer = &consumer, .stop = &stop};
	return 0;
}

static void nobody_waits(void **state)
{
	(void)state;
	assert_false(drain_is_late(&drain));
	/* Of a flush that was done. */
	drain.flush_ns = clock_monotonic_ns() - 10 * SECOND_NS;
	assert_false(drain_is_late(&drain));
}

/* It is noticed in the middle of a batch, and from then on there is some time. */
static void who_waits_for_a_flush_waits_a_while(void **state)
{
	uint64_t before = clock_monotonic_ns();

	(void)state;
	drain.flush_ns = before - 10 * SECOND_NS;
	atomic_fetch_add(&header.flush, 1);
	(void)drain_is_late(&drain);
	assert_true(drain.flush_wanted);
	assert_int_equal(drain.flush, 8);
	assert_true(drain.flush_ns >= before);

	drain.flush_ns = clock_monotonic_ns() - SECOND_NS / 2; /* some time later */
	assert_true(drain_is_late(&drain));
	/* More who want it do not begin it anew: the first has waited. */
	atomic_fetch_add(&header.flush, 1);
	assert_true(drain_is_late(&drain));
	assert_int_equal(drain.flush, 9);
}

static void who_is_told_to_stop_reads_no_more_files(void **state)
{
	(void)state;
	for (uint32_t level = 1; level <= 2; level++) {
		atomic_store(&stop, level);
		assert_true(drain_is_late(&drain));
	}
	atomic_store(&stop, 0);
	drain.lost = true;
	assert_true(drain_is_late(&drain));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nobody_waits, up),
		cmocka_unit_test_setup(who_waits_for_a_flush_waits_a_while, up),
		cmocka_unit_test_setup(who_is_told_to_stop_reads_no_more_files, up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
