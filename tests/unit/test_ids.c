/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/engine_fixture.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/ids.h"

static void our_ids_are_recognised_with_their_handle(void **state)
{
	(void)state;
	for (uint32_t slot = 1; slot < 1u << 24; slot = slot * 3 + 1) {
		struct handle h = {slot, slot * 2654435761u}, found;
		uint8_t id[8];

		ids_new_span(id, h);
		assert_int_equal(ids_recognise(id, &found), IDS_OURS);
		assert_int_equal(found.slot, h.slot);
		assert_true(ids_same_generation(found, h));
		h.gen++;
		assert_false(ids_same_generation(found, h));
	}
}

static void ids_of_others_are_foreign(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		uint64_t random = ids_random();
		struct handle found;

		wrong += ids_recognise((const uint8_t *)&random, &found) != IDS_FOREIGN;
	}
	assert_true(wrong <= 1); /* one in 16 million passes by chance */
}

static void span_ids_look_random(void **state)
{
	uint8_t a[8], b[8];
	int different = 0;

	(void)state;
	ids_new_span(a, (struct handle){1, 1});
	ids_new_span(b, (struct handle){1, 2});
	for (int i = 0; i < 8; i++)
		different += __builtin_popcount(a[i] ^ b[i]);
	assert_in_range(different, 10, 54);
}

static void a_child_knows_its_parents_ids_and_makes_its_own(void **state)
{
	uint8_t inherited[8], trace_parent[16], trace_child[16];
	int pipe_fds[2], status;
	struct handle found;
	pid_t pid;

	(void)state;
	ids_new_span(inherited, (struct handle){7, 7});
	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	if (pid == 0) {
		uint8_t own[8];

		ids_after_fork();
		ids_new_span(own, (struct handle){7, 7});
		ids_new_trace(trace_child);
		if (write(pipe_fds[1], own, 8) != 8 || write(pipe_fds[1], trace_child, 16) != 16)
			_exit(2);
		_exit(ids_recognise(inherited, &found) != IDS_INHERITED || found.slot != 7);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);

	uint8_t own[8];

	assert_int_equal(read(pipe_fds[0], own, 8), 8);
	assert_int_equal(read(pipe_fds[0], trace_child, 16), 16);
	assert_int_equal(ids_recognise(own, &found), IDS_FOREIGN);
	ids_new_trace(trace_parent);
	assert_memory_not_equal(trace_parent, trace_child, 16);
}

static int start(void **state)
{
	(void)state;
	ids_start();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_ids_are_recognised_with_their_handle),
		cmocka_unit_test(ids_of_others_are_foreign),
		cmocka_unit_test(span_ids_look_random),
		cmocka_unit_test(a_child_knows_its_parents_ids_and_makes_its_own),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
