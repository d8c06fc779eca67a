/* SPDX-License-Identifier: Apache-2.0 */
/* Whose work a runtime's task or a work item is (rules 2 and 3): snapshots, references to a connection, detached work. */
#include "shim/carrier.h"

#include <unistd.h>

#include "shim/channel.h"
#include "shim/conn.h"
#include "shim/engine.h"
#include "shim/exchange.h"
#include "shim/runtime.h"
#include "shim/thread.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/engine_hooks.h"
#include "tests/unit/rules_fixture.h"

/* ---- a runtime of one task ---- */

static struct {
	enum runtime_answer answer;
	struct label task;
	struct handle accepted;
	unsigned requests, reads, other_reads, forks;
} fake;

static enum runtime_answer fake_current(struct thread *t, struct label *ret)
{
	(void)t;
	*ret = fake.task;
	return fake.answer;
}

static void fake_adopt(struct thread *t, const struct label *label)
{
	(void)t;
	fake.task = *label;
}

static void fake_accepted(struct thread *t, struct handle connection)
{
	(void)t;
	fake.accepted = connection;
}

static void fake_received(struct thread *t, struct conn *c)
{
	(void)t;
	fake.reads += c != NULL;
	fake.other_reads += c == NULL;
}

static void fake_requested(struct thread *t, struct conn *c, const struct context *context)
{
	(void)t;
	(void)c;
	fake.requests++;
	if (fake.task.kind == LABEL_UNKNOWN)
		fake.task = label_snapshot(context);
}

static const struct runtime fake_runtime = {
	.name = "fake",
	.current = fake_current,
	.adopt = fake_adopt,
	.accepted = fake_accepted,
	.received = fake_received,
	.requested = fake_requested,
};

static int up(void **state)
{
	(void)state;
	engine_up(NULL);
	runtime_register(&fake_runtime);
	return 0;
}

static int up_child(void **state)
{
	(void)state;
	engine_up((const char *const[]){"INTERSPAN_DETACHED=child", NULL});
	runtime_register(&fake_runtime);
	return 0;
}

static struct link request(void)
{
	struct link a = hook_accept();

	serve_begin(&a, REQUEST);
	return a;
}

/* ---- rule 2 ---- */

static void the_task_is_the_parent(void **state)
{
	struct link out = idle_connection(), a, b;
	const struct record *r;

	(void)state;
	fake.answer = RUNTIME_LABEL;
	a = request();
	b = request(); /* the thread has read two: no other rule could tell */
	r = call(&out, REQUEST);
	assert_int_equal(r->evidence, EVIDENCE_RUNTIME);
	end_both(&a, &b);
	assert_true(span_is_child_of(r, span_nth(SPAN_SERVER, 0)));
	assert_int_equal(fake.requests, 2);
	assert_int_equal(counted(STAT_RULE_RUNTIME), 1);
	link_close(&out);
}

static void a_task_of_nobody_makes_roots(void **state)
{
	struct link out = idle_connection(), a = request();

	(void)state;
	fake.answer = RUNTIME_LABEL;
	fake.task = (struct label){.kind = LABEL_NONE};
	assert_no_parent(call(&out, REQUEST), EVIDENCE_ROOT, 0);
	end_one(&a, &out);
}

/* A thread that serves one request would be its parent by rule 5; but the runtime knows better that nobody can know. */
static void what_the_runtime_cannot_tell_is_unknown(void **state)
{
	struct link out = idle_connection(), a = request();

	(void)state;
	fake.answer = RUNTIME_CANNOT_TELL;
	assert_no_parent(call(&out, REQUEST), EVIDENCE_AMBIGUOUS, 1);
	fake.answer = RUNTIME_ABSENT;
	assert_int_equal(call(&out, REQUEST)->evidence, EVIDENCE_THREAD);
	end_one(&a, &out);
}

/* Opened by the first request's task, used from outside of any. */
static void a_task_is_the_opener_of_its_connection(void **state)
{
	struct link a, b, out;
	int epfd = hook_epoll();
	const struct record *r;

	(void)state;
	no_thread_rule();
	fake.answer = RUNTIME_LABEL;
	hook_waited(epfd, -1, 1);
	a = request();
	b = request();
	out = hook_connect();
	fake.answer = RUNTIME_ABSENT;
	r = call(&out, REQUEST);
	assert_int_equal(r->evidence, EVIDENCE_OPENER);
	end_both(&a, &b);
	assert_true(span_is_child_of(r, span_nth(SPAN_SERVER, 0)));
	hook_close(epfd);
	link_close(&out);
}

/* ---- detached ---- */

static void what_outlives_its_request_begins_a_trace_that_the_task_stays_in(void **state)
{
	struct link out = idle_connection(), a;
	struct record_link link[1];
	const struct record *server, *first, *second;

	(void)state;
	fake.answer = RUNTIME_LABEL;
	a = request();
	serve_end(&a);
	server = span_nth(SPAN_SERVER, 0);
	first = call(&out, REQUEST);
	assert_int_equal(first->evidence, EVIDENCE_ROOT);
	assert_int_equal(span_links(first, link, 1), 1);
	assert_memory_equal(link[0].span_id, server->span_id, 8);
	assert_memory_not_equal(first->trace_id, server->trace_id, 16);
	second = call(&out, REQUEST);
	assert_int_equal(second->evidence, EVIDENCE_RUNTIME);
	assert_true(span_is_child_of(second, first));
	link_close(&a);
	link_close(&out);
}

static void detached_work_is_a_child_where_asked_for(void **state)
{
	struct link out = idle_connection(), a;
	const struct record *r;

	(void)state;
	fake.answer = RUNTIME_LABEL;
	a = request();
	serve_end(&a);
	r = call(&out, REQUEST);
	assert_int_equal(r->evidence, EVIDENCE_RUNTIME);
	assert_true(span_is_child_of(r, span_nth(SPAN_SERVER, 0)));
	link_close(&a);
	link_close(&out);
}

/* ---- references to a connection ---- */

static void a_reference_means_the_request_that_is_open(void **state)
{
	struct link out = idle_connection(), a = hook_accept();

	(void)state;
	fake.answer = RUNTIME_LABEL;
	fake.task = label_reference(fake.accepted);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_ROOT, 0);
	for (unsigned i = 0; i < 2; i++) {
		const struct record *r;

		serve_begin(&a, REQUEST);
		r = call(&out, REQUEST);
		serve_end(&a);
		assert_int_equal(r->evidence, EVIDENCE_RUNTIME);
		assert_true(span_is_child_of(r, span_nth(SPAN_SERVER, i)));
	}
	link_close(&a);
	link_close(&out);
}

static void a_reference_to_several_requests_cannot_tell(void **state)
{
	struct link out = idle_connection(), a = hook_accept();

	(void)state;
	no_thread_rule();
	fake.answer = RUNTIME_LABEL;
	fake.task = label_reference(fake.accepted);
	serve_begin(&a, REQUEST REQUEST);
	assert_int_equal(call(&out, REQUEST)->evidence, EVIDENCE_AMBIGUOUS);
	serve_end(&a);
	assert_int_equal(call(&out, REQUEST)->evidence, EVIDENCE_RUNTIME);
	serve_end(&a);
	link_close(&a);
	link_close(&out);
}

static void a_reference_dies_with_its_connection(void **state)
{
	struct link out = idle_connection(), a = hook_accept();
	struct label reference = label_reference(fake.accepted);
	struct context c;

	(void)state;
	link_close(&a);
	a = request(); /* in the same slot */
	assert_int_equal(label_resolve(&reference, &c), LABEL_STATE_UNKNOWN);
	end_one(&a, &out);
}

static void a_copy_made_during_a_request_is_that_requests(void **state)
{
	struct link a = hook_accept();
	struct label reference = label_reference(fake.accepted), before, during;
	struct context c, again;

	(void)state;
	label_derive(&reference, &before);
	serve_begin(&a, REQUEST);
	label_derive(&reference, &during);
	assert_int_equal(label_resolve(&during, &c), LABEL_STATE_OPEN);
	serve_end(&a);
	assert_int_equal(label_resolve(&during, &again), LABEL_STATE_OVER);
	assert_memory_equal(c.span_id, again.span_id, 8);
	assert_int_equal(before.kind, LABEL_CONNECTION);
	assert_int_equal(label_resolve(&before, &c), LABEL_STATE_OVER);
	link_close(&a);
}

static void a_copy_made_after_the_request_is_still_that_requests(void **state)
{
	struct link a = hook_accept();
	struct label reference = label_reference(fake.accepted), after;
	struct context c, again;

	(void)state;
	serve_begin(&a, REQUEST);
	assert_int_equal(label_resolve(&reference, &c), LABEL_STATE_OPEN);
	serve_end(&a);
	label_derive(&reference, &after);
	serve_begin(&a, REQUEST);
	assert_int_equal(label_resolve(&after, &again), LABEL_STATE_OVER);
	assert_memory_equal(c.span_id, again.span_id, 8);
	assert_int_equal(label_resolve(&reference, &again), LABEL_STATE_OPEN);
	serve_end(&a);
	link_close(&a);
}

/* Servers start the task of a pipelined request from that of the one before it. */
static void what_a_pipelined_requests_task_makes_is_unknown(void **state)
{
	struct link a = hook_accept();
	struct label reference = label_reference(fake.accepted), during, derived;

	(void)state;
	serve_begin(&a, REQUEST);
	label_derive(&reference, &during);
	label_derive(&during, &derived);
	assert_int_equal(derived.kind, LABEL_CONTEXT);
	serve_begin(&a, REQUEST);
	serve_end(&a);
	label_derive(&during, &derived);
	assert_int_equal(derived.kind, LABEL_UNKNOWN);
	serve_end(&a);
	link_close(&a);
}

static void a_reference_has_a_detached_trace_until_the_next_request(void **state)
{
	struct link a = hook_accept();
	struct label reference = label_reference(fake.accepted), derived;
	struct context trace = {.span_id = {7}, .trace_id = {8}}, c;

	(void)state;
	serve_begin(&a, REQUEST);
	serve_end(&a);
	label_adopt(&reference, &trace);
	assert_int_equal(label_resolve(&reference, &c), LABEL_STATE_TRACE);
	assert_memory_equal(c.span_id, trace.span_id, 8);
	label_derive(&reference, &derived);
	serve_begin(&a, REQUEST);
	assert_int_equal(label_resolve(&reference, &c), LABEL_STATE_OPEN);
	assert_int_equal(label_resolve(&derived, &c), LABEL_STATE_TRACE);
	serve_end(&a);
	assert_int_equal(label_resolve(&reference, &c), LABEL_STATE_OVER);
	link_close(&a);
}

/* ---- bytes handed over earlier ---- */

static void hand_over(struct link *l, const struct label *label)
{
	fd_word word;
	struct conn *c = conn_enter(l->ours, &word);

	assert_non_null(c);
	c->handed = *label;
	c->handed_by = &fake;
	c->has_handed = true;
	conn_leave(c);
}

static void what_was_handed_over_is_for_whom_it_was_then(void **state)
{
	struct link out = idle_connection(), a, b;
	struct label label;
	const struct record *r;

	(void)state;
	fake.answer = RUNTIME_LABEL;
	a = request();
	label = fake.task;
	b = request(); /* whose task runs when the bytes leave */
	hand_over(&out, &label);
	r = call(&out, REQUEST);
	assert_int_equal(r->evidence, EVIDENCE_RUNTIME);
	assert_int_equal(call(&out, REQUEST)->evidence, EVIDENCE_RUNTIME); /* nothing is handed over any more */
	hand_over(&out, &(struct label){.kind = LABEL_UNKNOWN});
	assert_int_equal(call(&out, REQUEST)->evidence, EVIDENCE_AMBIGUOUS);
	end_both(&a, &b);
	assert_true(span_is_child_of(r, span_nth(SPAN_SERVER, 0)));
	link_close(&out);
}

/* ---- rule 3 ---- */

static void a_work_item_is_for_whom_it_was_made(void **state)
{
	struct link out = idle_connection(), a = request(), b;
	struct thread *t = thread_self();
	struct carrier_saved saved, inner;
	struct label item, none;
	const struct record *r;

	(void)state;
	carrier_capture(t, &item);
	b = request();
	carrier_capture(t, &none);
	assert_int_equal(none.kind, LABEL_UNKNOWN);
	carrier_begin(t, &item, &saved);
	carrier_begin(t, &none, &inner);
	assert_int_equal(call(&out, REQUEST)->evidence, EVIDENCE_AMBIGUOUS);
	carrier_end(t, &inner);
	r = call(&out, REQUEST);
	carrier_end(t, &saved);
	assert_int_equal(r->evidence, EVIDENCE_WORK_ITEM);
	assert_int_equal(call(&out, REQUEST)->evidence, EVIDENCE_AMBIGUOUS);
	end_both(&a, &b);
	assert_true(span_is_child_of(r, span_nth(SPAN_SERVER, 0)));
	link_close(&out);
}

/* Serve a request in an item of it, or of the one before. Returns the evidence of the call that is made first. */
static unsigned serve_in_item(struct carrier_proof *proof, struct link *out, const struct label *label)
{
	struct link a = hook_accept();
	struct carrier_saved saved;
	struct label own;
	unsigned evidence;

	serve_begin(&a, REQUEST);
	carrier_capture(thread_self(), &own);
	carrier_begin_unproven(thread_self(), label ? label : &own, proof, &saved);
	evidence = call(out, REQUEST)->evidence;
	serve_end(&a);
	carrier_end(thread_self(), &saved);
	link_close(&a);
	return evidence;
}

static void an_unproven_item_is_believed_after_answers(void **state)
{
	static struct carrier_proof proof;
	struct link out = idle_connection();
	struct context gone = {.trace_id = {1}, .span_id = {1}, .exchange = {1, 1}};
	struct label other = label_snapshot(&gone);

	(void)state;
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(serve_in_item(&proof, &out, NULL), EVIDENCE_AMBIGUOUS);
	assert_int_equal(serve_in_item(&proof, &out, NULL), EVIDENCE_WORK_ITEM);
	(void)serve_in_item(&proof, &out, &other); /* it answers somebody else */
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(serve_in_item(&proof, &out, NULL), EVIDENCE_AMBIGUOUS);
	link_close(&out);
}

/* ---- channels ---- */

static void write_in(struct label *whose, uint32_t channel, const void *message)
{
	struct carrier_saved saved;

	carrier_begin(thread_self(), whose, &saved);
	assert_int_not_equal(channel_writing(thread_self(), channel, &(struct iovec){&message, sizeof(message)}, 1), 0);
	carrier_end(thread_self(), &saved);
}

static bool read_is(uint32_t channel, const void *const *messages, unsigned n, const struct label *expected)
{
	struct thread *t = thread_self();

	channel_read(t, channel, &(struct iovec){(void *)(uintptr_t)messages, n * sizeof(messages[0])}, 1, n * sizeof(messages[0]));
	return expected ? t->has_handed && label_same(&t->handed, expected) : !t->has_handed;
}

static void a_message_is_known_by_its_bytes(void **state)
{
	struct link a = request(), b = request();
	struct label of_a, of_b;
	struct context c;
	uint32_t channel = channel_new(2);
	const void *jobs[3] = {&a, &b, &of_a}, *small = (void *)1;

	(void)state;
	thread_self()->sync = HANDLE_NONE;
	assert_true(exchange_context(exchange_handle(exchange_at(1)), &c));
	of_a = label_snapshot(&c);
	assert_true(exchange_context(exchange_handle(exchange_at(2)), &c));
	of_b = label_snapshot(&c);
	write_in(&of_a, channel, jobs[0]);
	write_in(&of_b, channel, jobs[1]);
	assert_true(read_is(channel, &jobs[1], 1, &of_b));
	assert_true(read_is(channel, &jobs[0], 1, &of_a));
	assert_true(read_is(channel, &jobs[0], 1, NULL)); /* there was one only */
	write_in(&of_a, channel, jobs[0]);
	write_in(&of_b, channel, jobs[1]);
	assert_true(read_is(channel, jobs, 2, NULL));
	write_in(&of_a, channel, jobs[2]);
	write_in(&of_b, channel, jobs[2]);
	assert_true(read_is(channel, &jobs[2], 1, NULL));
	assert_true(read_is(channel, &jobs[2], 1, NULL));
	assert_int_equal(channel_writing(thread_self(), channel, &(struct iovec){&small, sizeof(small)}, 1), 0);
	channel_closed(channel);
	channel_closed(channel);
	channel_forget(thread_self());
	end_both(&a, &b);
}

static void nothing_open_is_nobodys(void **state)
{
	struct label item;

	(void)state;
	carrier_capture(thread_self(), &item);
	assert_int_equal(item.kind, LABEL_NONE);
}

static void runtimes_hear_of_reads(void **state)
{
	struct link a = request();
	int event[2];
	char byte;

	(void)state;
	assert_int_equal(fake.reads, 1);
	assert_int_equal(pipe(event), 0);
	engine_opened(event[0], FD_PIPE);
	assert_int_equal(write(event[1], "x", 1), 1);
	assert_int_equal(fake.other_reads, 0);
	(void)engine_received(event[0], &(struct iovec){&byte, 1}, 1, 0, read(event[0], &byte, 1));
	assert_int_equal(fake.other_reads, 1);
	close(event[1]);
	hook_close(event[0]);
	serve_end(&a);
	link_close(&a);
}

#define CARRIER_TEST(test) cmocka_unit_test_setup_teardown(test, up, rules_balanced)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CARRIER_TEST(the_task_is_the_parent),
		CARRIER_TEST(a_task_of_nobody_makes_roots),
		CARRIER_TEST(what_the_runtime_cannot_tell_is_unknown),
		CARRIER_TEST(a_task_is_the_opener_of_its_connection),
		CARRIER_TEST(what_outlives_its_request_begins_a_trace_that_the_task_stays_in),
		cmocka_unit_test_setup_teardown(detached_work_is_a_child_where_asked_for, up_child, rules_balanced),
		CARRIER_TEST(a_reference_means_the_request_that_is_open),
		CARRIER_TEST(a_reference_to_several_requests_cannot_tell),
		CARRIER_TEST(a_reference_dies_with_its_connection),
		CARRIER_TEST(a_copy_made_during_a_request_is_that_requests),
		CARRIER_TEST(a_copy_made_after_the_request_is_still_that_requests),
		CARRIER_TEST(what_a_pipelined_requests_task_makes_is_unknown),
		CARRIER_TEST(a_reference_has_a_detached_trace_until_the_next_request),
		CARRIER_TEST(what_was_handed_over_is_for_whom_it_was_then),
		CARRIER_TEST(a_work_item_is_for_whom_it_was_made),
		CARRIER_TEST(an_unproven_item_is_believed_after_answers),
		CARRIER_TEST(a_message_is_known_by_its_bytes),
		CARRIER_TEST(nothing_open_is_nobodys),
		CARRIER_TEST(runtimes_hear_of_reads),
	};

	return ENGINE_RUN_EACH(tests);
}
