/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "shim/label.h"

struct conn;
struct exchange;
struct thread;

/*
 * Adapters of language runtimes (hooks/runtimes/, one a file): they know the task that a thread runs (rule 2). main.c registers
 * those of hooks/runtimes/runtimes.def; the engine asks them through these functions only. Each may be NULL.
 * All are called inside the guard; none may allocate through libc's hooks, lock, block or fail.
 */
enum runtime_answer {
	RUNTIME_ABSENT,      /* this thread runs no task of it: other rules are asked */
	RUNTIME_LABEL,       /* its task has this label */
	RUNTIME_ITEM,        /* it runs a work item of the runtime's, with this label (rule 3) */
	RUNTIME_CANNOT_TELL, /* it runs a task, whose is not known: unknown, and rules 4 to 7 are not asked */
};

struct runtime {
	const char *name;
	bool announces; /* it calls runtime_found() when its runtime is there; until then it need be asked nothing but modules_loaded */
	/* At start, and whenever a library may have been loaded: look for the runtime, patch what must be. Any thread. */
	void (*modules_loaded)(void);
	/* This thread is about to make another one. */
	void (*thread_making)(struct thread *t);
	/*
	 * Does the calling thread run it, whose threads wait for work in other ways than by conditions? A condition then says nothing
	 * about what the thread does next. Called outside the guard.
	 */
	bool (*owns_thread)(void);
	/* The label of the task that the calling thread runs. NULL: it runs none, only work items. */
	enum runtime_answer (*current)(struct thread *t, struct label *ret);
	/* The task that the calling thread runs has begun a trace of its own: its label from now on. */
	void (*adopt)(struct thread *t, const struct label *label);
	/* The same for a task that had handed bytes over when it had the label was. It may be gone. */
	void (*adopt_as)(const void *task, const struct label *was, const struct label *label);
	/* This thread has accepted a connection. */
	void (*accepted)(struct thread *t, struct handle connection);
	/* This thread has read from a connection (entered, after its bytes have been followed), or, NULL, from another descriptor. */
	void (*received)(struct thread *t, struct conn *c);
	/* This thread has read a request's head on connection c (entered); its exchange's context. */
	void (*requested)(struct thread *t, struct conn *c, const struct context *context);
	/* This thread has asked who the peer of a server connection is. */
	void (*peer_asked)(struct thread *t, struct handle connection);
	/* The same of its state (TCP_INFO). */
	void (*state_asked)(struct thread *t, struct handle connection);
	/* This thread begins to answer server exchange e. Its connection is entered. */
	void (*answers)(struct thread *t, const struct exchange *e);
	/* This thread has read something of a response to e (NULL: of none that is known), before it is followed. Its connection is entered. */
	void (*answered)(struct thread *t, const struct exchange *e);
	/* Where the calling thread keeps what it runs; fixed as long as the thread lives. NULL: the runtime is not there. */
	const void *(*place)(void);
	/*
	 * current(), for another thread, from a thread of ours: of one that has not moved for long. What is at the place may be in motion
	 * or gone, and is read by sys_read_memory().
	 */
	enum runtime_answer (*glimpse)(const void *place, struct label *ret);
	/* In a forked child, on its only thread. */
	void (*forked)(void);
};

/* For a later glimpse at this thread. */
struct runtime_place {
	const struct runtime *runtime; /* NULL: none */
	const void *place;
};

#define RUNTIMES_MAX 16

/* Before the shim is on; the structure must live as long as the process. */
void runtime_register(const struct runtime *runtime);
/*
 * A runtime is in this process: before its adapter is to be asked anything but modules_loaded. Most processes have none, and each exchange
 * would ask for all of them.
 */
void runtime_found(void);
extern _Atomic bool runtime_is_here;

/* The first adapter that is not absent on this thread. */
enum runtime_answer runtime_ask_current(struct thread *t, struct label *ret);
void runtime_adopt(struct thread *t, const struct label *label);
void runtime_adopt_as(const void *task, const struct label *was, const struct label *label);
void runtime_thread_making(struct thread *t);
bool runtime_owns_thread(void);
void runtime_accepted(struct thread *t, struct handle connection);
void runtime_ask_received(struct thread *t, struct conn *c);
void runtime_ask_requested(struct thread *t, struct conn *c, const struct context *context);
void runtime_ask_answered(struct thread *t, const struct exchange *e);
void runtime_place(struct runtime_place *ret);
enum runtime_answer runtime_glimpse(const struct runtime_place *place, struct label *ret);
void runtime_peer_asked(struct thread *t, struct handle connection);
void runtime_state_asked(struct thread *t, struct handle connection);
void runtime_ask_answers(struct thread *t, const struct exchange *e);
void runtime_forked(void);

/* ---- inline: what every exchange does ---- */

static inline bool runtime_may_be_here(void)
{
	return __builtin_expect(atomic_load_explicit(&runtime_is_here, memory_order_acquire), 0);
}

static inline enum runtime_answer runtime_current(struct thread *t, struct label *ret)
{
	return runtime_may_be_here() ? runtime_ask_current(t, ret) : RUNTIME_ABSENT;
}

static inline void runtime_received(struct thread *t, struct conn *c)
{
	if (runtime_may_be_here())
		runtime_ask_received(t, c);
}

static inline void runtime_requested(struct thread *t, struct conn *c, const struct context *context)
{
	if (runtime_may_be_here())
		runtime_ask_requested(t, c, context);
}

static inline void runtime_answered(struct thread *t, const struct exchange *e)
{
	if (runtime_may_be_here())
		runtime_ask_answered(t, e);
}

static inline void runtime_answers(struct thread *t, const struct exchange *e)
{
	if (runtime_may_be_here())
		runtime_ask_answers(t, e);
}
