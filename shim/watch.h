/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/context.h"
#include "shim/exchange.h"
#include "shim/record.h"
#include "shim/runtime.h"
#include "shim/thread.h"
#include "shim/unwind.h"
#include "shim/watcher.h"

/*
 * Event loop stalls. A thread that serves many connections from one loop and stays away from its wait for longer than
 * INTERSPAN_LOOP_STALL_MS keeps all of them waiting. The request that it works on meanwhile gets the event
 * event_loop.stall, the others event_loop.blocked.
 *
 * Who watches: a thread of ours (watcher.h). The loop's thread only writes, at each wait and each return from one,
 * the word `turn` of its own; it reads no clock and makes no call. The watcher looks at these words every so often;
 * one that has not changed for the limit, and is no wait, is a stall, and the watcher leaves its verdict. The thread
 * finds it where it next passes by (a wait, something read, an exchange that ends), says whose work it had, by the
 * eliminations that give parents, and adds the events itself: to what ends there at once, to all that is open when it
 * comes back to its wait.
 *
 * A loop is watched once it has been seen to serve many: it has read a request from a connection that it had before
 * the wait returned. Workers that take one connection at a time, and wait for the next, keep nobody waiting.
 */

#define STALLS_MAX 4 /* in one window, each told from the others */

struct stall {
	uint64_t since_ns, until_ns; /* the thread was away at least so long */
	struct handle who;           /* whose work it was; none: not known */
	struct context blocker;      /* its context, where known */
	struct unwind_stack stack;
};
_Static_assert(UNWIND_MAX <= RECORD_STACK_MAX, "a stack fits into a record");

struct watch {
	/* Of its thread, for the watcher. */
	_Atomic uint32_t turn;   /* odd: in a wait */
	_Atomic uint32_t tid;                 /* 0: nobody's */
	_Atomic uint64_t began_ns;            /* a request arrived then, the first in the window of began_turn */
	_Atomic uint32_t began_turn;
	/* Of the watcher, for the thread. */
	_Atomic uint32_t verdict;             /* turn | 1 of a window that has stalled; 0: none */
	_Atomic bool has_stack;               /* after stack is whole; false before each verdict */
	uint64_t since_ns;                    /* valid with the verdict, as is this: */
	enum runtime_answer answer;           /* whose task it ran, where a runtime's adapter knows its tasks */
	struct handle task_of;                /* the open exchange that the task is for; none: for none, or not known */
	struct unwind_stack stack;
	/* Its thread's own. */
	bool pending;                         /* anything below is to be looked at */
	bool late;                            /* what is read now has waited while the last stall lasted */
	uint64_t late_until_ns, waits_ns;
	unsigned n_stalls;                    /* not yet told to the exchanges that are open */
	struct stall stalls[STALLS_MAX];
	struct stall last;
	/* Written before tid is. */
	struct runtime_place place;
	/* The watcher's own. */
	bool seen, told;
	uint32_t seen_turn;
	uint64_t seen_ns;
};

struct conn;
struct exchange;

/* 0 or -ENOMEM. */
int watch_start(void);
/* Slots 1 to this have been used. */
uint32_t watch_high_water(void);
struct watch *watch_at(uint32_t slot);
/* This thread ends, or (watcher) is found to have ended. */
void watch_leave(struct watch *w);
/* In a forked child: the calling thread's is all there is. */
void watch_after_fork(struct thread *t);

/* A request was read on a connection (entered); e NULL does not occur. */
static inline void watch_request(struct thread *t, struct conn *c, struct exchange *e);

/* ---- inline: what a thread does at every wait ---- */

void watch_came_back(struct thread *t);
void watch_woke(struct watch *w);
void watch_settle(struct thread *t, struct handle answered);
void watch_ends(struct thread *t, struct exchange *e);

static inline bool watch_has_verdict(const struct watch *w)
{
	return __builtin_expect(atomic_load_explicit(&w->verdict, memory_order_relaxed) != 0, 0);
}

/* The thread is about to wait. */
static inline void watch_waits(struct thread *t)
{
	struct watch *w = t->watch;

	if (!w)
		return;
	if (watch_has_verdict(w) || w->pending)
		watch_came_back(t);
	/* Released with all that the window did; the watcher compares, and orders nothing by it. */
	atomic_store_explicit(&w->turn, atomic_load_explicit(&w->turn, memory_order_relaxed) | 1, memory_order_relaxed);
}

/* It has waited. */
static inline void watch_returned(struct thread *t)
{
	struct watch *w = t->watch;
	uint32_t turn;

	if (!w)
		return;
	turn = atomic_load_explicit(&w->turn, memory_order_relaxed);
	if (turn & 1)
		atomic_store_explicit(&w->turn, turn + 1, memory_order_relaxed);
	if (w->pending)
		watch_woke(w);
}

/* Something new is about to be known in this window: who was at work before it is said now. */
static inline void watch_passes(struct thread *t)
{
	if (t->watch && watch_has_verdict(t->watch))
		watch_settle(t, HANDLE_NONE);
}

/* Likewise: the response of this one begins. */
static inline void watch_answers(struct thread *t, struct handle answered)
{
	if (t->watch && watch_has_verdict(t->watch))
		watch_settle(t, answered);
}

/* An exchange (its connection entered) is about to end on this thread. */
static inline void watch_ending(struct thread *t, struct exchange *e)
{
	if (t->watch && (watch_has_verdict(t->watch) || t->watch->n_stalls > 0))
		watch_ends(t, e);
}

void watch_join(struct thread *t, struct conn *c);
void watch_began(struct watch *w, const struct exchange *e);
void watch_is_late(struct thread *t, struct exchange *e);

static inline void watch_request(struct thread *t, struct conn *c, struct exchange *e)
{
	struct watch *w;

	if (!t->watch)
		watch_join(t, c);
	w = t->watch;
	if (!w)
		return;
	if (atomic_load_explicit(&w->began_turn, memory_order_relaxed) != atomic_load_explicit(&w->turn, memory_order_relaxed))
		watch_began(w, e);
	if (__builtin_expect(w->late, 0))
		watch_is_late(t, e);
	watcher_ensure(e->start_ns);
}
