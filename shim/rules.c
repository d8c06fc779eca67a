/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules are eliminations but for the first: "it can only be X, because X is the only thing that could have caused it".
 * They are as exact as the state they look at is complete, so everything that hides causes from us (parked requests,
 * wake-ups from other threads, connects that completed, I/O that bypasses libc) makes them answer "cannot tell".
 */
#include "shim/rules.h"

#include <stddef.h>
#include <string.h>

#include "shim/carrier.h"
#include "shim/config.h"
#include "shim/conn.h"
#include "shim/coroutine.h"
#include "shim/detached.h"
#include "shim/exchange.h"
#include "shim/forwarder.h"
#include "shim/ids.h"
#include "shim/loop.h"
#include "shim/process.h"
#include "shim/propagation.h"
#include "shim/stats.h"
#include "shim/thread.h"

#define SCAN_MAX 4096 /* slots looked at where no index exists: rare paths only */

/* ---- rule 4: the only stimulus ---- */

/*
 * A forwarder makes one call at a time for a request, so one that waits for its call has nothing else to do on any thread. It must
 * have shown both: heads that reappear, and never two calls of a request at once.
 */
static bool calls_one_at_a_time(void)
{
	return forwarder_is_one() && !exchange_fan_out_seen();
}

/* Could any request but `who` go on in this window without our seeing why? */
static bool other_may_go_on(const struct thread *t, struct handle who)
{
	/* What was handed to another thread may continue on any loop, this one included. */
	if (exchange_handed(who, !calls_one_at_a_time()) != 0)
		return true;
	/* Parked requests are resumed by timers, wake-ups and responses, not by a request that has just arrived; but another
	 * thread may resume one without our seeing it. */
	if (t->window.fresh && !process_has_threads())
		return false;
	return exchange_parked(process_crosses_threads() ? 0 : t->loop, who) != 0;
}

/* What we saw says that it is this one's window. */
static bool by_what_was_seen(const struct thread *t, struct handle *ret)
{
	const struct window *w = &t->window;

	if (!loop_trusts(t->loop, EVIDENCE_STIMULUS) || process_is_blind() || w->n != 1 || w->other != 0)
		return false;

	const struct exchange *e = exchange_of(w->who[0]);

	if (!e || e->loop != t->loop)
		return false;
	if (other_may_go_on(t, w->who[0]))
		return false;
	*ret = w->who[0];
	return true;
}

static bool by_stimulus(const struct thread *t, uint64_t *now_ns, struct handle *ret)
{
	return by_what_was_seen(t, ret) && !thread_timer_may_run(t, now_ns);
}

/* ---- rule 5: the thread ---- */

static bool by_service(struct thread *t, uint64_t *now_ns, struct handle *ret)
{
	if (!exchange_is_open(t->sync) || !thread_class_is_trusted(thread_class_of(t)))
		return false;
	/*
	 * A loop shows only later, when it waits again, that it serves no one request: until then, what else is at work counts. A thread
	 * that waits for the next request of the one connection that it serves has no timers to run.
	 */
	if (loop_at(t->loop)->mixed && (t->window.other != 0 || thread_timer_may_run(t, now_ns)))
		return false;
	*ret = t->sync;
	return true;
}

static bool by_inheritance(const struct thread *t, struct handle *ret)
{
	if (t->has_work || !t->has_inherited || started_may_serve_others(&t->started) ||
	    !exchange_is_open(t->inherited.exchange))
		return false;
	*ret = t->inherited.exchange;
	return true;
}

/* What a thread does on a coroutine's stack says nothing of its other coroutines. */
static bool by_thread(struct thread *t, uint64_t *now_ns, struct handle *ret)
{
	return coroutine_here(t) == COROUTINE_NONE && (by_service(t, now_ns, ret) || by_inheritance(t, ret));
}

/* ---- rule 6: the opener ---- */

static bool by_opener(const struct conn *c, struct handle *ret)
{
	const struct exchange *e = c->used || !c->holds_opener || c->presumed ? NULL : exchange_of(c->opener);

	if (!e || !loop_trusts(c->opened_loop, EVIDENCE_OPENER))
		return false;
	/* It has made no call over a connection that was there before: this one may have been left over for somebody else then. */
	if (atomic_load(&e->clients_elsewhere) != c->opener_started)
		return false;
	/*
	 * Where threads share their timers, a health check may have been opened beside its call. A forwarder makes one at a time: it is
	 * the call where nothing else was ever opened or called for this request.
	 */
	if (process_has_threads() && forwarder_is_possible() &&
	    atomic_load(&e->openings) + atomic_load(&e->clients_elsewhere) != 1)
		return false;
	*ret = c->opener;
	return true;
}

/* The completion of a connect is a stimulus that no read shows: it drives the first request on the connection. */
static bool connect_drives(const struct thread *t, const struct conn *c)
{
	return !c->used && t->loop != 0 && (c->opened_window != t->window.seq || c->opened_loop != t->loop);
}

/* ---- rule 7: equal heads ---- */

EXCHANGE_GLIMPSE static bool by_content(const struct request_evidence *evidence, struct handle *ret)
{
	uint32_t last = exchange_high_water(), found = 0;

	if (!config.content_rule || last > SCAN_MAX)
		return false;

	uint32_t hash = forwarder_content_hash(evidence->head);

	if (forwarder_sent_unasked(hash))
		return false;
	for (uint32_t slot = 1; slot <= last; slot++) {
		const struct exchange *e = exchange_at(slot);
		uint32_t open = exchange_open_generation(slot);

		if (!open || e->role != EXCHANGE_SERVER || e->content_hash != hash ||
		    !forwarder_matches(e, evidence->head))
			continue;
		if (found++)
			return false;
		*ret = (struct handle){slot, open - 1};
	}
	return found == 1;
}

/* ---- ambiguity ---- */

static void add_link(struct decision *d, const struct context *c)
{
	if (d->n_links >= RULES_MAX_LINKS || !context_is_valid(c))
		return;
	for (unsigned i = 0; i < d->n_links; i++)
		if (memcmp(d->links[i].span_id, c->span_id, 8) == 0)
			return;
	d->links[d->n_links++] = *c;
}

static void add_exchange_link(struct decision *d, struct handle h)
{
	struct context c;

	if (exchange_context(h, &c))
		add_link(d, &c);
}

/* What waits on this loop with nothing of its own under way could be the cause as well. */
EXCHANGE_GLIMPSE static void add_parked_links(struct decision *d, uint32_t loop)
{
	uint32_t last = exchange_high_water();

	for (uint32_t slot = 1; slot <= last && slot <= SCAN_MAX && d->n_links < RULES_MAX_LINKS; slot++) {
		const struct exchange *e = exchange_at(slot);
		uint32_t open = exchange_open_generation(slot);

		if (open && e->role == EXCHANGE_SERVER && e->loop == loop && exchange_outstanding_count(e) == 0)
			add_exchange_link(d, (struct handle){slot, open - 1});
	}
}

static void ambiguous(const struct thread *t, const struct conn *c, struct decision *d)
{
	d->evidence = EVIDENCE_AMBIGUOUS;
	d->exchange = HANDLE_NONE;
	for (unsigned i = 0; i < t->window.n && i < WINDOW_MAX; i++)
		add_exchange_link(d, t->window.who[i]);
	add_exchange_link(d, c->opener);
	add_exchange_link(d, t->sync);
	if (t->has_inherited)
		add_link(d, &t->inherited);
	add_parked_links(d, t->loop);
	stats_count(STAT_AMBIGUOUS);
}

/* ---- answers ---- */

static void parent_is(struct decision *d, struct handle h, enum evidence evidence)
{
	struct context parent;

	if (!exchange_context(h, &parent))
		return;
	d->evidence = evidence;
	d->exchange = h;
	d->parent = parent;
}

/* The exchange that this work came from is over. */
static void detached_from(struct decision *d, const struct context *origin, enum evidence evidence)
{
	stats_count(STAT_DETACHED);
	d->detached = true;
	d->evidence = EVIDENCE_ROOT;
	if (config_is(config.detached, "child")) {
		d->evidence = evidence;
		d->parent = *origin;
	} else if (!config_is(config.detached, "root")) {
		add_link(d, origin);
	}
}

/* A rule that loses to proof is not asked again where it lost. */
static void check_against(struct thread *t, uint64_t *now_ns, struct handle proven)
{
	struct handle h;

	if (by_what_was_seen(t, &h) && !handle_equal(h, proven) && !thread_timer_may_run(t, now_ns))
		loop_revoke(t->loop, EVIDENCE_STIMULUS);
	if (!handle_equal(t->sync, proven) && by_service(t, now_ns, &h))
		thread_class_revoke(thread_class_of(t));
}

/* ---- rule 1: the bytes say it ---- */

EXCHANGE_GLIMPSE static bool came_unstamped_with(const struct exchange *e, const struct context *named)
{
	return e->role == EXCHANGE_SERVER && !e->stamped && memcmp(e->incoming.span_id, named->span_id, 8) == 0 &&
	       memcmp(e->incoming.trace_id, named->trace_id, 16) == 0;
}

/* Open exchanges whose head already carried what this one carries, and could not be stamped. */
static uint32_t unstamped_with(const struct context *named, struct handle *ret)
{
	uint32_t last = exchange_high_water(), found = 0;

	for (uint32_t slot = 1; slot <= last && slot <= SCAN_MAX; slot++) {
		const struct exchange *e = exchange_at(slot);
		uint32_t open = exchange_open_generation(slot);

		if (!open || !came_unstamped_with(e, named))
			continue;
		*ret = (struct handle){slot, open - 1};
		found++;
	}
	return last > SCAN_MAX ? 2 : found;
}

/* The request that the head names is over. What it left behind has begun a trace of its own, or does so now. */
static void by_origin(struct decision *d, const struct context *named)
{
	d->evidence = EVIDENCE_STAMP;
	if (detached_trace(named->span_id, &d->parent))
		return;
	detached_from(d, named, EVIDENCE_STAMP);
	d->origin_named = true;
	d->origin = *named;
}

/* True: decided. False: the bytes name several candidates (d->keep_head), or nothing. */
static bool by_stamp(struct thread *t, const struct request_evidence *evidence, struct decision *d)
{
	struct handle id, found = HANDLE_NONE;
	enum ids_origin origin = ids_recognise(evidence->named.span_id, &id);
	struct exchange *e = origin == IDS_FOREIGN ? NULL : exchange_named(id, &evidence->named);

	if (e) {
		parent_is(d, exchange_handle(e), EVIDENCE_STAMP);
		check_against(t, &d->now_ns, d->exchange);
		if (!propagation_is_minted(evidence->head))
			forwarder_stamp_returned();
		return true;
	}
	if (origin == IDS_OURS) {
		by_origin(d, &evidence->named);
		return true;
	}

	uint32_t candidates = unstamped_with(&evidence->named, &found);

	if (candidates == 1) {
		parent_is(d, found, EVIDENCE_STAMP);
		check_against(t, &d->now_ns, found);
		return true;
	}
	if (candidates > 1) {
		d->keep_head = true;
		return false;
	}
	d->evidence = EVIDENCE_STAMP; /* the program traces itself */
	d->parent = evidence->named;
	return true;
}

/* ---- rules 2 and 3: what runs on this thread ---- */

static void nobodys(const struct thread *t, const struct conn *c, struct decision *d)
{
	struct context parent;

	if (process_request_is_unknown() || process_is_anybodys()) {
		if (process_named_parent(&parent))
			add_link(d, &parent);
		ambiguous(t, c, d);
		return;
	}
	d->evidence = EVIDENCE_ROOT;
	if (!process_parent(&parent))
		return;
	d->evidence = EVIDENCE_REMOTE;
	d->parent = parent;
}

/*
 * Who writes on a connection while another request on it waits for its answer may write for others: clients that pipeline
 * collect what their callers want, and one of them sends it all.
 */
static bool is_shared_by_callers(const struct conn *c, struct carrier_answer *a)
{
	if (a->evidence != EVIDENCE_RUNTIME || !c->oldest || a->state == LABEL_STATE_NONE)
		return false;
	a->final = true;
	return true;
}

/* True: decided, be it that nobody can know. */
static bool by_carrier(struct thread *t, struct conn *c, struct decision *d)
{
	struct carrier_answer a;

	carrier_of_sending(t, c, &a);
	if (is_shared_by_callers(c, &a))
		a.state = LABEL_STATE_UNKNOWN;
	switch (a.state) {
	case LABEL_STATE_OPEN:
		parent_is(d, a.context.exchange, a.evidence);
		return !handle_is_none(d->exchange);
	case LABEL_STATE_TRACE:
		d->evidence = a.evidence;
		d->parent = a.context;
		return true;
	case LABEL_STATE_OVER:
		detached_from(d, &a.context, a.evidence);
		return true;
	case LABEL_STATE_NONE:
		nobodys(t, c, d);
		return true;
	case LABEL_STATE_UNKNOWN:
		break;
	}
	if (a.final)
		ambiguous(t, c, d);
	return a.final;
}

/* ---- rules 4 to 7 ---- */

/*
 * Where the head bears what several requests came with, it is one of theirs. And a forwarder copies our stamp into what it
 * sends for a stamped request: a head without one is not that request's.
 */
static bool is_excluded(struct handle h, const struct request_evidence *evidence)
{
	const struct exchange *e = exchange_of(h);

	if (e && evidence->has_traceparent)
		return !came_unstamped_with(e, &evidence->named);
	return !e || (e->stamped && forwarder_returns_stamps());
}

struct answer {
	bool known;
	struct handle who;
};

static struct answer ask(bool known, struct handle who, const struct request_evidence *evidence)
{
	return (struct answer){known && !is_excluded(who, evidence), who};
}

/* False: cannot tell. */
static bool by_elimination(struct thread *t, struct conn *c, const struct request_evidence *evidence,
			   struct decision *d)
{
	struct handle h4 = HANDLE_NONE, h5 = HANDLE_NONE, h6 = HANDLE_NONE, h7;
	struct answer stimulus = ask(by_stimulus(t, &d->now_ns, &h4), h4, evidence);
	struct answer thread = ask(by_thread(t, &d->now_ns, &h5), h5, evidence);
	struct answer opener = ask(by_opener(c, &h6), h6, evidence);

	if (process_is_blind())
		return false; /* what is not seen could be the cause */
	if (connect_drives(t, c)) {
		/* What was read in this window is not what drives this request, unless it opened the connection, too. */
		stimulus.known = stimulus.known && opener.known && handle_equal(h4, h6);
		thread.known = thread.known && (!opener.known || handle_equal(h5, h6));
	}
	if ((stimulus.known && thread.known && !handle_equal(h4, h5)) ||
	    (stimulus.known && opener.known && !handle_equal(h4, h6)) ||
	    (thread.known && opener.known && !handle_equal(h5, h6))) {
		stats_count(STAT_DISAGREEMENTS);
		add_exchange_link(d, h4);
		add_exchange_link(d, h5);
		add_exchange_link(d, h6);
		return false;
	}
	if (stimulus.known)
		parent_is(d, h4, EVIDENCE_STIMULUS);
	else if (thread.known)
		parent_is(d, h5, EVIDENCE_THREAD);
	else if (opener.known)
		parent_is(d, h6, EVIDENCE_OPENER);
	else if (by_content(evidence, &h7))
		parent_is(d, h7, EVIDENCE_CONTENT);
	return !handle_is_none(d->exchange);
}

/* Nothing is open that it could belong to. */
static void without_candidates(struct thread *t, const struct conn *c, struct decision *d)
{
	if (t->has_inherited && context_is_valid(&t->inherited) && handle_is_none(t->inherited.exchange)) {
		d->evidence = EVIDENCE_THREAD; /* the trace that this thread's detached work began */
		d->parent = t->inherited;
	} else if (t->has_inherited && context_is_valid(&t->inherited)) {
		detached_from(d, &t->inherited, EVIDENCE_THREAD);
	} else {
		nobodys(t, c, d);
	}
}

/*
 * Was a request at work in the turn of the loop that this call, or the connection for it, came from? Over by now, it may have left
 * work behind (a cache that renews what it has just answered with): then this is no root for certain.
 */
static bool follows_a_request(const struct thread *t, const struct conn *c)
{
	return t->loop != 0 && (t->window.n != 0 || (!c->used && c->opened_after_request));
}

static void count_rule(enum evidence evidence)
{
	static const uint8_t counter[EVIDENCE_N] = {
		[EVIDENCE_STAMP] = STAT_RULE_STAMP,	  [EVIDENCE_RUNTIME] = STAT_RULE_RUNTIME,
		[EVIDENCE_WORK_ITEM] = STAT_RULE_WORK_ITEM, [EVIDENCE_STIMULUS] = STAT_RULE_STIMULUS,
		[EVIDENCE_THREAD] = STAT_RULE_THREAD,	  [EVIDENCE_OPENER] = STAT_RULE_OPENER,
		[EVIDENCE_CONTENT] = STAT_RULE_CONTENT,
	};

	if (counter[evidence])
		stats_count((enum stat_id)counter[evidence]);
}

void rules_decide(struct thread *t, struct conn *c, const struct request_evidence *evidence, struct decision *ret)
{
	memset(ret, 0, offsetof(struct decision, links));
	ret->evidence = EVIDENCE_AMBIGUOUS;
	if (evidence->has_traceparent && by_stamp(t, evidence, ret)) {
		count_rule(ret->evidence);
		return;
	}
	if (by_carrier(t, c, ret)) {
		ret->keep_head = ret->keep_head && ret->evidence == EVIDENCE_AMBIGUOUS;
		count_rule(ret->evidence);
		return;
	}
	loop_isolate(t->loop);
	if (by_elimination(t, c, evidence, ret)) {
		ret->keep_head = false;
		count_rule(ret->evidence);
		return;
	}
	if (!(t->has_inherited && started_may_serve_others(&t->started)) &&
	    ((exchange_open_count() == 0 && !follows_a_request(t, c)) ||
	     (t->has_inherited && t->loop == 0 && handle_is_none(t->sync))))
		without_candidates(t, c, ret);
	else
		ambiguous(t, c, ret);
}

/* ---- other askers ---- */

/* Rules 4 and 5 only. */
static bool current_by_elimination(struct thread *t, struct handle *ret, enum evidence *ret_rule)
{
	struct handle h4 = HANDLE_NONE, h5 = HANDLE_NONE;
	uint64_t now_ns = 0;
	bool stimulus = by_stimulus(t, &now_ns, &h4), thread = by_thread(t, &now_ns, &h5);

	if (process_is_blind() || (!stimulus && !thread))
		return false;
	if (stimulus && thread && !handle_equal(h4, h5))
		return false;
	*ret = stimulus ? h4 : h5;
	*ret_rule = stimulus ? EVIDENCE_STIMULUS : EVIDENCE_THREAD;
	return true;
}

bool rules_blocker(struct thread *t, struct handle answered, struct handle *ret)
{
	const struct window *w = &t->window;
	enum evidence rule;

	if (current_by_elimination(t, ret, &rule))
		return true;
	*ret = answered;
	return !process_is_blind() && w->n == 1 && w->other == 0 && !handle_is_none(answered) &&
	       handle_equal(w->who[0], answered);
}

bool rules_opener(struct thread *t, struct handle *ret, enum evidence *ret_rule)
{
	struct carrier_answer a;

	carrier_current(t, &a);
	if (a.state == LABEL_STATE_UNKNOWN)
		return !a.final && current_by_elimination(t, ret, ret_rule);
	*ret = a.context.exchange;
	*ret_rule = a.evidence;
	return a.state == LABEL_STATE_OPEN;
}

bool rules_current(struct thread *t, struct context *ret)
{
	struct carrier_answer a;
	struct handle h;
	enum evidence rule;

	carrier_current(t, &a);
	*ret = a.context;
	if (a.state == LABEL_STATE_OPEN || a.state == LABEL_STATE_TRACE)
		return true;
	if (a.state == LABEL_STATE_OVER || a.final)
		return false;
	if (a.state == LABEL_STATE_UNKNOWN && current_by_elimination(t, &h, &rule))
		return exchange_context(h, ret);
	return (a.state == LABEL_STATE_NONE || exchange_open_count() == 0) && process_parent(ret);
}

struct handle rules_presumed(const struct thread *t)
{
	const struct window *w = &t->window;
	const struct exchange *e;

	if (t->adapted || t->has_work || !loop_trusts(t->loop, EVIDENCE_AMBIGUOUS) || w->n != 1 || w->other != 0 || !w->fresh)
		return HANDLE_NONE;
	e = exchange_of(w->who[0]);
	return e && exchange_outstanding_count(e) == 0 ? w->who[0] : HANDLE_NONE;
}

struct handle rules_presumed_of(const struct thread *t, const struct http1_head *head, struct handle opener)
{
	struct handle match = loop_trusts(t->loop, EVIDENCE_AMBIGUOUS) ? forwarder_only_match(head) : HANDLE_NONE;
	const struct exchange *e = exchange_of(match);

	if (e && (handle_equal(match, opener) || exchange_outstanding_count(e) == 0))
		return match;
	return handle_is_none(opener) ? rules_presumed(t) : opener;
}

bool rules_is_own_descriptor(const struct thread *t, int fd)
{
	fd_word word = fdtable_word(fd);
	enum fd_kind kind = (enum fd_kind)(word & 0xff);

	if (kind == FD_LISTENER || kind == FD_EPOLL)
		return false;
	if (kind != FD_CONNECTION)
		return true;

	const struct conn *c = conn_at(fdtable_object(word));
	const struct exchange *sync = exchange_of(t->sync);

	return c->role == CONN_CLIENT || (sync && sync->connection == fdtable_object(word));
}
