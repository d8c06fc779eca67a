/* SPDX-License-Identifier: Apache-2.0 */
/*
 * threading.Condition, on which Python's other means of waiting are built, and pools of threads that nobody but their author knows.
 * A thread that was started for a request may wait on what it has made itself, a future or an event, and goes on for that request, unless
 * somebody else's work wakes it. Behind a condition that others have made, other work may have been left for it.
 */
#include "hooks/runtimes/python_api.h"
#include "hooks/runtimes/python_function.h"
#include "hooks/runtimes/python_queue.h"
#include "hooks/runtimes/python_threads.h"
#include "hooks/runtimes/python_worker.h"
#include "shim/carrier.h"
#include "shim/guard.h"
#include "shim/large_table.h"
#include "shim/thread.h"

#define ARGUMENTS_OFFSET ((size_t)1 << 63) /* a flag in a vectorcall's count */
#define WAITS 256u

/* Threads that wait now, of those that were started for something. GIL. */
struct wait {
	const void *condition; /* NULL: free */
	const struct worker *worker;
	struct label label;    /* what the worker was started for */
	bool slept;            /* before */
	bool no_sleep;         /* see struct worker */
	bool own;              /* the worker has made the condition itself */
	bool notified, by_other;
};

static struct wait waits[WAITS] LARGE_TABLE;
static unsigned n_waits;

/* ---- what happens ---- */

static void made(const void *condition)
{
	struct label unused;
	struct worker *w = python_started(&unused);

	if (w)
		w->made[w->n_made++ % WORKER_MADE] = condition;
}

static bool is_own(const struct worker *w, const void *condition)
{
	for (unsigned i = 0; i < WORKER_MADE; i++)
		if (w->made[i] == condition)
			return true;
	return false;
}

/* What it guards may be work, and may be taken without waiting. */
static void entered(const void *condition)
{
	struct label unused;
	struct worker *w = python_started(&unused);

	if (w && !w->in_queue && !is_own(w, condition))
		w->suspect = condition;
}

static void wait_begins(const void *condition, struct wait **ret)
{
	struct label label;
	struct worker *w = python_started(&label);

	if (!w || w->in_queue)
		return;
	for (unsigned i = 0; i < WAITS; i++) {
		if (waits[i].condition)
			continue;
		waits[i] = (struct wait){.condition = condition, .worker = w, .label = label};
		waits[i].own = is_own(w, condition);
		waits[i].slept = python_start_of(w)->slept;
		waits[i].no_sleep = w->no_sleep;
		w->no_sleep = false;
		n_waits++;
		*ret = &waits[i];
		return;
	}
	python_lost(w); /* no room to see who wakes it */
}

/* It has but slept; be it to look for work between. */
static void time_is_up(struct worker *w, const struct wait *wait)
{
	if (w->suspect == wait->condition)
		w->suspect = NULL;
	python_start_of(w)->slept = wait->slept || !wait->no_sleep;
}

static void wait_ends(struct wait *wait, bool woken)
{
	struct label unused;
	struct worker *w = python_started(&unused);
	bool lost = wait->own ? woken && wait->by_other : woken || wait->notified;

	if (w == wait->worker && lost)
		python_lost(w);
	else if (w == wait->worker && !woken)
		time_is_up(w, wait);
	wait->condition = NULL;
	n_waits--;
}

/* The first thing that a thread of threading's does is to say that it runs. */
static void says_it_runs(const void *condition)
{
	struct label unused;
	struct worker *w = thread_self()->has_inherited ? python_started(&unused) : NULL;

	if (!w || w->said_it_runs || w->suspect != condition)
		return;
	w->said_it_runs = true;
	w->suspect = NULL;
}

/* The label of whoever notifies: what it does behind the condition, it does before. */
static void capture_notifier(const void *condition, struct label *ret)
{
	struct label unused;
	struct worker *w = python_started(&unused);
	bool here = w && w->suspect == condition;

	if (here)
		w->suspect = NULL;
	carrier_capture(thread_self(), ret);
	if (here)
		w->suspect = condition;
}

static void notifies(const void *condition)
{
	struct label label;
	bool captured = false;

	says_it_runs(condition);
	for (unsigned i = 0; n_waits && i < WAITS; i++) {
		if (waits[i].condition != condition)
			continue;
		waits[i].notified = true;
		if (!captured)
			capture_notifier(condition, &label);
		captured = true;
		if (label.kind == LABEL_UNKNOWN || !label_same(&label, &waits[i].label))
			waits[i].by_other = true;
	}
}

void python_made(const void *object)
{
	OBSERVE(made(object));
}

void *python_waiting(const void *object)
{
	struct wait *wait = NULL;

	OBSERVE(wait_begins(object, &wait));
	return wait;
}

void python_waited(void *wait, bool woken)
{
	if (wait)
		OBSERVE(wait_ends(wait, woken));
}

void python_waking(const void *object)
{
	if (n_waits || thread_self()->has_inherited)
		OBSERVE(notifies(object));
}

/* ---- hooks ---- */

static void *init_function(void *callable, void *const *args, size_t nargs, void *names)
{
	if (nargs & ~ARGUMENTS_OFFSET)
		python_made(args[0]);
	return python_function_run(callable, args, nargs, names);
}

static void *enter_function(void *callable, void *const *args, size_t nargs, void *names)
{
	if (nargs & ~ARGUMENTS_OFFSET)
		OBSERVE(entered(args[0]));
	return python_function_run(callable, args, nargs, names);
}

/* A timer runs one thing when its time has come; and for no time nobody sleeps. */
static void next_is_no_sleep(void)
{
	struct label unused;
	struct worker *w = python_started(&unused);

	if (w)
		w->no_sleep = true;
}

static bool is_no_time(void *timeout)
{
	int is_some = timeout && timeout != python_more.none ? python_more.PyObject_IsTrue(timeout) : 1;

	if (is_some < 0)
		python.PyErr_Clear();
	return is_some == 0;
}

static void *wait_function(void *callable, void *const *args, size_t nargs, void *names)
{
	size_t n = nargs & ~ARGUMENTS_OFFSET;
	void *wait, *r;

	if (is_no_time(python_argument(args, n, names, 1, "timeout")))
		OBSERVE(next_is_no_sleep());
	wait = n ? python_waiting(args[0]) : NULL;
	r = python_function_run(callable, args, nargs, names);

	python_waited(wait, r != python_more.no);
	return r;
}

static void *timer_function(void *callable, void *const *args, size_t nargs, void *names)
{
	OBSERVE(next_is_no_sleep());
	return python_function_run(callable, args, nargs, names);
}

static void *notify_function(void *callable, void *const *args, size_t nargs, void *names)
{
	if (nargs & ~ARGUMENTS_OFFSET)
		python_waking(args[0]);
	return python_function_run(callable, args, nargs, names);
}

void python_conditions_forked(void)
{
	memset(waits, 0, sizeof(waits));
	n_waits = 0;
}

static void patch_timer(void)
{
	void *class = python_of_module("threading", "Timer");

	if (class)
		(void)python_hook_method(class, "run", timer_function);
}

/* Waking first: a wait of which nobody is seen to be the waker would make the thread's work unknown. */
void python_conditions_patch(void)
{
	static bool done;
	void *class = done ? NULL : python_of_module("threading", "Condition");

	if (!class)
		return;
	done = true;
	patch_timer();
	if (python_hook_method(class, "notify", notify_function) && python_hook_method(class, "wait", wait_function) &&
	    python_hook_method(class, "__init__", init_function))
		(void)python_hook_method(class, "__enter__", enter_function);
}
