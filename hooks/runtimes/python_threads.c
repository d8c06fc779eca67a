/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose work a Python thread does that is in no labelled Context: threads that serve what they read, threads and greenlets that were
 * started for something, workers that fetch from a queue. Asked before the adapter of Contexts, which it asks itself: what a
 * worker fetches within a Context counts there.
 */
#include "hooks/runtimes/python_threads.h"

#include <string.h>

#include "hooks/runtimes/python_api.h"
#include "hooks/runtimes/python_greenlet.h"
#include "hooks/runtimes/python_items.h"
#include "hooks/runtimes/python_queue.h"
#include "hooks/runtimes/python_worker.h"
#include "shim/carrier.h"
#include "shim/conn.h"
#include "shim/exchange.h"
#include "shim/guard.h"
#include "shim/runtime.h"
#include "shim/stats.h"
#include "shim/thread.h"

extern const struct runtime runtime_cpython;

static __thread struct worker own_worker __attribute__((tls_model("initial-exec")));

/* ---- who runs here ---- */

enum source {
	SOURCE_NONE,      /* nothing that we know */
	SOURCE_LOST,      /* something, of which we do not know for whom */
	SOURCE_ITEM,      /* an item that it fetched */
	SOURCE_CONTEXT,   /* the Context */
	SOURCE_SERVICE,   /* a thread that has read a request and not answered it */
	SOURCE_WORKER,    /* the worker's label */
	SOURCE_INHERITED, /* a thread that was started for a request */
};

struct flow {
	struct worker *worker;
	bool greenlets;        /* the thread has several flows: what the engine knows of it is of no use */
	enum source source;
	enum runtime_answer context_answer; /* SOURCE_CONTEXT */
	struct label label;
};

static bool serves(const struct thread *t, const struct flow *f)
{
	return f->greenlets ? exchange_is_open(f->worker->served) : exchange_is_open(t->sync) && !f->worker->loops;
}

static bool inherits(const struct thread *t, const struct flow *f)
{
	return !f->greenlets && t->has_inherited && context_is_valid(&t->inherited) &&
	       (!handle_is_none(t->inherited.exchange) || f->worker->began_trace);
}

/* A worker whose Context says nothing. */
static enum source by_worker(const struct thread *t, struct flow *f)
{
	const struct worker *w = f->worker;
	struct context c;

	if (w->what == WORKER_ITEM) {
		f->label = w->label;
		return SOURCE_ITEM;
	}
	if (!f->greenlets && serves(t, f) && exchange_context(t->sync, &c)) {
		f->label = label_snapshot(&c);
		return SOURCE_SERVICE;
	}
	/* A thread that has waited since for other things than its own calls may do anything. */
	if (f->greenlets ? w->what != WORKER_NOTHING : w->what == WORKER_REQUEST && w->window == t->window.seq &&
						       !exchange_is_open(w->served)) {
		f->label = w->label;
		return SOURCE_WORKER;
	}
	if (!inherits(t, f))
		return f->greenlets ? SOURCE_LOST : SOURCE_NONE;
	f->label = label_snapshot(&t->inherited);
	return SOURCE_INHERITED;
}

/* False: this thread runs no Python, or nobody can say what runs. */
static bool find_worker(struct flow *f)
{
	enum greenlet_here here = greenlet_current(&f->worker);

	f->greenlets = here != GREENLET_NONE;
	if (here == GREENLET_NONE || here == GREENLET_MAIN)
		f->worker = &own_worker;
	return here != GREENLET_UNKNOWN;
}

static void find_flow(struct thread *t, struct flow *f)
{
	const struct worker *w;

	*f = (struct flow){.source = SOURCE_LOST, .label.kind = LABEL_UNKNOWN};
	if (!find_worker(f))
		return;
	w = f->worker;
	if (w->what == WORKER_ITEM && w->context == cpython_context()) {
		f->label = w->label;
		f->source = SOURCE_ITEM;
		return;
	}
	f->context_answer = runtime_cpython.current(t, &f->label);
	f->source = f->context_answer == RUNTIME_ABSENT ? by_worker(t, f) : SOURCE_CONTEXT;
}

/* ---- struct runtime ---- */

static bool runs_python(void)
{
	return cpython_is_ready() && python.PyGILState_GetThisThreadState() != NULL;
}

static bool was_started(const struct flow *f)
{
	return f->source == SOURCE_INHERITED || (f->source == SOURCE_WORKER && f->worker->what == WORKER_STARTED);
}

/* One that was started by nobody's may have been started to fetch, in a way that we do not see, what others leave for it. */
static bool may_be_anybodys(const struct flow *f)
{
	return f->label.kind == LABEL_UNKNOWN || (was_started(f) && f->worker->suspect) ||
	       (f->source == SOURCE_WORKER && f->label.kind == LABEL_NONE && exchange_open_count() != 0);
}

/* It may have found work in something that it looks into between its sleeps. */
static bool may_have_looked(struct flow *f)
{
	return was_started(f) && started_may_serve_others(python_start_of(f->worker));
}

static enum runtime_answer current(struct thread *t, struct label *ret)
{
	struct flow f;

	if (!runs_python())
		return RUNTIME_ABSENT;
	find_flow(t, &f);
	*ret = f.label;
	switch (f.source) {
	case SOURCE_NONE:
		return RUNTIME_ABSENT;
	case SOURCE_LOST:
		return RUNTIME_CANNOT_TELL;
	case SOURCE_CONTEXT:
		return f.context_answer;
	case SOURCE_SERVICE:
	case SOURCE_WORKER:
		return may_be_anybodys(&f) || may_have_looked(&f) ? RUNTIME_CANNOT_TELL : RUNTIME_LABEL;
	case SOURCE_ITEM:
	case SOURCE_INHERITED:
		break;
	}
	return may_be_anybodys(&f) || may_have_looked(&f) ? RUNTIME_CANNOT_TELL : RUNTIME_ITEM;
}

static void adopt(struct thread *t, const struct label *label)
{
	struct flow f;

	find_flow(t, &f);
	if (f.source == SOURCE_CONTEXT) {
		runtime_cpython.adopt(t, label);
	} else if (f.source == SOURCE_ITEM || f.source == SOURCE_WORKER) {
		label_adopt(&f.worker->label, &label->context);
	} else if (f.source == SOURCE_INHERITED) {
		t->inherited = label->context;
		f.worker->began_trace = true;
	}
}

static void accepted(struct thread *t, struct handle connection)
{
	struct flow f;

	if (!runs_python() || !find_worker(&f))
		return;
	if (f.greenlets)
		f.worker->arriving = connection;
	else if (exchange_is_open(t->sync))
		f.worker->loops = true;
}

static bool is_of_another(const struct worker *w, const struct conn *c)
{
	const struct exchange *e = exchange_of(w->served);

	return e && e->connection != conn_slot(c);
}

static void requested(struct thread *t, struct conn *c, const struct context *context)
{
	struct flow f;
	struct worker *w;

	if (!runs_python() || !find_worker(&f))
		return;
	w = f.worker;
	w->loops = w->loops || (!f.greenlets && is_of_another(w, c));
	w->served = context->exchange;
	w->label = c->oldest == c->newest ? label_snapshot(context) : label_reference(conn_handle(c));
	w->window = t->window.seq;
	if (w->what != WORKER_ITEM)
		w->what = WORKER_REQUEST;
}

/* It may work for anybody from now on. */
static void lose(struct worker *w)
{
	w->what = WORKER_ITEM;
	w->label = (struct label){.kind = LABEL_UNKNOWN};
	w->context = cpython_context();
}

static void forked(void)
{
	own_worker.forked = true;
	python_process_forked();
	python_conditions_forked();
}

/* Processes of a pool are made by whoever first needs them, and get what they do through pipes. */
static void received(struct thread *t, struct conn *c)
{
	(void)t;
	if (!c && (python_process_was_handed() || own_worker.forked) && runs_python())
		lose(&own_worker);
}

static void patch(void)
{
	static bool found, missing;

	python_process_look();
	if (missing || !cpython_is_ready() || !cpython_holds_gil() || python_error())
		return;
	missing = !found && !python_more_find();
	found = !missing;
	if (missing)
		return;
	python_queues_patch();
	python_conditions_patch();
	python_sleep_patch();
	python_greenlets_patch();
}

static void thread_making(struct thread *t)
{
	(void)t;
	patch();
}

const struct runtime runtime_python_threads = {
	.name = "python threads",
	.announces = true,
	.modules_loaded = patch,
	.current = current,
	.adopt = adopt,
	.accepted = accepted,
	.received = received,
	.requested = requested,
	.thread_making = thread_making,
	.owns_thread = runs_python,
	.forked = forked,
};

/* ---- queues ---- */

static void putting(const void *queue, const void *object)
{
	struct flow f;
	struct item item = {.returned = find_worker(&f) && worker_returns(f.worker, queue, object)};

	carrier_capture(thread_self(), &item.label);
	items_put(queue, object, &item);
}

void python_item_putting(const void *queue, const void *item)
{
	if (item != python_more.none)
		OBSERVE(putting(queue, item));
}

static void not_put(const void *queue, const void *object)
{
	struct item unused;

	(void)items_take(queue, object, &unused);
}

void python_item_not_put(const void *queue, const void *item)
{
	if (item != python_more.none)
		OBSERVE(not_put(queue, item));
}

/* Things are borrowed from stacks, or by those who would make another one. */
static bool is_borrowing(const void *queue, bool looks_only)
{
	return looks_only || strcmp(python_type_name(queue), "LifoQueue") == 0;
}

/* Runs an event loop: what its tasks fetch is for the one that fetches. */
static bool runs_loop(const struct thread *t, const struct flow *f)
{
	return f->source == SOURCE_CONTEXT && t->loop != 0 && t->loop != t->poll_loop;
}

static void tell_fetched(struct thread *t, struct flow *f, const struct fetched *what)
{
	struct label now = {.kind = LABEL_UNKNOWN};

	if (runs_loop(t, f))
		return;
	if (f->source != SOURCE_NONE && f->source != SOURCE_LOST && !may_be_anybodys(f))
		label_derive(&f->label, &now);
	worker_fetched(f->worker, what, cpython_context(), &now, serves(t, f));
	if (f->source == SOURCE_INHERITED && f->worker->what == WORKER_ITEM)
		t->has_inherited = false;
}

static void fetched(const void *queue, const void *object, bool looks_only)
{
	struct thread *t = thread_self();
	struct fetched what = {.queue = queue, .item = object != python_more.none ? object : NULL};
	struct item item;
	struct flow f;

	if (what.item) {
		what.known = items_take(queue, object, &item);
		what.returned = what.known && item.returned;
		what.borrowed = is_borrowing(queue, looks_only);
		what.executors = strcmp(python_type_name(object), "_WorkItem") == 0;
	}
	if (what.known)
		what.label = item.label;
	find_flow(t, &f);
	if (f.worker)
		tell_fetched(t, &f, &what);
}

static void missed(const void *queue)
{
	struct flow f;

	if (find_worker(&f))
		worker_missed(f.worker, queue);
}

void python_item_fetched(const void *queue, const void *item, bool looks_only)
{
	if (item)
		OBSERVE(fetched(queue, item, looks_only));
	else
		OBSERVE(missed(queue));
}

void python_queue_ended(const void *queue)
{
	OBSERVE(items_end(queue));
}

/* ---- conditions ---- */

struct worker *python_started(struct label *ret)
{
	struct thread *t = thread_self();
	struct flow f;

	/* Most threads and greenlets are none of these. */
	if (!t->has_inherited && greenlet_current(&f.worker) == GREENLET_NONE)
		return NULL;
	find_flow(t, &f);
	if (!f.worker || !was_started(&f))
		return NULL;
	label_derive(&f.label, ret);
	return f.worker;
}

void python_lost(struct worker *w)
{
	lose(w);
	if (w == &own_worker)
		thread_self()->has_inherited = false;
}

struct started *python_start_of(struct worker *w)
{
	return w == &own_worker ? &thread_self()->started : &w->started;
}

bool python_has_slept(void)
{
	struct flow f;

	return find_worker(&f) && python_start_of(f.worker)->slept;
}

void python_set_slept(bool slept)
{
	struct flow f;

	if (find_worker(&f))
		python_start_of(f.worker)->slept = slept;
}

static void in_queue(int change)
{
	struct flow f;

	if (find_worker(&f))
		f.worker->in_queue = (uint16_t)(f.worker->in_queue + change);
}

void python_in_queue(int change)
{
	OBSERVE(in_queue(change));
}

/* ---- greenlets ---- */

void python_flow_made(struct label *ret)
{
	struct flow f;

	if (!find_worker(&f)) {
		*ret = (struct label){.kind = LABEL_UNKNOWN};
	} else if (!handle_is_none(f.worker->arriving)) {
		*ret = label_reference(f.worker->arriving);
		f.worker->arriving = HANDLE_NONE;
	} else {
		carrier_capture(thread_self(), ret);
	}
}
