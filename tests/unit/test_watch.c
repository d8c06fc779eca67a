/* SPDX-License-Identifier: Apache-2.0 */
/* Stalls of event loops: who is watched, what the watcher finds, and what the exchanges are told. */
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/clock.h"
#include "shim/config.h"
#include "shim/engine.h"
#include "shim/exchange.h"
#include "shim/process.h"
#include "shim/thread.h"
#include "shim/watch.h"
#include "shim/watcher.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/engine_hooks.h"
#include "tests/unit/rules_fixture.h"

#define MS 1000000ull
#define LIMIT (100 * MS)

static int loop;

static int up(void **state)
{
	(void)state;
	engine_up(NULL);
	loop = hook_epoll();
	no_thread_rule();
	return 0;
}

static int up_few_events(void **state)
{
	(void)state;
	engine_up((const char *const[]){"OTEL_SPAN_EVENT_COUNT_LIMIT=1", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT=1", NULL});
	loop = hook_epoll();
	no_thread_rule();
	return 0;
}

static int up_off(void **state)
{
	(void)state;
	engine_up((const char *const[]){"INTERSPAN_LOOP_STALL_MS=0", NULL});
	loop = hook_epoll();
	return 0;
}

static void wait_once(void)
{
	hook_waited(loop, -1, 1);
}

/* A connection that the loop has, and waited for. */
static struct link known(void)
{
	struct link l;

	wait_once();
	l = hook_accept();
	wait_once();
	return l;
}

/* The watcher looks, and looks again when the limit is over. */
static void stall(void)
{
	uint64_t now = clock_monotonic_ns();

	(void)watcher_look(now);
	(void)watcher_look(now + LIMIT);
}

struct found {
	char name[64], blocker[33];
	double seconds;
	bool has_seconds, has_tid;
	uint32_t dropped;
};

static void read_attribute(struct found *event, const struct record_item *item, const uint8_t *payload)
{
	if (item->type == ITEM_DOUBLE && item->key == ATTR_EVENT_LOOP_STALL_DURATION) {
		memcpy(&event->seconds, payload, sizeof(event->seconds));
		event->has_seconds = true;
	} else if (item->type == ITEM_STRING && item->key == ATTR_EVENT_LOOP_BLOCKER_SPAN_ID) {
		memcpy(event->blocker, payload, item->len);
	} else if (item->type == ITEM_INT && item->key == ATTR_THREAD_ID) {
		event->has_tid = true;
	} else if (item->type == ITEM_DROPPED) {
		memcpy(&event->dropped, payload, sizeof(event->dropped));
	}
}

/* Its events; returns their number. */
static unsigned events_of(const struct record *r, struct found *ret, unsigned max)
{
	struct record_item item;
	const uint8_t *payload;
	uint32_t cursor = 0;
	unsigned n = 0;
	bool inside = false;

	memset(ret, 0, max * sizeof(*ret));
	while (record_next(r, &cursor, &item, &payload)) {
		if (item.type == ITEM_EVENT) {
			assert_true(n < max);
			memcpy(ret[n++].name, payload + 8, item.len - 8u);
			inside = true;
		} else if (item.type == ITEM_EVENT_END) {
			inside = false;
		} else if (inside) {
			read_attribute(&ret[n - 1], &item, payload);
		}
	}
	return n;
}

static void hex(const struct record *r, char ret[17])
{
	for (int i = 0; i < 8; i++)
		snprintf(ret + 2 * i, 3, "%02x", r->span_id[i]);
}

static void assert_stalled(const struct record *r)
{
	struct found e[4];

	assert_int_equal(events_of(r, e, 4), 1);
	assert_string_equal(e[0].name, "event_loop.stall");
	assert_string_equal(e[0].blocker, "");
	assert_true(e[0].has_seconds && e[0].has_tid);
}

static void assert_blocked_by(const struct record *r, const struct record *blocker)
{
	struct found e[4];
	char id[17] = "";

	if (blocker)
		hex(blocker, id);
	assert_int_equal(events_of(r, e, 4), 1);
	assert_string_equal(e[0].name, "event_loop.blocked");
	assert_string_equal(e[0].blocker, id);
	assert_true(e[0].has_seconds);
}

static void assert_untouched(const struct record *r)
{
	struct found e[4];

	assert_int_equal(events_of(r, e, 4), 0);
}

/* ---- what is found ---- */

static void the_blocker_and_those_it_blocks(void **state)
{
	struct link victim = known(), blocker = known();

	(void)state;
	serve_begin(&victim, REQUEST);
	wait_once();
	serve_begin(&blocker, REQUEST);
	stall();
	serve_end(&blocker); /* it ends before the loop comes back to its wait */
	wait_once();
	serve_end(&victim);
	assert_stalled(span_at(0));
	assert_blocked_by(span_at(1), span_at(0));
	assert_int_equal(counted(STAT_LOOP_STALLS), 1);
	assert_int_equal(counted(STAT_LOOP_STALLS_UNKNOWN), 0);
}

static void a_blocker_that_stays_open(void **state)
{
	struct link victim = known(), blocker = known();

	(void)state;
	serve_begin(&victim, REQUEST);
	wait_once();
	serve_begin(&blocker, REQUEST);
	stall();
	wait_once();
	wait_once();
	serve_end(&victim);
	serve_end(&blocker);
	assert_blocked_by(span_at(0), span_at(1));
	assert_stalled(span_at(1));
}

/* The duration is that of the absence, from the request on. */
static void the_duration(void **state)
{
	struct link a = known();
	uint64_t begun = clock_monotonic_ns(), now;
	struct found e[1];

	(void)state;
	serve_begin(&a, REQUEST);
	(void)watcher_look(clock_monotonic_ns());
	usleep(120000);
	(void)watcher_look(clock_monotonic_ns());
	serve_end(&a);
	now = clock_monotonic_ns();
	assert_int_equal(events_of(span_at(0), e, 1), 1);
	assert_true(e[0].seconds >= 0.1 && e[0].seconds <= (double)(now - begun) / 1e9);
}

static void a_call_made_meanwhile_is_blocked_too(void **state)
{
	struct link waiting = known(), blocker = known(), out = hook_connect();

	(void)state;
	serve_begin(&waiting, REQUEST);
	program_says(&out, REQUEST);
	wait_once();
	serve_begin(&blocker, REQUEST);
	stall();
	serve_end(&blocker);
	wait_once();
	peer_says(&out, RESPONSE);
	call_end(&out);
	assert_blocked_by(span_nth(SPAN_CLIENT, 0), span_nth(SPAN_SERVER, 0));
}

static void what_was_read_late_has_waited(void **state)
{
	struct link blocker = known(), late = known(), later = known();

	(void)state;
	serve_begin(&blocker, REQUEST);
	stall();
	usleep(1000); /* as real time goes, the stall was short: make it long enough to be waited for */
	serve_end(&blocker);
	wait_once(); /* returns at once */
	serve_begin(&late, REQUEST);
	serve_end(&late);
	engine_waiting_at_most(-1);
	(void)engine_wait_begin(loop, 1);
	usleep(5000);
	engine_wait_end(loop, NULL, 1);
	serve_begin(&later, REQUEST);
	serve_end(&later);
	assert_stalled(span_at(0));
	assert_blocked_by(span_at(1), span_at(0));
	assert_untouched(span_at(2));
}

/* Two requests in one window, and no telling which of them it was: nobody is accused. */
static void nobody_is_accused_without_proof(void **state)
{
	struct link a = known(), b = known();

	(void)state;
	serve_begin(&a, REQUEST);
	serve_begin(&b, REQUEST);
	stall();
	serve_end(&a);
	serve_end(&b);
	assert_blocked_by(span_at(0), NULL);
	assert_blocked_by(span_at(1), NULL);
	assert_int_equal(counted(STAT_LOOP_STALLS_UNKNOWN), 1);
}

/* Where there are threads, one of them may have resumed what is parked: then the answer decides. */
static void the_answer_says_whose_it_was(void **state)
{
	struct link parked = known(), a = known(), b = known();

	(void)state;
	process_threads_uncounted();
	serve_begin(&parked, REQUEST);
	wait_once();
	serve_begin(&a, REQUEST);
	stall();
	serve_end(&a);
	wait_once();
	serve_begin(&b, REQUEST);
	stall();
	serve_end(&parked);
	serve_end(&b);
	assert_stalled(span_at(0));
	struct found e[4];
	assert_int_equal(events_of(span_at(1), e, 4), 2);
	assert_string_equal(e[1].name, "event_loop.blocked");
	assert_string_equal(e[1].blocker, "");
	assert_int_equal(events_of(span_at(2), e, 4), 2); /* it came late, too */
	assert_string_equal(e[1].name, "event_loop.blocked");
}

/* What is read after the stall does not make it unclear whose it was. */
static void what_is_read_afterwards_does_not_matter(void **state)
{
	struct link a = known(), b = known();

	(void)state;
	serve_begin(&a, REQUEST);
	stall();
	serve_begin(&b, REQUEST);
	serve_end(&b);
	wait_once();
	serve_end(&a);
	assert_blocked_by(span_at(0), span_at(1));
	assert_stalled(span_at(1));
}

static void two_stalls_in_one_window(void **state)
{
	struct link a = known();
	struct found e[4];

	(void)state;
	serve_begin(&a, REQUEST);
	stall();
	engine_received(a.ours, NULL, 0, 0, 0);
	thread_stimulated(thread_self(), thread_self()->window.who[0]); /* more of its body */
	stall();
	serve_end(&a);
	assert_int_equal(events_of(span_at(0), e, 4), 2);
	assert_int_equal(counted(STAT_LOOP_STALLS), 2);
}

/* ---- a runtime whose tasks are known ---- */

static struct label task;
static enum runtime_answer answer;

static const void *fake_place(void)
{
	return &task;
}

static enum runtime_answer fake_glimpse(const void *place, struct label *ret)
{
	assert_ptr_equal(place, &task);
	*ret = task;
	return answer;
}

static enum runtime_answer fake_current(struct thread *t, struct label *ret)
{
	(void)t;
	(void)ret;
	return RUNTIME_ABSENT;
}

static const struct runtime fake = {
	.name = "fake", .current = fake_current, .place = fake_place, .glimpse = fake_glimpse};

static int up_runtime(void **state)
{
	runtime_register(&fake);
	return up(state);
}

/* The task that ran is asked for, and not what the thread was woken for. */
static void the_task_says_whose_it_was(void **state)
{
	struct link a = known(), b = known();

	(void)state;
	serve_begin(&a, REQUEST);
	task = (struct label){.kind = LABEL_CONTEXT};
	assert_true(exchange_context(thread_self()->window.who[0], &task.context));
	answer = RUNTIME_LABEL;
	wait_once();
	serve_begin(&b, REQUEST);
	stall();
	serve_end(&b);
	wait_once();
	serve_end(&a);
	assert_blocked_by(span_at(0), span_at(1));
	assert_stalled(span_at(1));
}

/* A task that is nobody's, or not known: the eliminations would say b, and are not asked. */
static void a_task_of_nobodys_accuses_nobody(void **state)
{
	struct link b = known();

	(void)state;
	task.kind = LABEL_NONE;
	answer = RUNTIME_LABEL;
	serve_begin(&b, REQUEST);
	stall();
	wait_once();
	answer = RUNTIME_CANNOT_TELL;
	stall();
	serve_end(&b);
	struct found e[4];
	assert_int_equal(events_of(span_at(0), e, 4), 2);
	assert_string_equal(e[0].name, "event_loop.blocked");
	assert_string_equal(e[1].name, "event_loop.blocked");
	assert_int_equal(counted(STAT_LOOP_STALLS_UNKNOWN), 2);
}

/* ---- what is none ---- */

static void below_the_limit_is_no_stall(void **state)
{
	struct link a = known();
	uint64_t now;

	(void)state;
	serve_begin(&a, REQUEST);
	now = clock_monotonic_ns();
	(void)watcher_look(now);
	/* It is looked at again when it would become one. */
	assert_true(watcher_look(now + LIMIT - 10 * MS) <= now + LIMIT);
	serve_end(&a);
	wait_once();
	assert_untouched(span_at(0));
}

static void a_long_wait_is_no_stall(void **state)
{
	struct link a = known();

	(void)state;
	serve_begin(&a, REQUEST);
	engine_waiting_at_most(-1);
	(void)engine_wait_begin(loop, 1);
	stall();
	stall();
	engine_wait_end(loop, NULL, 1);
	serve_end(&a);
	assert_untouched(span_at(0));
	assert_int_equal(counted(STAT_LOOP_STALLS), 0);
}

static void a_loop_that_turns_has_not_stalled(void **state)
{
	struct link a = known();
	uint64_t now = clock_monotonic_ns();

	(void)state;
	serve_begin(&a, REQUEST);
	for (unsigned i = 0; i < 10; i++) {
		(void)watcher_look(now + i * 60 * MS);
		hook_waited(loop, 0, 0);
	}
	serve_end(&a);
	assert_untouched(span_at(0));
}

/* A worker: it waits for its listener, takes one connection, answers, and comes back. */
static void one_connection_at_a_time_keeps_nobody_waiting(void **state)
{
	struct link a;

	(void)state;
	wait_once();
	a = hook_accept();
	serve_begin(&a, REQUEST);
	stall();
	serve_end(&a);
	wait_once();
	assert_untouched(span_at(0));
	assert_null(thread_self()->watch);
}

/* poll() for one descriptor is no loop that serves many. */
static void a_poll_for_one(void **state)
{
	struct link a = hook_accept(), b = hook_accept();
	struct pollfd fds[2] = {{a.ours, POLLIN, 0}, {b.ours, POLLIN, 0}};

	(void)state;
	engine_poll_begin(fds, 1);
	engine_poll_end(1);
	serve_begin(&a, REQUEST);
	serve_end(&a);
	assert_null(thread_self()->watch);
	engine_poll_begin(fds, 2);
	engine_poll_end(1);
	serve_begin(&a, REQUEST);
	assert_non_null(thread_self()->watch);
	serve_end(&a);
}

static void switched_off(void **state)
{
	struct link a = known();

	(void)state;
	serve_begin(&a, REQUEST);
	stall();
	serve_end(&a);
	assert_untouched(span_at(0));
	assert_null(thread_self()->watch);
}

/* A verdict that comes when the window is over is nobody's. */
static void a_verdict_that_comes_too_late(void **state)
{
	struct link a = known();

	(void)state;
	serve_begin(&a, REQUEST);
	stall();
	uint32_t verdict = atomic_exchange(&thread_self()->watch->verdict, 0);
	wait_once();
	atomic_store(&thread_self()->watch->verdict, verdict);
	wait_once();
	serve_end(&a);
	assert_untouched(span_at(0));
	assert_int_equal(atomic_load(&thread_self()->watch->verdict), 0);
}

/* ---- limits, threads, processes ---- */

static void limits_hold(void **state)
{
	struct link a = known();
	struct found e[4];

	(void)state;
	serve_begin(&a, REQUEST);
	stall();
	wait_once();
	stall();
	wait_once();
	serve_end(&a);
	assert_int_equal(events_of(span_at(0), e, 4), 1);
	assert_true(e[0].has_seconds && !e[0].has_tid);
	assert_int_equal(e[0].dropped, 1);
}

static void *serve_one(void *unused)
{
	struct link a = known();

	(void)unused;
	serve_begin(&a, REQUEST);
	serve_end(&a);
	assert_non_null(thread_self()->watch);
	return NULL;
}

static void a_thread_that_ends_is_watched_no_more(void **state)
{
	struct thread_run run;

	(void)state;
	run_thread(&run, serve_one, NULL);
	join_thread(&run);
	assert_int_equal(watch_high_water(), 1);
	assert_int_equal(atomic_load(&watch_at(1)->tid), 0);
	/* The place is used again. */
	run_thread(&run, serve_one, NULL);
	join_thread(&run);
	assert_int_equal(watch_high_water(), 1);
}

static void a_thread_that_is_gone_is_found_out(void **state)
{
	struct link a = known();

	(void)state;
	serve_begin(&a, REQUEST);
	atomic_store(&thread_self()->watch->tid, 0x7ffffff0); /* nobody's */
	stall();
	assert_int_equal(atomic_load(&watch_at(1)->tid), 0);
	assert_int_equal(atomic_load(&watch_at(1)->verdict), 0);
	thread_self()->watch = NULL;
	serve_end(&a);
}

static void a_forked_child_is_watched_by_its_own_number(void **state)
{
	struct link a = known();
	int status = -1;
	pid_t pid;

	(void)state;
	serve_begin(&a, REQUEST);
	serve_end(&a);
	pid = fork();
	if (pid == 0)
		_exit(atomic_load(&thread_self()->watch->tid) != (uint32_t)gettid());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void so_many_stacks_a_second(void **state)
{
	const uint64_t second_ns = 1000000000;

	(void)state;
	for (uint64_t now_ns = 5 * second_ns; now_ns < 8 * second_ns; now_ns += second_ns) {
		for (unsigned i = 0; i < WATCHER_STACKS_A_SECOND; i++)
			assert_true(watcher_takes_stack(now_ns + i));
		assert_false(watcher_takes_stack(now_ns + second_ns - 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_blocker_and_those_it_blocks, up),
		cmocka_unit_test_setup(a_blocker_that_stays_open, up),
		cmocka_unit_test_setup(the_duration, up),
		cmocka_unit_test_setup(a_call_made_meanwhile_is_blocked_too, up),
		cmocka_unit_test_setup(what_was_read_late_has_waited, up),
		cmocka_unit_test_setup(nobody_is_accused_without_proof, up),
		cmocka_unit_test_setup(the_answer_says_whose_it_was, up),
		cmocka_unit_test_setup(what_is_read_afterwards_does_not_matter, up),
		cmocka_unit_test_setup(two_stalls_in_one_window, up),
		cmocka_unit_test_setup(the_task_says_whose_it_was, up_runtime),
		cmocka_unit_test_setup(a_task_of_nobodys_accuses_nobody, up_runtime),
		cmocka_unit_test_setup(below_the_limit_is_no_stall, up),
		cmocka_unit_test_setup(a_long_wait_is_no_stall, up),
		cmocka_unit_test_setup(a_loop_that_turns_has_not_stalled, up),
		cmocka_unit_test_setup(one_connection_at_a_time_keeps_nobody_waiting, up),
		cmocka_unit_test_setup(a_poll_for_one, up),
		cmocka_unit_test_setup(switched_off, up_off),
		cmocka_unit_test_setup(a_verdict_that_comes_too_late, up),
		cmocka_unit_test_setup(limits_hold, up_few_events),
		cmocka_unit_test_setup(a_thread_that_ends_is_watched_no_more, up),
		cmocka_unit_test_setup(a_thread_that_is_gone_is_found_out, up),
		cmocka_unit_test_setup(a_forked_child_is_watched_by_its_own_number, up),
		cmocka_unit_test_setup(so_many_stacks_a_second, up),
	};

	return ENGINE_RUN_EACH(tests);
}
