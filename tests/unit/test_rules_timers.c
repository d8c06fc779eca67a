/* SPDX-License-Identifier: Apache-2.0 */
/* Timers make calls of nobody's (health checks), and no call tells us that one is at work: only what loops wait for does. */
#include <stdio.h>
#include <unistd.h>

#include "shim/engine.h"
#include "shim/thread.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/engine_hooks.h"
#include "tests/unit/rules_fixture.h"

#define HOUR_MS 3600000

static int up(void **state)
{
	(void)state;
	engine_up((const char *const[]){"INTERSPAN_STAMP=off", NULL});
	return 0;
}

/* The first call of the only request there is, in the window that is open. */
static const struct record *first_call(const struct link *out)
{
	struct link a = hook_accept();
	const struct record *r;

	serve_begin(&a, REQUEST);
	r = call(out, REQUEST);
	serve_end(&a);
	link_close(&a);
	return r;
}

static void it_may_fall_due_within_the_window(void **state)
{
	struct link a = hook_accept(), out = idle_connection();
	int epfd = hook_epoll();

	(void)state;
	no_thread_rule();
	hook_waited(epfd, -1, 1);
	hook_waited(epfd, 20, 1);
	serve_begin(&a, REQUEST);
	usleep(20000);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 1);
	end_one(&a, &out);
}

/* That a thread serves one request at a time is not known of a loop before it waits again. */
static void a_loops_first_request_proves_no_service(void **state)
{
	struct link out = idle_connection();
	int epfd = hook_epoll();

	(void)state;
	hook_waited(epfd, -1, 1);
	hook_waited(epfd, 1, 1);
	assert_no_parent(first_call(&out), EVIDENCE_AMBIGUOUS, 1);
	link_close(&out);
}

/* ---- timers that threads share ---- */

struct waiter {
	int epfd, timeout_ms;
};

static void waits(void *arg)
{
	const struct waiter *w = arg;

	hook_waited(w->epfd, -1, 1);
	hook_waited(w->epfd, w->timeout_ms, 1);
}

/* Another loop waits for a timer that is due in timeout_ms; here, what arrives then alone makes a call, after so many turns. */
static enum evidence beside_timer_of(int timeout_ms, unsigned turns_after)
{
	struct waiter w = {hook_epoll(), timeout_ms};
	struct link out = idle_connection();
	int epfd = hook_epoll();
	enum evidence evidence;

	no_thread_rule();
	hook_waited(epfd, -1, 1);
	hook_waited(epfd, -1, 1);
	other_thread_begin(waits, &w);
	if (turns_after)
		usleep(10000);
	for (unsigned i = 0; i <= turns_after; i++)
		hook_waited(epfd, -1, 1);
	evidence = first_call(&out)->evidence;
	other_thread_end();
	link_close(&out);
	return evidence;
}

static void another_loops_could_be_it(void **state)
{
	(void)state;
	assert_int_equal(beside_timer_of(1, 0), EVIDENCE_AMBIGUOUS);
}

static void another_loops_far_away_could_not(void **state)
{
	(void)state;
	assert_int_equal(beside_timer_of(HOUR_MS, 0), EVIDENCE_STIMULUS);
}

static void another_loops_is_over_after_a_turn(void **state)
{
	(void)state;
	assert_int_equal(beside_timer_of(1, 2), EVIDENCE_STIMULUS);
}

/* ---- a check that was opened beside the call ---- */

static enum evidence first_of_two_opened(bool threads, unsigned own_calls)
{
	struct link a = hook_accept(), idle = idle_connection(), one, two;
	int epfd = hook_epoll();
	enum evidence evidence;

	no_thread_rule();
	if (threads)
		other_thread_begin(NULL, NULL);
	hook_waited(epfd, -1, 1);
	serve_begin(&a, REQUEST);
	if (own_calls)
		(void)call(&idle, REQUEST);
	one = hook_connect();
	two = own_calls ? idle : hook_connect();
	hook_waited(epfd, -1, 1);
	evidence = call(&one, REQUEST)->evidence;
	if (threads)
		other_thread_end();
	serve_end(&a);
	link_close(&a);
	link_close(&one);
	if (!own_calls)
		link_close(&two);
	link_close(&idle);
	return evidence;
}

static void where_threads_share_timers_only_the_one_it_opened_counts(void **state)
{
	(void)state;
	assert_int_equal(first_of_two_opened(false, 0), EVIDENCE_OPENER);
	assert_int_equal(first_of_two_opened(true, 0), EVIDENCE_AMBIGUOUS);
	assert_int_equal(first_of_two_opened(true, 1), EVIDENCE_AMBIGUOUS);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, up, rules_balanced)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_may_fall_due_within_the_window),
		TEST(a_loops_first_request_proves_no_service),
		TEST(another_loops_could_be_it),
		TEST(another_loops_far_away_could_not),
		TEST(another_loops_is_over_after_a_turn),
		TEST(where_threads_share_timers_only_the_one_it_opened_counts),
	};

	return ENGINE_RUN_EACH(tests);
}
