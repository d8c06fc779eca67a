/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/engine_fixture.h"

#include <sys/wait.h>
#include <unistd.h>

#include "shim/ownership.h"

static int in_child(bool (*act)(uint32_t), uint32_t cell)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(act(cell));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void the_first_to_claim_owns(void **state)
{
	uint32_t cell = ownership_share();

	(void)state;
	assert_int_not_equal(cell, 0);
	assert_int_equal(in_child(ownership_claim, cell), 1);
	assert_false(ownership_claim(cell));
}

static void claiming_again_is_fine(void **state)
{
	uint32_t cell = ownership_share();

	(void)state;
	assert_true(ownership_claim(cell));
	assert_true(ownership_claim(cell));
	assert_int_equal(in_child(ownership_claim, cell), 0);
}

static void the_last_to_let_go_ends_it(void **state)
{
	uint32_t cell = ownership_share();

	(void)state;
	assert_int_equal(in_child(ownership_release, cell), 0);
	assert_true(ownership_release(cell));
}

static void letting_go_after_another_claimed_ends_nothing(void **state)
{
	uint32_t cell = ownership_share();

	(void)state;
	assert_int_equal(in_child(ownership_claim, cell), 1);
	assert_false(ownership_release(cell));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_to_claim_owns),
		cmocka_unit_test(claiming_again_is_fine),
		cmocka_unit_test(the_last_to_let_go_ends_it),
		cmocka_unit_test(letting_go_after_another_claimed_ends_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
