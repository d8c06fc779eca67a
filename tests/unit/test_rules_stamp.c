/* SPDX-License-Identifier: Apache-2.0 */
/* Rule 1: the bytes say whose call it is; and work whose request is over. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/forwarder.h"
#include "shim/config.h"
#include "shim/engine.h"
#include "shim/thread.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/engine_hooks.h"
#include "tests/unit/rules_fixture.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00-" TRACE "-00f067aa0ba902b7-01"
#define TRACED "GET /a HTTP/1.1\r\nHost: h\r\ntraceparent: " PARENT "\r\n\r\n"

static int up(void **state)
{
	(void)state;
	engine_up(NULL);
	return 0;
}

static int up_child(void **state)
{
	(void)state;
	engine_up((const char *const[]){"INTERSPAN_DETACHED=child", NULL});
	return 0;
}

static int up_root(void **state)
{
	(void)state;
	engine_up((const char *const[]){"INTERSPAN_DETACHED=root", NULL});
	return 0;
}

static int up_in_a_trace(void **state)
{
	(void)state;
	engine_up((const char *const[]){"TRACEPARENT=" PARENT, NULL});
	return 0;
}

/* A traced request arrives; head is what the program sees of it. */
static void stamped_request(const struct link *l, char head[512])
{
	peer_says(l, TRACED);
	(void)program_reads(l, head, 512);
	assert_string_not_equal(head, TRACED);
}

static const struct record *last_server(void)
{
	for (unsigned i = spans_count(); i > 0; i--)
		if (span_at(i - 1)->kind == SPAN_SERVER)
			return span_at(i - 1);
	fail();
	return NULL;
}

static void a_stamp_names_the_parent(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = hook_connect();
	char head_a[512], head_b[512];
	const struct record *for_a, *for_b;

	(void)state;
	hook_waited(hook_epoll(), -1, 2);
	stamped_request(&a, head_a);
	stamped_request(&b, head_b);
	for_b = call(&out, head_b);
	for_a = call(&out, head_a);
	assert_int_equal(for_a->evidence, EVIDENCE_STAMP);
	end_both(&a, &b);
	assert_true(span_is_child_of(for_a, span_nth(SPAN_SERVER, 0)));
	assert_true(span_is_child_of(for_b, span_nth(SPAN_SERVER, 1)));
	link_close(&out);
}

/* A rule that says otherwise than a stamp is not asked again where it did. */
static void a_stamp_revokes_what_contradicts_it(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();
	int epfd = hook_epoll();
	char head_a[512], head_b[512];

	(void)state;
	hook_waited(epfd, -1, 1);
	stamped_request(&a, head_a);
	hook_waited(epfd, -1, 1);
	stamped_request(&b, head_b);
	assert_int_equal(call(&out, head_a)->evidence, EVIDENCE_STAMP);
	hook_waited(epfd, -1, 1);
	end_both(&a, &b);
	a = hook_accept();
	serve_begin(&a, REQUEST);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 1);
	end_one(&a, &out);
}

static void a_stamp_of_one_that_has_ended(unsigned links, enum evidence evidence)
{
	struct link a = hook_accept(), out = hook_connect();
	const struct record *r, *server;
	struct record_link link;
	char head[512];

	stamped_request(&a, head);
	serve_end(&a);
	r = call(&out, head);
	server = span_nth(SPAN_SERVER, 0);
	assert_int_equal(r->evidence, evidence);
	assert_int_equal(span_links(r, &link, 1), links);
	assert_int_equal(counted(STAT_DETACHED), 1);
	assert_int_equal(span_is_child_of(r, server), evidence == EVIDENCE_STAMP);
	if (links)
		assert_memory_equal(link.span_id, server->span_id, 8);
	if (evidence == EVIDENCE_ROOT)
		assert_memory_not_equal(r->trace_id, server->trace_id, 16);
	link_close(&a);
	link_close(&out);
}

static void detached_work_is_linked(void **state)
{
	(void)state;
	a_stamp_of_one_that_has_ended(1, EVIDENCE_ROOT);
}

static void detached_work_is_a_child_where_wanted(void **state)
{
	(void)state;
	a_stamp_of_one_that_has_ended(0, EVIDENCE_STAMP);
}

static void detached_work_is_a_root_where_wanted(void **state)
{
	(void)state;
	a_stamp_of_one_that_has_ended(0, EVIDENCE_ROOT);
}

struct detached_work {
	struct link *in, *out;
};

static void *outlives_its_request(void *arg)
{
	struct detached_work *work = arg;

	serve_end(work->in); /* as its creator would, before any of the calls */
	(void)call(work->out, REQUEST);
	(void)call(work->out, REQUEST);
	return NULL;
}

static void work_that_outlives_its_request(void)
{
	struct link a = hook_accept(), out = hook_connect();
	struct detached_work work = {&a, &out};
	struct thread_run run;

	serve_begin(&a, REQUEST);
	run_thread(&run, outlives_its_request, &work);
	join_thread(&run);
	link_close(&a);
	link_close(&out);
	assert_int_equal(spans_count(), 3);
}

/* The first is a new root, linked to where it came from; what follows in the same thread joins its trace. */
static void further_detached_work_joins(void **state)
{
	struct record_link link;

	(void)state;
	work_that_outlives_its_request();
	assert_int_equal(span_at(1)->evidence, EVIDENCE_ROOT);
	assert_int_equal(span_links(span_at(1), &link, 1), 1);
	assert_memory_equal(link.span_id, span_at(0)->span_id, 8);
	assert_true(span_is_child_of(span_at(2), span_at(1)));
	assert_int_equal(span_links(span_at(2), &link, 1), 0);
}

static void further_detached_work_joins_a_root(void **state)
{
	(void)state;
	work_that_outlives_its_request();
	assert_no_parent(span_at(1), EVIDENCE_ROOT, 0);
	assert_true(span_is_child_of(span_at(2), span_at(1)));
}

static void detached_children_stay_children(void **state)
{
	(void)state;
	work_that_outlives_its_request();
	assert_true(span_is_child_of(span_at(1), span_at(0)));
	assert_true(span_is_child_of(span_at(2), span_at(0)));
}

/* The child of a fork knows its parent's stamps. */
static void a_stamp_is_known_after_fork(void **state)
{
	struct link a = hook_accept();
	char head[512];
	int status;
	pid_t pid;

	(void)state;
	stamped_request(&a, head);
	pid = fork();
	if (pid == 0) {
		struct link out = hook_connect();

		_exit(call(&out, head)->evidence != EVIDENCE_STAMP);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	serve_end(&a);
	assert_true(span_is_child_of(span_nth(SPAN_CLIENT, 0), span_nth(SPAN_SERVER, 0)));
	link_close(&a);
}

static void a_foreign_traceparent_is_the_parent(void **state)
{
	struct link out = hook_connect();
	const struct record *r;

	(void)state;
	r = call(&out, TRACED);
	assert_int_equal(r->evidence, EVIDENCE_STAMP);
	assert_memory_equal(r->parent_id, "\x00\xf0\x67\xaa\x0b\xa9\x02\xb7", 8);
	link_close(&out);
}

static void what_could_not_be_stamped_is_known_by_its_parent(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = hook_connect();
	const struct record *r;

	(void)state;
	config.stamp = "off";
	forwarder_start();
	hook_waited(hook_epoll(), -1, 2);
	serve_begin(&a, TRACED);
	serve_begin(&b, REQUEST);
	r = call(&out, TRACED);
	assert_int_equal(r->evidence, EVIDENCE_STAMP);
	end_both(&a, &b);
	assert_true(span_is_child_of(r, span_nth(SPAN_SERVER, 0)));
	link_close(&out);
}

/* Two with the same parent: the rules below decide between them. */
static void several_of_one_parent_are_told_apart_by_other_rules(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();
	int epfd = hook_epoll();
	const struct record *r;

	(void)state;
	config.stamp = "off";
	forwarder_start();
	hook_waited(epfd, -1, 1);
	serve_begin(&a, TRACED);
	hook_waited(epfd, -1, 1);
	serve_begin(&b, TRACED);
	r = call(&out, TRACED);
	assert_int_equal(r->evidence, EVIDENCE_STIMULUS);
	end_both(&a, &b);
	assert_true(span_is_child_of(r, span_nth(SPAN_SERVER, 1)));
	link_close(&out);
}

/* ... but only between them. */
static void another_than_those_named_is_not_the_parent(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), c = hook_accept(), out = idle_connection();
	int epfd = hook_epoll();
	char got[512];

	(void)state;
	config.stamp = "off";
	forwarder_start();
	hook_waited(epfd, -1, 2);
	serve_begin(&a, TRACED);
	serve_begin(&b, TRACED);
	hook_waited(epfd, -1, 1);
	serve_begin(&c, REQUEST);
	call_begin(&out, TRACED, got, sizeof(got));
	assert_string_equal(got, TRACED);
	call_end(&out);
	assert_int_equal(span_at(0)->evidence, EVIDENCE_AMBIGUOUS);
	end_both(&a, &b);
	end_one(&c, &out);
}

static void a_program_run_in_a_trace_joins_it(void **state)
{
	struct link out = hook_connect();
	const struct record *r;

	(void)state;
	r = call(&out, REQUEST);
	assert_int_equal(r->evidence, EVIDENCE_REMOTE);
	assert_memory_equal(r->parent_id, "\x00\xf0\x67\xaa\x0b\xa9\x02\xb7", 8);
	link_close(&out);
}

static void a_server_run_in_a_trace_does_not(void **state)
{
	struct link out = hook_connect();

	(void)state;
	engine_listening(99);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_ROOT, 0);
	link_close(&out);
	engine_exiting(); /* listening made a segment: it goes away again */
}

/* Eight stamps came back: this process copies them. So what bears none is for something else. */
static void a_forwarder_does_not_lose_stamps(void **state)
{
	struct link a = hook_accept(), out = hook_connect();
	char head[512];

	(void)state;
	for (int i = 0; i < 8; i++) {
		stamped_request(&a, head);
		assert_int_equal(call(&out, i < 7 ? head : REQUEST)->evidence,
				 i < 7 ? EVIDENCE_STAMP : EVIDENCE_THREAD); /* seven are not enough */
		if (i == 7)
			assert_int_equal(call(&out, head)->evidence, EVIDENCE_STAMP);
		serve_end(&a);
	}
	stamped_request(&a, head);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 1);
	end_one(&a, &out);
	assert_memory_equal(last_server()->parent_id, "\x00\xf0\x67\xaa\x0b\xa9\x02\xb7", 8);
}

/* What is started under a request gets its context. */
static void a_program_that_is_run_is_told(void **state)
{
	struct link a = hook_accept();
	char *envp[] = {"A=1", "TRACEPARENT=old", NULL}, *room[16], expected[64];
	struct exec_scratch scratch = {.envp = room, .envp_max = 16};
	char *const *got;

	(void)state;
	assert_ptr_equal(engine_exec_environment(NULL, envp, &scratch), envp);
	serve_begin(&a, TRACED);
	assert_null(engine_exec_environment(NULL, envp, NULL));
	got = engine_exec_environment(NULL, envp, &scratch);
	assert_string_equal(got[0], "A=1");
	assert_memory_equal(got[1], "TRACEPARENT=00-" TRACE "-", 48);
	assert_null(got[2]);
	sprintf(expected, "%.16s", got[1] + 48);
	serve_end(&a);
	for (int i = 0; i < 8; i++)
		assert_int_equal(strtoul((char[]){expected[2 * i], expected[2 * i + 1], '\0'}, NULL, 16),
				 span_nth(SPAN_SERVER, 0)->span_id[i]);
	link_close(&a);
}

#define TEST(test, up) cmocka_unit_test_setup_teardown(test, up, rules_balanced)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_stamp_names_the_parent, up),
		TEST(a_stamp_revokes_what_contradicts_it, up),
		TEST(detached_work_is_linked, up),
		TEST(detached_work_is_a_child_where_wanted, up_child),
		TEST(detached_work_is_a_root_where_wanted, up_root),
		TEST(further_detached_work_joins, up),
		TEST(further_detached_work_joins_a_root, up_root),
		TEST(detached_children_stay_children, up_child),
		TEST(a_stamp_is_known_after_fork, up),
		TEST(a_foreign_traceparent_is_the_parent, up),
		TEST(what_could_not_be_stamped_is_known_by_its_parent, up),
		TEST(several_of_one_parent_are_told_apart_by_other_rules, up),
		TEST(another_than_those_named_is_not_the_parent, up),
		TEST(a_program_run_in_a_trace_joins_it, up_in_a_trace),
		TEST(a_server_run_in_a_trace_does_not, up_in_a_trace),
		TEST(a_forwarder_does_not_lose_stamps, up),
		TEST(a_program_that_is_run_is_told, up),
	};

	return ENGINE_RUN_EACH(tests);
}
