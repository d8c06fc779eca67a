/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/runtimes/python_worker.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

static struct worker w;
static const int jobs, other, a_context;

static int fresh(void **state)
{
	(void)state;
	w = (struct worker){0};
	return 0;
}

static struct label of(uint8_t n)
{
	struct context c = {.trace_id = {n, 1}, .span_id = {n, 2}};

	return n ? label_snapshot(&c) : (struct label){.kind = LABEL_UNKNOWN};
}

static const void *item(uintptr_t n)
{
	return (const void *)(0x1000 * n);
}

/* An item of whose work: 0 for nobody's that is known. What the worker worked for before is its label, if it fetched that. */
static struct fetched from(const void *queue, uint8_t whose)
{
	return (struct fetched){.queue = queue, .item = item(1), .known = whose != 0, .label = of(whose)};
}

static void fetch(struct fetched f, uint8_t now, bool serves)
{
	struct label label = of(now);

	worker_fetched(&w, &f, &a_context, &label, serves);
}

static void assert_works_for(uint8_t whose)
{
	assert_int_equal(w.what, WORKER_ITEM);
	assert_ptr_equal(w.context, &a_context);
	assert_int_equal(w.label.kind, whose ? LABEL_CONTEXT : LABEL_UNKNOWN);
	if (whose)
		assert_int_equal(w.label.context.trace_id[0], whose);
}

static void a_worker_works_for_whoever_put_the_item(void **state)
{
	(void)state;
	fetch(from(&jobs, 1), 0, false);
	assert_works_for(1);
	fetch(from(&jobs, 2), 1, false);
	assert_works_for(2);
	fetch(from(&jobs, 0), 2, false);
	assert_works_for(0);
	fetch((struct fetched){.queue = &jobs}, 0, false); /* None: an end mark, or a sign to look elsewhere */
	assert_works_for(0);
}

/* Threads of a pool are started by the request that first needs it. */
static void one_item_of_another_does_not_tell_what_a_queue_is(void **state)
{
	(void)state;
	fetch(from(&jobs, 2), 1, false);
	assert_works_for(0);
	fetch(from(&jobs, 3), 0, false);
	assert_works_for(3);
}

static void the_second_item_does(void **state)
{
	(void)state;
	fetch(from(&jobs, 1), 1, false);
	assert_works_for(1);
	fetch(from(&jobs, 2), 1, false);
	assert_works_for(2);
}

static void an_executors_item_is_work(void **state)
{
	struct fetched f = from(&jobs, 2);

	(void)state;
	f.executors = true;
	fetch(f, 1, false);
	assert_works_for(2);
	fetch(from(&other, 3), 2, false); /* within it, results and borrowed things come out of queues */
	assert_works_for(2);
	fetch(f, 2, false);
	assert_works_for(2);
}

static void who_serves_a_request_goes_on_serving_it(void **state)
{
	(void)state;
	fetch(from(&jobs, 2), 1, true);
	assert_int_equal(w.what, WORKER_NOTHING);
	assert_null(w.home);
}

/* A worker that was given a connection, has read a request on it, and fetches again: another connection, or a result? */
static void a_request_left_unanswered_makes_the_next_item_unknown(void **state)
{
	(void)state;
	fetch(from(&jobs, 1), 0, false);
	fetch(from(&jobs, 2), 1, true);
	assert_works_for(0);
	fetch(from(&jobs, 1), 1, true);
	assert_works_for(1);
}

static void what_is_borrowed_is_not_work(void **state)
{
	struct fetched f = from(&other, 2);

	(void)state;
	fetch(from(&jobs, 1), 0, false);
	f.returned = f.borrowed = true;
	fetch(f, 1, false);
	assert_works_for(1);
	fetch((struct fetched){.queue = &other}, 1, false);
	assert_works_for(1);
	f.returned = false; /* the first time round it cannot be told */
	fetch(f, 1, false);
	assert_works_for(0);
}

static void a_thread_that_borrows_before_all_else_keeps_what_it_was_started_for(void **state)
{
	struct fetched f = from(&other, 2);

	(void)state;
	f.returned = f.borrowed = true;
	fetch(f, 1, false);
	assert_int_equal(w.what, WORKER_NOTHING);
	assert_true(worker_returns(&w, &other, item(1)));
	assert_false(worker_returns(&w, &other, item(2)));
	assert_false(worker_returns(&w, &jobs, item(1)));
}

static void whoever_found_none_may_make_one_and_return_that(void **state)
{
	(void)state;
	worker_missed(&w, &other);
	assert_true(worker_returns(&w, &other, item(5)));
	fetch((struct fetched){.queue = &other}, 1, false);
	assert_true(worker_returns(&w, &other, item(6)));
	assert_int_equal(w.what, WORKER_NOTHING);
}

static void results_of_the_same_request_change_nothing(void **state)
{
	(void)state;
	fetch(from(&jobs, 1), 0, false);
	fetch(from(&other, 1), 1, false);
	assert_works_for(1);
	fetch(from(&other, 2), 1, false); /* two queues of its own, in turns? */
	assert_works_for(0);
	fetch(from(&jobs, 3), 0, false);
	assert_works_for(3);
}

#define WORKER_TEST(test) cmocka_unit_test_setup(test, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORKER_TEST(a_worker_works_for_whoever_put_the_item),
		WORKER_TEST(one_item_of_another_does_not_tell_what_a_queue_is),
		WORKER_TEST(the_second_item_does),
		WORKER_TEST(an_executors_item_is_work),
		WORKER_TEST(who_serves_a_request_goes_on_serving_it),
		WORKER_TEST(a_request_left_unanswered_makes_the_next_item_unknown),
		WORKER_TEST(what_is_borrowed_is_not_work),
		WORKER_TEST(a_thread_that_borrows_before_all_else_keeps_what_it_was_started_for),
		WORKER_TEST(whoever_found_none_may_make_one_and_return_that),
		WORKER_TEST(results_of_the_same_request_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
