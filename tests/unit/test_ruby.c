/* SPDX-License-Identifier: Apache-2.0 */
/* What Puma's threads say of their work by asking for the state of its connection, and what ends the belief in it. */
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "shim/engine.h"
#include "shim/runtime.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/engine_hooks.h"
#include "tests/unit/rules_fixture.h"

extern const struct runtime runtime_ruby;

static int up_without(void **state)
{
	(void)state;
	engine_up(NULL);
	runtime_register(&runtime_ruby);
	runtime_ruby.modules_loaded();
	no_thread_rule();
	return 0;
}

/* A library of that name is all that is looked for. */
static int up(void **state)
{
	char path[PATH_MAX] = "", library[PATH_MAX + 32];

	assert_true(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0);
	snprintf(library, sizeof(library), "%s/libruby-none.so", dirname(path));
	assert_non_null(dlopen(library, RTLD_NOW));
	return up_without(state);
}

static void ask_and_answer(unsigned times)
{
	struct link a = hook_accept();

	for (unsigned i = 0; i < times; i++) {
		serve_begin(&a, REQUEST);
		engine_state_asked(a.ours);
		serve_end(&a);
	}
	link_close(&a);
	spans_forget();
}

/* A request that this thread asks for, and a call; its answer is up to the caller. */
static const struct record *call_for(const struct link *a, const struct link *out)
{
	serve_begin(a, REQUEST);
	engine_state_asked(a->ours);
	return call(out, REQUEST);
}

static enum evidence evidence_of_next(const struct link *out)
{
	struct link a = hook_accept();
	enum evidence evidence = call_for(&a, out)->evidence;

	serve_end(&a);
	link_close(&a);
	return evidence;
}

static void what_a_thread_asks_for_is_its_work(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();
	const struct record *r;

	(void)state;
	ask_and_answer(32);
	serve_begin(&b, REQUEST); /* read by this thread, for another */
	r = call_for(&a, &out);
	assert_int_equal(r->evidence, EVIDENCE_WORK_ITEM);
	assert_int_equal(call(&out, REQUEST)->evidence, EVIDENCE_WORK_ITEM);
	serve_end(&a);
	assert_true(span_is_child_of(r, span_nth(SPAN_SERVER, 0)));
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 1); /* it has nothing in hand */
	serve_end(&b);
	link_close(&a);
	link_close(&b);
	link_close(&out);
}

static void it_is_believed_after_many_answers(void **state)
{
	struct link out = idle_connection();

	(void)state;
	ask_and_answer(31);
	assert_int_equal(evidence_of_next(&out), EVIDENCE_AMBIGUOUS);
	assert_int_equal(evidence_of_next(&out), EVIDENCE_WORK_ITEM);
	link_close(&out);
}

static void in_other_programs_it_says_nothing(void **state)
{
	struct link out = idle_connection();

	(void)state;
	ask_and_answer(40);
	assert_int_equal(evidence_of_next(&out), EVIDENCE_AMBIGUOUS);
	link_close(&out);
}

static void answer(void *link)
{
	serve_end(link);
}

static void an_answer_by_another_thread_ends_it(void **state)
{
	struct link a = hook_accept(), out = idle_connection();

	(void)state;
	ask_and_answer(40);
	serve_begin(&a, REQUEST);
	engine_state_asked(a.ours);
	other_thread_begin(answer, &a);
	other_thread_end();
	assert_int_equal(evidence_of_next(&out), EVIDENCE_AMBIGUOUS);
	link_close(&a);
	link_close(&out);
}

static void one_that_is_left_unanswered_ends_it(void **state)
{
	struct link a = hook_accept(), out = idle_connection();

	(void)state;
	ask_and_answer(40);
	serve_begin(&a, REQUEST);
	engine_state_asked(a.ours);
	assert_int_equal(evidence_of_next(&out), EVIDENCE_AMBIGUOUS);
	serve_end(&a);
	link_close(&a);
	link_close(&out);
}

static void asks(void *link)
{
	engine_state_asked(((const struct link *)link)->ours);
}

static void two_that_ask_for_the_same_end_it(void **state)
{
	struct link a = hook_accept(), out = idle_connection();

	(void)state;
	ask_and_answer(40);
	serve_begin(&a, REQUEST);
	engine_state_asked(a.ours);
	other_thread_begin(asks, &a);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 1);
	other_thread_end();
	end_one(&a, &out);
}

static void *calls(void *out)
{
	(void)call(out, REQUEST);
	return NULL;
}

static void a_new_thread_is_not_part_of_it(void **state)
{
	struct link a = hook_accept(), out = idle_connection();
	struct thread_run run;

	(void)state;
	ask_and_answer(40);
	(void)call_for(&a, &out);
	spans_forget();
	run_thread(&run, calls, &out);
	join_thread(&run);
	assert_int_equal(span_at(0)->evidence, EVIDENCE_AMBIGUOUS);
	assert_int_equal(call(&out, REQUEST)->evidence, EVIDENCE_WORK_ITEM);
	end_one(&a, &out);
}

#define TEST(test, up) cmocka_unit_test_setup_teardown(test, up, rules_balanced)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_a_thread_asks_for_is_its_work, up),
		TEST(it_is_believed_after_many_answers, up),
		TEST(in_other_programs_it_says_nothing, up_without),
		TEST(an_answer_by_another_thread_ends_it, up),
		TEST(one_that_is_left_unanswered_ends_it, up),
		TEST(two_that_ask_for_the_same_end_it, up),
		TEST(a_new_thread_is_not_part_of_it, up),
	};

	return ENGINE_RUN_EACH(tests);
}
