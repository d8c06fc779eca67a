/* SPDX-License-Identifier: Apache-2.0 */
/* Work that may go on elsewhere: requests whose thread woke another one, and whom a call of unknown parent keeps waiting. */
#include <stdio.h>
#include <sys/eventfd.h>

#include "shim/engine.h"
#include "shim/thread.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/engine_hooks.h"
#include "tests/unit/rules_fixture.h"

#define FORWARDED(n) "GET /x HTTP/1.1\r\nHost: h\r\nX-Id: " n "\r\n\r\n"

static int up_with_threads(void **state)
{
	(void)state;
	engine_up((const char *const[]){"INTERSPAN_STAMP=off", NULL});
	other_thread_begin(NULL, NULL);
	no_thread_rule();
	return 0;
}

static int down(void **state)
{
	other_thread_end();
	return rules_balanced(state);
}

/* A wake-up: whatever is in this window may go on in another thread. */
static void wake_another(void)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t one = 1;

	engine_opened(fd, FD_EVENT);
	assert_int_equal(hook_send(fd, &one, sizeof(one), 0), sizeof(one));
	hook_close(fd);
}

/* Requests that come out again as they came in, until that is believed; each for itself. */
static void show_forwarder(int epfd)
{
	struct link in = hook_accept(), out = idle_connection();

	for (int i = 0; i < 8; i++) {
		hook_waited(epfd, -1, 1);
		serve_begin(&in, FORWARDED("0"));
		(void)call(&out, FORWARDED("0"));
		serve_end(&in);
	}
	end_one(&in, &out);
	spans_forget();
}

/* a is read, woke another thread, and calls over out_a, if that is given; then b is read, in a window of its own. */
struct scene {
	struct link a, b, out_a, out_b;
	int epfd;
};

static void hand_over_a(struct scene *s, bool calls)
{
	hook_waited(s->epfd, -1, 1);
	serve_begin(&s->a, FORWARDED("1"));
	wake_another();
	if (calls)
		call_begin(&s->out_a, FORWARDED("1"), NULL, 0);
	hook_waited(s->epfd, -1, 1);
	serve_begin(&s->b, FORWARDED("2"));
}

static struct scene set_scene(bool forwarder)
{
	struct scene s = {.epfd = hook_epoll()};

	if (forwarder)
		show_forwarder(s.epfd);
	s.a = hook_accept();
	s.b = hook_accept();
	s.out_a = idle_connection();
	s.out_b = idle_connection();
	return s;
}

static void end_scene(struct scene *s)
{
	end_both(&s->a, &s->b);
	link_close(&s->out_a);
	link_close(&s->out_b);
}

static void what_was_handed_over_could_be_it(void **state)
{
	struct scene s = set_scene(false);

	(void)state;
	hand_over_a(&s, true);
	assert_no_parent(call(&s.out_b, FORWARDED("2")), EVIDENCE_AMBIGUOUS, 1);
	end_scene(&s);
}

/* Where calls are made one at a time, it waits. */
static void a_forwarders_that_waits_could_not(void **state)
{
	struct scene s = set_scene(true);
	const struct record *r;

	(void)state;
	hand_over_a(&s, true);
	r = call(&s.out_b, FORWARDED("2"));
	assert_int_equal(r->evidence, EVIDENCE_STIMULUS);
	call_end(&s.out_a);
	end_scene(&s);
	assert_true(span_is_child_of(r, span_nth(SPAN_SERVER, 1)));
}

static void a_forwarders_that_has_not_called_could(void **state)
{
	struct scene s = set_scene(true);

	(void)state;
	hand_over_a(&s, false);
	assert_no_parent(call(&s.out_b, FORWARDED("2")), EVIDENCE_AMBIGUOUS, 2);
	end_scene(&s);
}

/* It was seen with two calls at once: it may make another one wherever it was handed to. */
static void one_that_fans_out_is_believed_no_more(void **state)
{
	struct scene s = set_scene(true);
	struct link c = hook_accept();

	(void)state;
	hook_waited(s.epfd, -1, 1);
	serve_begin(&c, FORWARDED("3"));
	call_begin(&s.out_a, FORWARDED("3"), NULL, 0);
	(void)call(&s.out_b, FORWARDED("3"));
	call_end(&s.out_a);
	serve_end(&c);
	link_close(&c);
	spans_forget();
	hand_over_a(&s, true);
	assert_no_parent(call(&s.out_b, FORWARDED("2")), EVIDENCE_AMBIGUOUS, 1);
	end_scene(&s);
}

/* That it may go on elsewhere, too, makes the call here no less its own. */
static void its_own_hand_over_is_no_doubt(void **state)
{
	struct scene s = set_scene(false);
	const struct record *r;

	(void)state;
	hook_waited(s.epfd, -1, 1);
	serve_begin(&s.a, FORWARDED("1"));
	wake_another();
	r = call(&s.out_a, FORWARDED("1"));
	assert_int_equal(r->evidence, EVIDENCE_STIMULUS);
	serve_end(&s.a);
	assert_true(span_is_child_of(r, span_nth(SPAN_SERVER, 0)));
	link_close(&s.a);
	link_close(&s.b);
	link_close(&s.out_a);
	link_close(&s.out_b);
}

/* ---- whom a call of unknown parent keeps waiting ---- */

/* Of a and b, read in one window, one calls: by its head. The call's parent stays unknown; then c is read, alone. */
static enum evidence after_unknown_call(struct scene *s, const char *of_a, const char *called)
{
	struct link c = hook_accept(), out_c = idle_connection();
	enum evidence evidence;

	hook_waited(s->epfd, -1, 1);
	serve_begin(&s->a, of_a);
	serve_begin(&s->b, FORWARDED("2"));
	call_begin(&s->out_a, called, NULL, 0);
	call_begin(&s->out_b, FORWARDED("2"), NULL, 0);
	hook_waited(s->epfd, -1, 1);
	serve_begin(&c, FORWARDED("3"));
	evidence = call(&out_c, FORWARDED("3"))->evidence;
	end_one(&c, &out_c);
	hook_waited(s->epfd, -1, 1);
	call_end(&s->out_a);
	call_end(&s->out_b);
	return evidence;
}

static void its_head_tells_who_waits(void **state)
{
	struct scene s = set_scene(true);
	uint64_t before = counted(STAT_AMBIGUOUS);

	(void)state;
	assert_int_equal(after_unknown_call(&s, FORWARDED("1"), FORWARDED("1")), EVIDENCE_STIMULUS);
	assert_in_range(counted(STAT_AMBIGUOUS) - before, 2, 3); /* who waits is no parent; nor does a lone call have one */
	end_scene(&s);
}

static void a_head_that_fits_nobody_tells_nothing(void **state)
{
	struct scene s = set_scene(true);

	(void)state;
	assert_int_equal(after_unknown_call(&s, FORWARDED("1"), FORWARDED("9")), EVIDENCE_AMBIGUOUS);
	end_scene(&s);
}

static void a_head_that_fits_two_tells_nothing(void **state)
{
	struct scene s = set_scene(true);

	(void)state;
	assert_int_equal(after_unknown_call(&s, FORWARDED("2"), FORWARDED("2")), EVIDENCE_AMBIGUOUS);
	end_scene(&s);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, up_with_threads, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_handed_over_could_be_it),
		TEST(a_forwarders_that_waits_could_not),
		TEST(a_forwarders_that_has_not_called_could),
		TEST(one_that_fans_out_is_believed_no_more),
		TEST(its_own_hand_over_is_no_doubt),
		TEST(its_head_tells_who_waits),
		TEST(a_head_that_fits_nobody_tells_nothing),
		TEST(a_head_that_fits_two_tells_nothing),
	};

	return ENGINE_RUN_EACH(tests);
}
