/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/carrier.h"

#include "shim/conn.h"
#include "shim/coroutine.h"
#include "shim/exchange.h"
#include "shim/job_queue.h"
#include "shim/loop.h"
#include "shim/process.h"
#include "shim/rules.h"
#include "shim/runtime.h"
#include "shim/stats.h"
#include "shim/thread.h"

#define ANSWERS_TO_TRUST 32

static bool job_label(struct thread *t, struct label *ret)
{
	struct handle job;
	struct context c;

	if (!job_queue_current(t, &job) || !exchange_context(job, &c))
		return false;
	*ret = label_snapshot(&c);
	return true;
}

static bool is_proven(const struct carrier_proof *p)
{
	return atomic_load_explicit(&p->answered, memory_order_relaxed) >= ANSWERS_TO_TRUST &&
	       !atomic_load_explicit(&p->revoked, memory_order_relaxed);
}

static bool handed_label(const struct thread *t, struct label *ret)
{
	*ret = t->handed;
	return t->has_handed && is_proven(t->handed_proof);
}

/* A coroutine that is switched to in the middle of a work item is no part of it. */
static bool work_label(struct thread *t, struct label *ret)
{
	coroutine_id here = coroutine_here(t);

	*ret = t->work;
	if (t->has_work && t->work_stack == here) {
		if (t->work_proof && !is_proven(t->work_proof))
			ret->kind = LABEL_UNKNOWN;
		return true;
	}
	if (here != COROUTINE_NONE)
		return coroutine_label(here, ret);
	return handed_label(t, ret) || job_label(t, ret);
}

/* The label of what runs here; false: nothing that we know. ret_adapted: a runtime's adapter says so. */
static bool current_label(struct thread *t, struct label *ret, enum evidence *ret_evidence, bool *ret_adapted)
{
	enum runtime_answer answer = runtime_current(t, ret);

	*ret_adapted = answer != RUNTIME_ABSENT;
	*ret_evidence = answer == RUNTIME_ITEM ? EVIDENCE_WORK_ITEM : EVIDENCE_RUNTIME;
	if (answer == RUNTIME_CANNOT_TELL)
		*ret = (struct label){.kind = LABEL_UNKNOWN};
	if (answer != RUNTIME_ABSENT)
		return true;
	*ret_evidence = EVIDENCE_WORK_ITEM;
	return work_label(t, ret);
}

/* It was put somewhere by somebody, and is not due to what this thread has read. */
static bool runs_item(struct thread *t)
{
	return t->has_work && t->work_stack == coroutine_here(t);
}

void carrier_current(struct thread *t, struct carrier_answer *ret)
{
	struct label label;
	bool adapted;

	*ret = (struct carrier_answer){.state = LABEL_STATE_UNKNOWN};
	if (current_label(t, &label, &ret->evidence, &adapted))
		ret->state = label_resolve(&label, &ret->context);
	ret->final = (adapted || runs_item(t)) && ret->state == LABEL_STATE_UNKNOWN;
}

void carrier_of_sending(struct thread *t, const struct conn *c, struct carrier_answer *ret)
{
	if (!c->has_handed) {
		carrier_current(t, ret);
		return;
	}
	*ret = (struct carrier_answer){.evidence = EVIDENCE_RUNTIME};
	ret->state = label_resolve(&c->handed, &ret->context);
	ret->final = ret->state == LABEL_STATE_UNKNOWN;
}

void carrier_capture(struct thread *t, struct label *ret)
{
	struct label own;
	struct context c;
	enum evidence evidence;
	bool adapted;

	*ret = (struct label){.kind = LABEL_UNKNOWN};
	if (current_label(t, &own, &evidence, &adapted))
		label_derive(&own, ret);
	else if (rules_current(t, &c))
		*ret = label_snapshot(&c);
	else if (exchange_open_count() == 0 && !process_is_blind() && !process_is_anybodys() && !t->has_inherited)
		ret->kind = LABEL_NONE;
}

static void adopt_on_coroutine(struct thread *t, const struct label *label)
{
	coroutine_id here = coroutine_here(t);

	if (t->has_work && t->work_stack == here)
		t->work = *label;
	else
		coroutine_adopt(here, label);
}

void carrier_adopt(struct thread *t, struct conn *c, const struct context *trace)
{
	struct label label = label_snapshot(trace), unused;

	label.context.exchange = HANDLE_NONE;
	if (c->has_handed)
		runtime_adopt_as(c->handed_by, &c->handed, &label);
	else if (runtime_current(t, &unused) != RUNTIME_ABSENT)
		runtime_adopt(t, &label);
	else if (coroutine_here(t) != COROUTINE_NONE)
		adopt_on_coroutine(t, &label);
	else if (t->has_work)
		t->work = label;
	else if (t->has_inherited)
		t->inherited = label.context;
}

void carrier_begin(struct thread *t, const struct label *label, struct carrier_saved *saved)
{
	carrier_begin_unproven(t, label, NULL, saved);
}

void carrier_begin_unproven(struct thread *t, const struct label *label, struct carrier_proof *proof, struct carrier_saved *saved)
{
	*saved = (struct carrier_saved){.label = t->work, .proof = t->work_proof, .stack = t->work_stack, .has_label = t->has_work};
	t->work = *label;
	t->work_proof = proof;
	t->work_stack = coroutine_here(t);
	t->has_work = true;
}

void carrier_end(struct thread *t, const struct carrier_saved *saved)
{
	t->work = saved->label;
	t->work_proof = saved->proof;
	t->work_stack = saved->stack;
	t->has_work = saved->has_label;
}

void carrier_prove(struct carrier_proof *p, const struct label *label, const struct exchange *e)
{
	if (label->kind != LABEL_CONTEXT)
		return;
	if (handle_equal(label->context.exchange, exchange_handle(e)))
		atomic_fetch_add_explicit(&p->answered, 1, memory_order_relaxed);
	else if (!atomic_exchange_explicit(&p->revoked, true, memory_order_relaxed))
		stats_count(STAT_RULES_REVOKED);
}

void carrier_answers(struct thread *t, const struct exchange *e)
{
	if (t->work_proof && runs_item(t))
		carrier_prove(t->work_proof, &t->work, e);
}

void carrier_capture_queued(struct thread *t, struct label *ret)
{
	const struct window *w = &t->window;
	struct context c;

	carrier_capture(t, ret);
	if (ret->kind != LABEL_UNKNOWN || t->has_work)
		return;
	loop_isolate(t->loop);
	if (w->seq != 0 && w->n == 1 && w->other == 0 && w->fresh && exchange_context(w->who[0], &c))
		*ret = label_snapshot(&c);
}
