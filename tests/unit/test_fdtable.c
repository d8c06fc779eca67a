/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/engine_fixture.h"

#include <limits.h>

#include "shim/fdtable.h"

static int start(void **state)
{
	(void)state;
	return fdtable_start();
}

static void any_number_can_stand_for_something(void **state)
{
	static const int fds[] = {0, 1, 1023, 1024, 4095, 4096, 1000000, INT_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		assert_int_equal(fdtable_kind(fds[i]), FD_UNKNOWN);
		fdtable_set(fds[i], FD_CONNECTION, (uint32_t)i + 1);
		assert_int_equal(fdtable_kind(fds[i]), FD_CONNECTION);
		assert_int_equal(fdtable_object(fdtable_word(fds[i])), i + 1);
	}
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		fdtable_set(fds[i], FD_UNKNOWN, 0);
	assert_int_equal(fdtable_kind(-1), FD_UNKNOWN);
}

static void reuse_changes_the_word(void **state)
{
	fd_word before;

	(void)state;
	fdtable_set(5, FD_CONNECTION, 9);
	before = fdtable_word(5);
	assert_int_equal(fdtable_set(5, FD_UNKNOWN, 0), before);
	fdtable_set(5, FD_CONNECTION, 9);
	assert_true(fdtable_word(5) != before);
	assert_false(fdtable_replace(5, before, FD_SOCKET, 0));
	assert_true(fdtable_replace(5, fdtable_word(5), FD_SOCKET, 0));
	fdtable_set(5, FD_UNKNOWN, 0);
}

static void ranges_find_what_is_in_them(void **state)
{
	(void)state;
	fdtable_set(3, FD_PIPE, 0);
	fdtable_set(70000, FD_PIPE, 0);
	assert_int_equal(fdtable_next(0, UINT_MAX), 3);
	assert_int_equal(fdtable_next(4, UINT_MAX), 70000);
	assert_int_equal(fdtable_next(4, 69999), -1);
	assert_int_equal(fdtable_next(70001, UINT_MAX), -1);
	fdtable_set(3, FD_UNKNOWN, 0);
	fdtable_set(70000, FD_UNKNOWN, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_number_can_stand_for_something),
		cmocka_unit_test(reuse_changes_the_word),
		cmocka_unit_test(ranges_find_what_is_in_them),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
