/* SPDX-License-Identifier: Apache-2.0 */
/* Who the parent is where no bytes say it: the only stimulus (rule 4), its oracle, isolation; each reason not to answer. */
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "shim/engine.h"
#include "shim/loop.h"
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

static int up_not_isolated(void **state)
{
	(void)state;
	engine_up((const char *const[]){"INTERSPAN_ISOLATION=off", NULL});
	return 0;
}

/* The only event of a wait: a request. */
static void arrives(const struct link *l, int epfd)
{
	hook_waited(epfd, -1, 1);
	serve_begin(l, REQUEST);
}

/* ---- rule 4 ---- */

static void the_only_stimulus_is_the_parent(void **state)
{
	struct link a = hook_accept(), out = idle_connection();
	int epfd = hook_epoll();
	const struct record *r;

	(void)state;
	no_thread_rule();
	arrives(&a, epfd);
	r = call(&out, REQUEST);
	assert_int_equal(r->evidence, EVIDENCE_STIMULUS);
	assert_string_equal(span_text(r, ATTR_INTERSPAN_PARENT_EVIDENCE), "stimulus");
	end_one(&a, &out);
	assert_true(span_is_child_of(r, span_nth(SPAN_SERVER, 0)));
}

static void of_two_stimuli_neither_is(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();

	(void)state;
	hook_waited(hook_epoll(), -1, 2);
	serve_begin(&a, REQUEST);
	serve_begin(&b, REQUEST);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 2);
	assert_int_equal(counted(STAT_AMBIGUOUS), 1);
	end_both(&a, &b);
	link_close(&out);
}

/* The response for b's first call arrives; what is sent then could be a's, which waits for we do not know what. */
static void a_parked_request_could_be_it(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();
	int epfd = hook_epoll();

	(void)state;
	arrives(&a, epfd);
	arrives(&b, epfd);
	/* A request that has just arrived is no reason for a parked one to go on. */
	call_begin(&out, REQUEST, NULL, 0);
	hook_waited(epfd, -1, 1);
	call_end(&out);
	assert_int_equal(span_at(0)->evidence, EVIDENCE_STIMULUS);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 2);
	end_both(&a, &b);
	assert_true(span_is_child_of(span_at(0), span_nth(SPAN_SERVER, 1)));
	link_close(&out);
}

/* One that waits for a call of its own is not parked. */
static void a_waiting_request_could_not(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out_a = idle_connection(), out_b = idle_connection();
	int epfd = hook_epoll();

	(void)state;
	arrives(&a, epfd);
	call_begin(&out_a, REQUEST, NULL, 0);
	arrives(&b, epfd);
	call_begin(&out_b, REQUEST, NULL, 0);
	hook_waited(epfd, -1, 1);
	call_end(&out_b);
	assert_int_equal(call(&out_b, REQUEST)->evidence, EVIDENCE_STIMULUS);
	call_end(&out_a);
	end_both(&a, &b);
	assert_true(span_is_child_of(span_at(1), span_nth(SPAN_SERVER, 1)));
	assert_true(span_is_child_of(span_at(2), span_nth(SPAN_SERVER, 0)));
	link_close(&out_a);
	link_close(&out_b);
}

static void a_wake_up_could_be_it(void **state)
{
	struct link a = hook_accept(), out = idle_connection();
	int event = eventfd(1, EFD_NONBLOCK);
	uint64_t value;

	(void)state;
	no_thread_rule();
	engine_opened(event, FD_EVENT);
	hook_waited(hook_epoll(), -1, 2);
	serve_begin(&a, REQUEST);
	assert_int_equal(read(event, &value, 8), 8);
	assert_int_equal(engine_received(event, &(struct iovec){&value, 8}, 1, 0, 8), 8);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 1);
	end_one(&a, &out);
	hook_close(event);
}

/* Watched edge-triggered it need not be read: the event is all there is to see. */
static const struct record *after_events_of(uint32_t watched, int op, uint64_t waker_data)
{
	struct link a = hook_accept(), out = idle_connection();
	struct epoll_event waker = {.events = watched, .data.u64 = waker_data}, connection = {.events = EPOLLIN, .data.u64 = 8};
	struct epoll_event events[2] = {{.events = EPOLLIN, .data.u64 = 8}, {.events = EPOLLIN, .data.u64 = 7}};
	int event = eventfd(1, EFD_NONBLOCK), epfd = hook_epoll();
	const struct record *r;

	no_thread_rule();
	engine_opened(event, FD_EVENT);
	engine_epoll_changed(epfd, EPOLL_CTL_ADD, event, &waker);
	engine_epoll_changed(epfd, EPOLL_CTL_ADD, a.ours, &connection);
	if (op == EPOLL_CTL_DEL)
		engine_epoll_changed(epfd, op, event, NULL);
	engine_waiting_at_most(-1);
	(void)engine_wait_begin(epfd, 2);
	engine_wait_end(epfd, events, 2);
	serve_begin(&a, REQUEST);
	r = call(&out, REQUEST);
	end_one(&a, &out);
	hook_close(event);
	hook_close(epfd);
	return r;
}

static void an_edge_triggered_wake_up_could_be_it(void **state)
{
	(void)state;
	assert_no_parent(after_events_of(EPOLLIN | EPOLLET, 0, 7), EVIDENCE_AMBIGUOUS, 1);
}

static void one_that_was_not_at_work_could_not(void **state)
{
	(void)state;
	assert_int_equal(after_events_of(EPOLLIN | EPOLLET, 0, 9)->evidence, EVIDENCE_STIMULUS);
	/* Level-triggered it has to be read, and has not been. */
	assert_int_equal(after_events_of(EPOLLIN, 0, 7)->evidence, EVIDENCE_STIMULUS);
	/* No longer watched, it is nothing; the number may be anybody's. */
	assert_int_equal(after_events_of(EPOLLIN | EPOLLET, EPOLL_CTL_DEL, 7)->evidence, EVIDENCE_STIMULUS);
	/* Its data are another descriptor's now. */
	assert_int_equal(after_events_of(EPOLLIN | EPOLLET, 0, 8)->evidence, EVIDENCE_STIMULUS);
}

/* More wakers than are remembered: each event may be one of theirs. */
static void too_many_wakers_could_be_it(void **state)
{
	struct link a = hook_accept(), out = idle_connection();
	struct epoll_event other = {.events = EPOLLIN, .data.u64 = 99};
	int wakers[LOOP_WAKERS + 1], epfd = hook_epoll();

	(void)state;
	no_thread_rule();
	for (unsigned i = 0; i <= LOOP_WAKERS; i++) {
		struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = i};

		wakers[i] = eventfd(0, EFD_NONBLOCK);
		engine_opened(wakers[i], FD_EVENT);
		engine_epoll_changed(epfd, EPOLL_CTL_ADD, wakers[i], &event);
	}
	engine_waiting_at_most(-1);
	(void)engine_wait_begin(epfd, 2);
	engine_wait_end(epfd, &other, 1);
	serve_begin(&a, REQUEST);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 1);
	end_one(&a, &out);
	for (unsigned i = 0; i <= LOOP_WAKERS; i++)
		hook_close(wakers[i]);
	hook_close(epfd);
}

/* What it is shows when it is first used: inherited over exec, or made by a system call that we did not see. */
static void an_unknown_epoll_descriptor_becomes_a_loop(void **state)
{
	struct link a = hook_accept(), out = idle_connection();
	struct epoll_event event = {.events = EPOLLIN};
	int epfd = epoll_create1(EPOLL_CLOEXEC);

	(void)state;
	no_thread_rule();
	engine_epoll_changed(epfd, EPOLL_CTL_ADD, a.ours, &event);
	arrives(&a, epfd);
	assert_int_equal(call(&out, REQUEST)->evidence, EVIDENCE_STIMULUS);
	end_one(&a, &out);
	hook_close(epfd);
}

static const struct record *after_wait_of(int timeout_ms)
{
	struct link a = hook_accept(), out = idle_connection();
	int epfd = hook_epoll();
	const struct record *r;

	no_thread_rule();
	hook_waited(epfd, -1, 1);
	hook_waited(epfd, timeout_ms, 1);
	serve_begin(&a, REQUEST);
	r = call(&out, REQUEST);
	end_one(&a, &out);
	return r;
}

static void a_timer_that_is_due_could_be_it(void **state)
{
	(void)state;
	assert_no_parent(after_wait_of(1), EVIDENCE_AMBIGUOUS, 1); /* within the margin, so due whenever it returns */
}

static void a_timer_far_away_could_not(void **state)
{
	(void)state;
	assert_int_equal(after_wait_of(3600000)->evidence, EVIDENCE_STIMULUS);
}

static void a_look_keeps_the_window_open(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();
	int epfd = hook_epoll();

	(void)state;
	arrives(&a, epfd);
	hook_waited(epfd, 0, 0);
	assert_int_equal(call(&out, REQUEST)->evidence, EVIDENCE_STIMULUS);
	hook_waited(epfd, 0, 1);
	serve_begin(&b, REQUEST);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 2);
	end_both(&a, &b);
	assert_true(span_is_child_of(span_at(0), span_nth(SPAN_SERVER, 0)));
	link_close(&out);
}

static void a_revoked_rule_does_not_answer(void **state)
{
	struct link a = hook_accept(), out = idle_connection();
	int epfd = hook_epoll();

	(void)state;
	no_thread_rule();
	hook_waited(epfd, -1, 1);
	loop_revoke(thread_self()->loop, EVIDENCE_STIMULUS);
	serve_begin(&a, REQUEST);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 1);
	end_one(&a, &out);
}

/* With io_uring in use, anything may have happened. */
static void the_blind_eliminate_nothing(void **state)
{
	struct link a = hook_accept(), out, other = idle_connection();

	(void)state;
	hook_waited(hook_epoll(), -1, 1);
	serve_begin(&a, REQUEST);
	out = hook_connect(); /* labelled */
	engine_uring_seen();
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 1);
	assert_no_parent(call(&other, REQUEST), EVIDENCE_AMBIGUOUS, 1);
	link_close(&other);
	end_one(&a, &out);
}

/* ---- the oracle ---- */

static void an_answer_confirms_the_rule(void **state)
{
	struct link a = hook_accept(), out = idle_connection();
	int epfd = hook_epoll();

	(void)state;
	arrives(&a, epfd);
	call_begin(&out, REQUEST, NULL, 0);
	hook_waited(epfd, -1, 1);
	call_end(&out);
	end_one(&a, &out);
	assert_int_equal(counted(STAT_ORACLE_HITS), 1);
	assert_int_equal(counted(STAT_ORACLE_MISSES), 0);
}

/* The response was a's, so we said; b is answered with it. */
static void another_answer_revokes_it(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), c = hook_accept(), out = idle_connection();
	int epfd = hook_epoll();

	(void)state;
	arrives(&a, epfd);
	call_begin(&out, REQUEST, NULL, 0);
	arrives(&b, epfd);
	hook_waited(epfd, -1, 1);
	call_end(&out);
	serve_end(&b);
	assert_int_equal(counted(STAT_ORACLE_MISSES), 1);
	serve_end(&a);
	arrives(&c, epfd);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 1);
	serve_end(&c);
	link_close(&a);
	link_close(&b);
	link_close(&c);
	link_close(&out);
}

/* ---- isolation ---- */

static void a_new_loop_waits_for_one_event(void **state)
{
	struct link a = hook_accept();
	int epfd = hook_epoll();

	(void)state;
	engine_waiting_at_most(-1);
	assert_int_equal(engine_wait_begin(epfd, 64), 1);
	engine_wait_end(epfd, NULL, 1);
	serve_begin(&a, REQUEST);
	/* Only a look, with work queued: told that there is nothing, a bounded number of times. */
	for (int i = 0; i < 32; i++) {
		engine_waiting_at_most(0);
		assert_int_equal(engine_wait_begin(epfd, 64), 0);
		engine_wait_end(epfd, NULL, 0);
	}
	engine_waiting_at_most(0);
	assert_int_equal(engine_wait_begin(epfd, 64), 1);
	engine_wait_end(epfd, NULL, 0);
	serve_end(&a);
	link_close(&a);
}

static void watch(int epfd, int op, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events};

	engine_epoll_changed(epfd, op, fd, op == EPOLL_CTL_DEL ? NULL : &event);
}

/* A listener watched by the loop of epfd; a connection was just accepted from it. */
static int accepted_from_listener(int epfd, uint32_t events, int flags, struct link *ret)
{
	int fd = socket(AF_INET, SOCK_STREAM | flags, 0);

	engine_opened(fd, FD_SOCKET);
	engine_listening(fd);
	watch(epfd, EPOLL_CTL_ADD, fd, events);
	hook_waited(epfd, -1, 1);
	assert_false(engine_accept_must_wait(fd));
	*ret = hook_accept();
	return fd;
}

static void a_loop_accepts_one_at_a_time(void **state)
{
	int epfd = hook_epoll(), fd;
	struct link a;

	(void)state;
	fd = accepted_from_listener(epfd, EPOLLIN, SOCK_NONBLOCK, &a);
	assert_true(engine_accept_must_wait(fd));
	assert_false(engine_accept_must_wait(fd)); /* it insists */
	link_close(&a);
	a = hook_accept();
	hook_waited(epfd, -1, 1);
	assert_false(engine_accept_must_wait(fd));
	link_close(&a);
	a = hook_accept();
	watch(epfd, EPOLL_CTL_DEL, fd, 0);
	assert_false(engine_accept_must_wait(fd));
	link_close(&a);
	hook_close(fd);
}

/* Whoever would not be told again must get all there is. */
static void accepts_are_not_withheld(uint32_t events, int flags)
{
	struct link a;
	int fd = accepted_from_listener(hook_epoll(), events, flags, &a);

	assert_false(engine_accept_must_wait(fd));
	link_close(&a);
	hook_close(fd);
}

static void who_is_told_of_changes_only_accepts_all(void **state)
{
	struct link a;
	int fd, epfd = hook_epoll();

	(void)state;
	accepts_are_not_withheld(EPOLLIN | EPOLLET, SOCK_NONBLOCK);
	accepts_are_not_withheld(EPOLLIN | EPOLLONESHOT, SOCK_NONBLOCK);
	accepts_are_not_withheld(EPOLLIN, 0);
	accepts_are_not_withheld(0, SOCK_NONBLOCK);
	/* Once by changes: for good. */
	fd = accepted_from_listener(epfd, EPOLLIN | EPOLLET, SOCK_NONBLOCK, &a);
	watch(epfd, EPOLL_CTL_MOD, fd, EPOLLIN);
	assert_false(engine_accept_must_wait(fd));
	link_close(&a);
	hook_close(fd);
	/* What the inner one of two loops sees by level, the outer may not. */
	watch(epfd, EPOLL_CTL_ADD, hook_epoll(), EPOLLIN | EPOLLET);
	accepts_are_not_withheld(EPOLLIN, SOCK_NONBLOCK);
}

static void isolation_can_be_switched_off(void **state)
{
	int epfd = hook_epoll();

	(void)state;
	assert_int_equal(engine_wait_begin(epfd, 64), 64);
	accepts_are_not_withheld(EPOLLIN, SOCK_NONBLOCK);
	of_two_stimuli_neither_is(state);
	assert_int_equal(engine_wait_begin(epfd, 64), 64);
}

#define TEST(test, up) cmocka_unit_test_setup_teardown(test, up, rules_balanced)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_only_stimulus_is_the_parent, up),
		TEST(of_two_stimuli_neither_is, up),
		TEST(a_parked_request_could_be_it, up),
		TEST(a_waiting_request_could_not, up),
		TEST(a_wake_up_could_be_it, up),
		TEST(an_edge_triggered_wake_up_could_be_it, up),
		TEST(one_that_was_not_at_work_could_not, up),
		TEST(too_many_wakers_could_be_it, up),
		TEST(an_unknown_epoll_descriptor_becomes_a_loop, up),
		TEST(a_timer_that_is_due_could_be_it, up),
		TEST(a_timer_far_away_could_not, up),
		TEST(a_look_keeps_the_window_open, up),
		TEST(a_revoked_rule_does_not_answer, up),
		TEST(the_blind_eliminate_nothing, up),
		TEST(an_answer_confirms_the_rule, up),
		TEST(another_answer_revokes_it, up),
		TEST(a_new_loop_waits_for_one_event, up),
		TEST(a_loop_accepts_one_at_a_time, up),
		TEST(who_is_told_of_changes_only_accepts_all, up),
		TEST(isolation_can_be_switched_off, up_not_isolated),
	};

	return ENGINE_RUN_EACH(tests);
}
