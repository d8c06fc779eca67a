/* SPDX-License-Identifier: Apache-2.0 */
/* Who the parent is where no bytes say it: the thread, the opener, equal heads (rules 5 to 7), or none of them. */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <unistd.h>

#include "shim/engine.h"
#include "shim/thread.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/engine_hooks.h"
#include "tests/unit/rules_fixture.h"

static int up(void **state)
{
	(void)state;
	engine_up(NULL);
	return 0;
}

static int up_content(void **state)
{
	(void)state;
	engine_up((const char *const[]){"INTERSPAN_CONTENT_RULE=true", NULL});
	return 0;
}

static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* ---- rule 5 ---- */

static void a_thread_that_serves_is_the_parent(void **state)
{
	struct link a = hook_accept(), out = idle_connection();
	const struct record *r;

	(void)state;
	serve_begin(&a, REQUEST);
	r = call(&out, REQUEST);
	assert_int_equal(r->evidence, EVIDENCE_THREAD);
	assert_int_equal(call(&out, REQUEST)->evidence, EVIDENCE_THREAD);
	end_one(&a, &out);
	assert_true(span_is_child_of(r, span_nth(SPAN_SERVER, 0)));
}

/* Whatever revokes the class does it for good: not even a lone request is believed afterwards. */
static void assert_class_revoked(struct link *out, unsigned revoked)
{
	struct link late = hook_accept();

	assert_int_equal(counted(STAT_RULES_REVOKED), revoked);
	serve_begin(&late, REQUEST);
	assert_int_not_equal(call(out, REQUEST)->evidence, EVIDENCE_THREAD);
	serve_end(&late);
	link_close(&late);
	link_close(out);
}

static void a_second_read_revokes_the_class(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();

	(void)state;
	serve_begin(&a, REQUEST);
	serve_begin(&b, REQUEST);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 2);
	end_both(&a, &b);
	assert_class_revoked(&out, 1);
}

static void a_condition_wait_revokes_the_class(void **state)
{
	struct link a = hook_accept(), out = idle_connection();

	(void)state;
	engine_condition_waiting(&condition, &mutex); /* with nothing open: no harm */
	assert_int_equal(counted(STAT_RULES_REVOKED), 0);
	serve_begin(&a, REQUEST);
	engine_condition_waiting(&condition, &mutex);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 1);
	serve_end(&a);
	link_close(&a);
	assert_class_revoked(&out, 2); /* and the condition is no queue of jobs */
}

static void a_wait_for_events_revokes_the_class(void **state)
{
	struct link a = hook_accept(), out = idle_connection();

	(void)state;
	serve_begin(&a, REQUEST);
	hook_waited(hook_epoll(), -1, 1);
	serve_end(&a);
	link_close(&a);
	assert_class_revoked(&out, 1);
}

static void a_new_connection_revokes_the_class(void **state)
{
	struct link a = hook_accept(), b, out = idle_connection();

	(void)state;
	serve_begin(&a, REQUEST);
	b = hook_accept();
	serve_end(&a);
	link_close(&a);
	link_close(&b);
	assert_class_revoked(&out, 1);
}

/* Polling for the answer to its own call is what a thread that serves one request does. */
static void a_poll_for_its_own_call_does_not(void **state)
{
	struct link a = hook_accept(), other = hook_accept(), out = idle_connection();
	struct pollfd own[] = {{out.ours, POLLIN, 0}, {a.ours, POLLIN, 0}}, all[] = {{other.ours, POLLIN, 0}, own[0]};

	(void)state;
	serve_begin(&a, REQUEST);
	call_begin(&out, REQUEST, NULL, 0);
	engine_waiting_at_most(1000);
	engine_poll_begin(own, 2);
	engine_poll_end(1);
	call_end(&out);
	assert_int_equal(call(&out, REQUEST)->evidence, EVIDENCE_THREAD);
	assert_int_equal(counted(STAT_RULES_REVOKED), 0);
	engine_poll_begin(all, 2);
	engine_poll_end(1);
	assert_int_equal(counted(STAT_RULES_REVOKED), 1);
	link_close(&other);
	end_one(&a, &out);
}

/* Where a thread has only ever waited for the next request of one connection, its timeouts are no timers. */
static void poll_for_a_request(const struct link *l, nfds_t n)
{
	struct pollfd fds[] = {{l->ours, POLLIN, 0}, {l->ours, POLLOUT, 0}};

	engine_waiting_at_most(1);
	engine_poll_begin(fds, n);
	engine_poll_end(1);
}

static void the_timeout_of_a_wait_for_the_next_request_is_no_timer(void **state)
{
	struct link a = hook_accept(), out = idle_connection();

	(void)state;
	poll_for_a_request(&a, 1);
	serve_begin(&a, REQUEST);
	usleep(5000);
	assert_int_equal(call(&out, REQUEST)->evidence, EVIDENCE_THREAD);
	serve_end(&a);
	poll_for_a_request(&a, 2);
	serve_begin(&a, REQUEST);
	usleep(5000);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 1);
	end_one(&a, &out);
}

/* ---- threads ---- */

static void *calls_twice(void *out)
{
	(void)call(out, REQUEST);
	engine_condition_waiting(&condition, &mutex);
	(void)call(out, REQUEST);
	return NULL;
}

static void a_thread_inherits_until_it_fetches_work(void **state)
{
	struct link a = hook_accept(), out = idle_connection();
	struct thread_run run;

	(void)state;
	serve_begin(&a, REQUEST);
	run_thread(&run, calls_twice, &out);
	join_thread(&run);
	end_one(&a, &out);
	assert_int_equal(span_at(0)->evidence, EVIDENCE_THREAD);
	assert_true(span_is_child_of(span_at(0), span_nth(SPAN_SERVER, 0)));
	assert_int_equal(span_at(1)->evidence, EVIDENCE_AMBIGUOUS);
}

static void *calls_sleeps_and_calls(void *out)
{
	(void)call(out, REQUEST);
	engine_sleeping();
	(void)call(out, REQUEST);
	return NULL;
}

static void a_thread_that_sleeps_with_nobody_else_there_inherits(void **state)
{
	struct link a = hook_accept(), out = idle_connection();
	struct thread_run run;

	(void)state;
	serve_begin(&a, REQUEST);
	run_thread(&run, calls_sleeps_and_calls, &out);
	join_thread(&run);
	end_one(&a, &out);
	assert_int_equal(span_at(1)->evidence, EVIDENCE_THREAD);
}

static sem_t both_have_begun;

static void *sleeps_and_calls(void *arg)
{
	struct link *l = arg;

	sem_wait(&both_have_begun);
	engine_sleeping();
	(void)call(&l[2], REQUEST);
	serve_end(&l[0]);
	serve_end(&l[1]);
	(void)call(&l[2], REQUEST);
	return NULL;
}

/* It may be one of a pool that looks for work in something that we do not see. What it does later is no trace of its own, either. */
static void among_others_it_works_for_anybody(void **state)
{
	struct link l[3] = {hook_accept(), hook_accept(), idle_connection()};
	struct thread_run run;

	(void)state;
	sem_init(&both_have_begun, 0, 0);
	serve_begin(&l[0], REQUEST);
	run_thread(&run, sleeps_and_calls, l);
	serve_begin(&l[1], REQUEST);
	sem_post(&both_have_begun);
	join_thread(&run);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(span_nth(SPAN_CLIENT, i)->evidence, EVIDENCE_AMBIGUOUS);
		assert_memory_equal(span_nth(SPAN_CLIENT, i)->parent_id, ((uint8_t[8]){0}), 8);
	}
	for (unsigned i = 0; i < 3; i++)
		link_close(&l[i]);
}

static void *serves(void *unused)
{
	struct link in = hook_accept(), out = hook_connect();

	(void)unused;
	for (int i = 0; i < 50; i++) {
		serve_begin(&in, REQUEST);
		call_begin(&out, REQUEST, NULL, 0);
		call_end(&out);
		serve_end(&in);
	}
	end_one(&in, &out);
	return NULL;
}

static void threads_serve_their_own(void **state)
{
	struct thread_run run[2];
	unsigned right = 0;

	(void)state;
	for (int i = 0; i < 2; i++)
		run_thread(&run[i], serves, NULL);
	for (int i = 0; i < 2; i++)
		join_thread(&run[i]);
	assert_int_equal(spans_count(), 200);
	for (unsigned i = 0; i < 100; i++)
		for (unsigned k = 0; k < 100; k++)
			right += span_nth(SPAN_CLIENT, i)->tid == span_nth(SPAN_SERVER, k)->tid &&
				 span_is_child_of(span_nth(SPAN_CLIENT, i), span_nth(SPAN_SERVER, k));
	assert_int_equal(right, 100);
}

/* ---- rule 6 ---- */

static void the_opener_is_the_parent_of_the_first_request(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out;
	int epfd = hook_epoll();
	const struct record *r;

	(void)state;
	hook_waited(epfd, -1, 1);
	serve_begin(&a, REQUEST);
	out = hook_connect();
	hook_waited(epfd, -1, 1);
	serve_begin(&b, REQUEST);
	hook_waited(epfd, -1, 1);
	r = call(&out, REQUEST);
	assert_int_equal(r->evidence, EVIDENCE_OPENER);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 2); /* and of no other */
	end_both(&a, &b);
	assert_true(span_is_child_of(r, span_nth(SPAN_SERVER, 0)));
	link_close(&out);
}

/* It made its call over another connection; this one is left for anybody. */
static void an_opener_that_called_elsewhere_is_not(void **state)
{
	struct link a = hook_accept(), old = idle_connection(), out;
	int epfd = hook_epoll();

	(void)state;
	hook_waited(epfd, -1, 1);
	serve_begin(&a, REQUEST);
	out = hook_connect();
	assert_int_equal(call(&old, REQUEST)->evidence, EVIDENCE_STIMULUS);
	hook_waited(epfd, -1, 1);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 1);
	link_close(&old);
	end_one(&a, &out);
}

/* Nobody knows for whom this one was opened; a request that has just arrived, for sure, did not do it. */
static void a_completed_connect_is_a_stimulus(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = hook_connect();
	int epfd = hook_epoll();

	(void)state;
	hook_waited(epfd, -1, 1);
	serve_begin(&a, REQUEST);
	hook_waited(epfd, -1, 2);
	serve_begin(&b, REQUEST);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 2);
	end_both(&a, &b);
	link_close(&out);
}

static void *serves_and_calls(void *out)
{
	struct link in = hook_accept();

	serve_begin(&in, REQUEST);
	assert_no_parent(call(out, REQUEST), EVIDENCE_AMBIGUOUS, 2);
	serve_end(&in);
	link_close(&in);
	return NULL;
}

/* Opened for a, used by a thread that serves b: both rules are exact, so neither is used. */
static void where_rules_disagree_neither_is_used(void **state)
{
	struct link a = hook_accept(), out;
	struct thread_run run;

	(void)state;
	hook_waited(hook_epoll(), -1, 1);
	serve_begin(&a, REQUEST);
	out = hook_connect();
	run_thread(&run, serves_and_calls, &out);
	join_thread(&run);
	assert_int_equal(counted(STAT_DISAGREEMENTS), 1);
	end_one(&a, &out);
}

/* ---- rule 7, and none ---- */

#define HEAD_A "GET /x HTTP/1.1\r\nHost: h\r\nX-Id: 1\r\n\r\n"
#define HEAD_B "GET /x HTTP/1.1\r\nHost: h\r\nX-Id: 2\r\n\r\n"

static void equal_heads(enum evidence expected)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();

	hook_waited(hook_epoll(), -1, 2);
	serve_begin(&a, HEAD_A);
	serve_begin(&b, HEAD_B);
	assert_int_equal(call(&out, HEAD_B)->evidence, expected);
	end_both(&a, &b);
	assert_int_equal(span_is_child_of(span_at(0), span_nth(SPAN_SERVER, 1)), expected == EVIDENCE_CONTENT);
	link_close(&out);
}

static void content_is_not_asked(void **state)
{
	(void)state;
	equal_heads(EVIDENCE_AMBIGUOUS);
}

static void content_is_asked_where_wanted(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();

	(void)state;
	equal_heads(EVIDENCE_CONTENT);
	hook_waited(hook_epoll(), -1, 2);
	serve_begin(&a, HEAD_A);
	serve_begin(&b, HEAD_A);
	assert_no_parent(call(&out, HEAD_A), EVIDENCE_AMBIGUOUS, 2);
	end_both(&a, &b);
	hook_waited(hook_epoll(), -1, 1);
	assert_no_parent(call(&out, HEAD_B), EVIDENCE_ROOT, 0); /* sent with nothing open: never believed again */
	a = hook_accept();
	serve_begin(&a, HEAD_B);
	no_thread_rule();
	assert_no_parent(call(&out, HEAD_B), EVIDENCE_AMBIGUOUS, 1);
	end_one(&a, &out);
}

static void links_are_at_most_four(void **state)
{
	struct link in[6], out = idle_connection();

	(void)state;
	for (int i = 0; i < 6; i++)
		in[i] = hook_accept();
	hook_waited(hook_epoll(), -1, 6);
	for (int i = 0; i < 6; i++)
		serve_begin(&in[i], REQUEST);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 4);
	for (int i = 0; i < 6; i++) {
		serve_end(&in[i]);
		link_close(&in[i]);
	}
	link_close(&out);
}

static void with_nothing_open_it_is_a_root(void **state)
{
	struct link out = idle_connection();

	(void)state;
	assert_no_parent(call(&out, REQUEST), EVIDENCE_ROOT, 0);
	link_close(&out);
}

/* What a request left behind when it ended is no root; the turn after, nothing speaks for that any more. */
static void after_a_request_it_is_none_for_certain(void **state)
{
	struct link a = hook_accept(), out = idle_connection(), fresh;
	int epfd = hook_epoll();

	(void)state;
	hook_waited(epfd, -1, 1);
	serve_begin(&a, REQUEST);
	serve_end(&a);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 0);
	fresh = hook_connect();
	hook_waited(epfd, -1, 1);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_ROOT, 0);
	hook_waited(epfd, -1, 1);
	assert_no_parent(call(&fresh, REQUEST), EVIDENCE_AMBIGUOUS, 0);
	link_close(&fresh);
	link_close(&a);
	link_close(&out);
}

#define TEST(test, up) cmocka_unit_test_setup_teardown(test, up, rules_balanced)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_thread_that_serves_is_the_parent, up),
		TEST(a_second_read_revokes_the_class, up),
		TEST(a_condition_wait_revokes_the_class, up),
		TEST(a_wait_for_events_revokes_the_class, up),
		TEST(a_new_connection_revokes_the_class, up),
		TEST(a_poll_for_its_own_call_does_not, up),
		TEST(the_timeout_of_a_wait_for_the_next_request_is_no_timer, up),
		TEST(a_thread_inherits_until_it_fetches_work, up),
		TEST(a_thread_that_sleeps_with_nobody_else_there_inherits, up),
		TEST(among_others_it_works_for_anybody, up),
		TEST(threads_serve_their_own, up),
		TEST(the_opener_is_the_parent_of_the_first_request, up),
		TEST(an_opener_that_called_elsewhere_is_not, up),
		TEST(a_completed_connect_is_a_stimulus, up),
		TEST(where_rules_disagree_neither_is_used, up),
		TEST(content_is_not_asked, up),
		TEST(content_is_asked_where_wanted, up_content),
		TEST(links_are_at_most_four, up),
		TEST(with_nothing_open_it_is_a_root, up),
		TEST(after_a_request_it_is_none_for_certain, up),
	};

	return ENGINE_RUN_EACH(tests);
}
