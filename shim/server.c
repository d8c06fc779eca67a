/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/server.h"

#include "shim/carrier.h"
#include "shim/channel.h"
#include "shim/clock.h"
#include "shim/coroutine.h"
#include "shim/filter.h"
#include "shim/forwarder.h"
#include "shim/http_attributes.h"
#include "shim/job_queue.h"
#include "shim/oracle.h"
#include "shim/process.h"
#include "shim/propagation.h"
#include "shim/runtime.h"
#include "shim/span.h"
#include "shim/stats.h"
#include "shim/thread.h"
#include "shim/watch.h"

_Atomic bool server_hashes_requests;

static bool expects_other(const struct http1_head *head)
{
	return !(head->n_kept[HTTP1_EXPECT] == 1 && slice_is_nocase(http1_kept(head, HTTP1_EXPECT), "100-continue", 12));
}

static uint32_t hash(uint32_t h, struct slice s)
{
	for (; s.len >= 8; s = slice_from(s, 8)) {
		uint64_t word;

		memcpy(&word, s.p, 8);
		word = (word ^ h) * 0x9e3779b97f4a7c15u;
		h = (uint32_t)(word >> 32) ^ (uint32_t)word;
	}
	for (size_t i = 0; i < s.len; i++)
		h = (h ^ s.p[i]) * 16777619u;
	return h;
}

uint32_t server_request_hash(struct slice method, struct slice target)
{
	return hash(hash(2166136261u, method) + 31u, target);
}

/* A thread that serves one request at a time answers this one before it reads another. */
static inline void note_service(struct thread *t, const struct exchange *e, const struct conn *c, coroutine_id here)
{
	const struct exchange *before = exchange_of(t->sync);

	t->has_inherited = false;
	channel_forget(t);
	if (here != COROUTINE_NONE)
		return;
	if (before && before->connection == conn_slot(c))
		return; /* pipelined: the older one is served first */
	if (before)
		thread_class_revoke(thread_class_of(t));
	t->sync = exchange_handle(e);
}

/* What INTERSPAN_EXCLUDE and INTERSPAN_TRUST_FROM say of it. */
struct admission {
	bool excluded;
	bool named;   /* the head names a parent */
	bool trusted; /* and it is obeyed */
};

static inline void admit(struct admission *a, struct exchange *e, struct conn *c, const struct http1_head *head)
{
	a->excluded = filter_excludes_any() && filter_excludes(head->target, conn_local(c)->port, conn_peer(c));
	a->named = (head->n_kept[HTTP1_TRACEPARENT] | head->n_kept[HTTP1_B3] | head->n_kept[HTTP1_X_B3_TRACEID]) != 0 &&
		   propagation_extract(head, &e->incoming);
	a->trusted = a->named && filter_trusts(conn_peer(c));
	if (a->named && !a->trusted)
		stats_count(STAT_UNTRUSTED);
}

static __attribute__((noinline)) void describe(struct exchange *e, struct conn *c, const struct http1_head *head,
					       const struct admission *a)
{
	span_open(e, SPAN_SERVER);
	span_parent(e, a->trusted ? &e->incoming : NULL, a->trusted ? EVIDENCE_REMOTE : EVIDENCE_ROOT);
	if (a->named && !a->trusted)
		span_link(e, &e->incoming);
	http_describe_server(e, c, head);
	span_tracestate(e);
}

/* What this thread, and what runs on it, is from now on. */
static inline void turn_to(struct thread *t, struct conn *c, struct exchange *e)
{
	coroutine_id here = coroutine_here(t);

	exchange_join_loop(e, t->loop);
	thread_asked(t, exchange_handle(e), c->finished);
	note_service(t, e, c, here);
	watch_request(t, c, e);
	coroutine_asked(here, e);
	job_queue_asked(t);
	runtime_requested(t, c, &e->context);
}

struct exchange *server_request(struct conn *c, const struct http1_head *head)
{
	struct thread *t = thread_self();
	struct admission a;
	struct exchange *e;

	watch_passes(t); /* before this request makes the answer unclear */
	e = exchange_begin(EXCHANGE_SERVER);
	if (!e) {
		conn_give_up(c);
		return NULL;
	}
	e->method = (uint8_t)http_method_of(head->method);
	e->expects = head->n_kept[HTTP1_EXPECT] > 0 && expects_other(head);
	if (atomic_load_explicit(&server_hashes_requests, memory_order_relaxed))
		e->request_hash = server_request_hash(head->method, head->target);
	admit(&a, e, c, head);
	exchange_identify(e, a.trusted ? &e->incoming : NULL);
	if (a.excluded)
		e->context.flags &= (uint8_t)~TRACE_FLAG_SAMPLED;
	e->counted = !a.excluded;
	e->recorded = e->context.flags & TRACE_FLAG_SAMPLED;
	e->start_ns = exchange_now(e);
	stats_count(a.excluded ? STAT_EXCLUDED : STAT_STARTED);
	if ((head->n_kept[HTTP1_TRACESTATE] | head->n_kept[HTTP1_BAGGAGE]) != 0 && (a.trusted || !a.named))
		propagation_keep(e, head);
	if (e->recorded)
		describe(e, c, head, &a);
	forwarder_note(e, head);
	conn_push(c, e);
	turn_to(t, c, e);
	return e;
}

static void finish(struct conn *c, struct exchange *e)
{
	struct thread *t = thread_self();
	struct handle self = exchange_handle(e);

	http_describe_sizes(e);
	if (e->inserted)
		forwarder_stamped_has_ended();
	conn_pop(c);
	c->finished = self;
	coroutine_answered(self, e, c->oldest ? exchange_handle(conn_oldest(c)) : HANDLE_NONE);
	exchange_end(e, e->recorded ? clock_monotonic_ns() : 0, NULL);
	/* The next pipelined request is what a serving thread turns to. */
	if (handle_equal(t->sync, self))
		t->sync = c->oldest ? exchange_handle(conn_oldest(c)) : HANDLE_NONE;
}

void server_request_done(struct conn *c, uint64_t body_bytes)
{
	struct exchange *e = conn_newest(c);

	if (!e)
		return;
	e->request_done = true;
	e->request_bytes = body_bytes;
	if (e->response_done && e == conn_oldest(c))
		finish(c, e);
}

/* Read on one loop, answered on another: continuations move between threads here. */
static inline void note_crossing(const struct thread *t, const struct exchange *e)
{
	if (e->loop && t->loop && e->loop != t->loop)
		process_note_crossing();
}

void server_response(struct conn *c, const struct http1_head *head)
{
	struct exchange *e = conn_oldest(c);
	struct thread *t = thread_self();

	if (!e) {
		conn_give_up(c); /* an answer to nothing that we saw */
		return;
	}
	if (head->status < 200 && head->status != 101)
		return;
	e->answered_head = true;
	watch_answers(t, exchange_handle(e));
	note_crossing(t, e);
	coroutine_answers(t, e);
	job_queue_answers(t, e);
	runtime_answers(t, e);
	carrier_answers(t, e);
	channel_answers(t, e);
	oracle_observe_response(t, exchange_handle(e));
	http_describe_response(e, head);
}

void server_response_done(struct conn *c, uint64_t body_bytes)
{
	struct exchange *e = conn_oldest(c);

	if (!e)
		return;
	e->response_done = true;
	e->response_bytes = body_bytes;
	/* A tunnel begins where the answer ends, whatever of the request was announced. */
	if (e->request_done || c->out.framing == HTTP1_TUNNEL)
		finish(c, e);
}
