/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/engine_fixture.h"

#include <string.h>

#include "shim/iov.h"

/* "abcdefgh" over pieces of every size, with room behind, opened at every place. */
static void a_gap_opens_at_any_place_for_any_split(void **state)
{
	(void)state;
	for (size_t first = 0; first <= 12; first++) {
		for (size_t at = 0; at <= 8; at++) {
			char bytes[13] = "abcdefgh....", got[13] = {0}, want[13] = {0};
			struct iovec iov[2] = {{bytes, first}, {bytes + first, 12 - first}};

			memcpy(want, "abcdefgh", at);
			memcpy(want + at, "XYZ", 3);
			memcpy(want + at + 3, &"abcdefgh"[at], 8 - at);
			iov_open_gap(iov, 2, at, 8, 3);
			iov_copy_in(iov, 2, at, (const uint8_t *)"XYZ", 3);
			assert_int_equal(iov_copy_out(iov, 2, 0, (uint8_t *)got, 11), 11);
			assert_memory_equal(got, want, 11);
		}
	}
}

static void long_runs_move_whole(void **state)
{
	static char bytes[5000], want[5000];
	struct iovec iov[3] = {{bytes, 700}, {bytes + 700, 3000}, {bytes + 3700, 1300}};

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7);
	memcpy(want, bytes, sizeof(bytes));
	memmove(want + 170, want + 100, 4000);
	iov_open_gap(iov, 3, 100, 4100, 70);
	assert_memory_equal(bytes + 170, want + 170, 4000);
	assert_memory_equal(bytes, want, 100);
}

static void copying_stops_at_the_end(void **state)
{
	char bytes[4] = "abcd";
	uint8_t out[8];
	struct iovec iov[2] = {{bytes, 1}, {bytes + 1, 3}};

	(void)state;
	assert_int_equal(iov_total(iov, 2), 4);
	assert_int_equal(iov_copy_out(iov, 2, 2, out, 8), 2);
	assert_memory_equal(out, "cd", 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_gap_opens_at_any_place_for_any_split),
		cmocka_unit_test(long_runs_move_whole),
		cmocka_unit_test(copying_stops_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
