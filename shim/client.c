/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/client.h"

#include "shim/carrier.h"
#include "shim/clock.h"
#include "shim/config.h"
#include "shim/detached.h"
#include "shim/filter.h"
#include "shim/forwarder.h"
#include "shim/http_attributes.h"
#include "shim/http_url.h"
#include "shim/oracle.h"
#include "shim/propagation.h"
#include "shim/rules.h"
#include "shim/runtime.h"
#include "shim/span.h"
#include "shim/stats.h"
#include "shim/thread.h"

#define MAX_FIELDS_EDITED 64 /* heads of more fields are near their receivers' limits */

/* What the caller sent along goes along. */
static void inherit(struct exchange *e, const struct exchange *server)
{
	if (!server)
		return;
	if (server->tracestate_len)
		memcpy(e->tracestate, server->tracestate, server->tracestate_len);
	e->tracestate_len = server->tracestate_len;
	if (server->baggage_len)
		memcpy(e->baggage, server->baggage, server->baggage_len);
	e->baggage_len = server->baggage_len;
}

/*
 * waiter: whom the connection was opened for, or presumed to be. Its count passes from the connection to the exchange; where the
 * parent turns out to be another, it is that one's.
 */
static void attach(struct exchange *e, struct exchange *server, enum evidence rule, bool opened_for_it, struct handle waiter)
{
	e->rule = (uint8_t)rule;
	if (!server) {
		e->waiter = waiter;
		exchange_outstanding(e->waiter, 1);
		return;
	}
	e->parent = e->waiter = exchange_handle(server);
	exchange_call_begins(server);
	if (!opened_for_it)
		atomic_fetch_add_explicit(&server->clients_elsewhere, 1, memory_order_relaxed);
	exchange_outstanding(e->waiter, 1);
}

static void describe(struct exchange *e, struct conn *c, const struct http1_head *head, const struct decision *d)
{
	const struct context *parent = context_is_valid(&d->parent) ? &d->parent : NULL;

	if (!e->recorded)
		return;
	span_open(e, SPAN_CLIENT);
	span_parent(e, parent, d->evidence);
	for (unsigned i = 0; i < d->n_links; i++)
		span_link(e, &d->links[i]);
	if (d->detached)
		record_add_bool(&e->record, ATTR_INTERSPAN_DETACHED, true);
	span_tracestate(e);
	http_describe_client(e, c, head);
}

/* All further work of a task whose request is over joins the trace that its first call began. */
static void adopt_detached(struct thread *t, struct conn *c, const struct exchange *e, const struct decision *d)
{
	if (!d->detached || config_is(config.detached, "child"))
		return;
	if (d->origin_named)
		detached_began(d->origin.span_id, &e->context);
	else
		carrier_adopt(t, c, &e->context);
}

static bool may_edit(const struct conn *c, const struct http1_head *head, const struct decision *d)
{
	struct slice host = SLICE_NONE;
	uint16_t port;

	if (d->keep_head || head->signs_context || head->n_fields > MAX_FIELDS_EDITED)
		return false;
	if (http1_kept(head, HTTP1_HOST).p)
		http_split_host(http1_kept(head, HTTP1_HOST), &host, &port);
	return filter_propagates_to(host, &c->peer);
}

static void gather_evidence(const struct http1_head *head, struct request_evidence *ret)
{
	*ret = (struct request_evidence){.head = head};
	ret->has_traceparent = propagation_traceparent(head, &ret->named);
}

struct exchange *client_request(struct conn *c, const struct http1_head *head, enum head_edit *ret_edit)
{
	struct thread *t = thread_self();
	struct exchange *e = exchange_begin(EXCHANGE_CLIENT), *server;
	struct request_evidence evidence;
	struct decision d;
	struct handle waiter;
	bool excluded, opened_for_it;

	*ret_edit = HEAD_AS_IT_IS;
	if (!e) {
		conn_give_up(c);
		return NULL;
	}
	gather_evidence(head, &evidence);
	rules_decide(t, c, &evidence, &d);
	waiter = c->holds_opener ? c->opener : HANDLE_NONE;
	opened_for_it = !c->used && !handle_is_none(waiter) && handle_equal(waiter, d.exchange);
	conn_release_opener(c);
	c->used = true;
	server = exchange_of(d.exchange);
	forwarder_observe(server, head);
	e->method = (uint8_t)http_method_of(head->method);
	exchange_identify(e, context_is_valid(&d.parent) ? &d.parent : NULL);
	attach(e, server, d.evidence, opened_for_it, server ? HANDLE_NONE : rules_presumed_of(t, head, waiter));
	inherit(e, server);
	excluded = (filter_excludes_any() && filter_excludes(head->target, c->peer.port, &c->peer)) ||
		   (server && !server->counted);
	if (excluded)
		e->context.flags &= (uint8_t)~TRACE_FLAG_SAMPLED;
	e->counted = !excluded;
	e->recorded = !excluded && (e->context.flags & TRACE_FLAG_SAMPLED);
	e->start_ns = d.now_ns ? d.now_ns : exchange_now(e);
	stats_count(excluded ? STAT_EXCLUDED : STAT_STARTED);
	describe(e, c, head, &d);
	adopt_detached(t, c, e, &d);
	conn_push(c, e);
	if (may_edit(c, head, &d))
		*ret_edit = HEAD_EDITED;
	else if (propagation_is_minted(head))
		*ret_edit = HEAD_CLEANED;
	return e;
}

void client_request_done(struct conn *c, uint64_t body_bytes)
{
	struct exchange *e = conn_newest(c);

	if (e) {
		e->request_done = true;
		e->request_bytes = body_bytes;
	}
}

void client_stimulated(struct conn *c)
{
	struct thread *t = thread_self();
	struct exchange *e = conn_oldest(c);

	thread_stimulated(t, e ? e->parent : HANDLE_NONE);
	runtime_answered(t, e);
	if (e && !handle_is_none(e->waiter))
		oracle_expect(t, e->waiter, (enum evidence)e->rule);
}

void client_response(struct conn *c, const struct http1_head *head)
{
	struct exchange *e = conn_oldest(c);

	if (!e) {
		conn_give_up(c);
		return;
	}
	if (head->status < 200 && head->status != 101)
		return;
	e->answered_head = true;
	http_describe_response(e, head);
}

void client_response_done(struct conn *c, uint64_t body_bytes)
{
	struct exchange *e = conn_oldest(c);

	if (!e)
		return;
	e->response_bytes = body_bytes;
	http_describe_sizes(e);
	conn_pop(c);
	if (c->pending == exchange_handle(e).slot)
		c->pending = 0;
	exchange_outstanding(e->waiter, -1);
	exchange_end(e, e->recorded ? clock_monotonic_ns() : 0, NULL);
}
