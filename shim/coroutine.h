/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/exchange.h"
#include "shim/label.h"
#include "shim/thread.h"

struct conn;

/*
 * Coroutines (rule 3). Most switch by a few instructions of their own, which no hook sees; but each has a stack. A
 * stack pointer outside the thread's own stack says which coroutine runs: nothing is done at a switch, and a
 * coroutine may move between threads.
 *
 * A coroutine is whose request it has read, until that is answered. As with threads (rule 5) that holds only where
 * coroutines answer what they read: one that does not ends it for all with its start function, or, where that was
 * not seen, for all of those. One made by makecontext() is its maker's until it reads a request; but only where
 * stacks have often been made anew: other programs keep their coroutines and hand them one piece of work after
 * another.
 *
 * Where a stack ends is known from makecontext() alone. Of others, what is near the place where a request was read
 * is taken for the same stack, once answers have shown often enough that it is.
 */

int coroutine_start(void);

/* Which coroutine runs here. */
typedef uint32_t coroutine_id;
#define COROUTINE_NONE 0           /* the thread's own stack, or one of which nothing is known */
#define COROUTINE_OTHER UINT32_MAX /* another stack, on which nothing was seen yet, or which cannot be told apart */
coroutine_id coroutine_seek(const struct thread *t, uintptr_t stack_pointer);
extern _Atomic uint32_t coroutine_regions; /* stacks ever seen */

/* Of a function that asks so often the frame's address would cost a register. */
static inline uintptr_t coroutine_stack_pointer(void)
{
#ifdef __x86_64__
	uintptr_t sp;

	__asm__("mov %%rsp, %0" : "=r"(sp));
	return sp;
#else
	return (uintptr_t)__builtin_frame_address(0);
#endif
}

static inline coroutine_id coroutine_here(const struct thread *t)
{
	uintptr_t sp = coroutine_stack_pointer();

	/* One may have been made on memory of the thread's own stack. */
	if (__builtin_expect(atomic_load_explicit(&coroutine_regions, memory_order_relaxed) == 0 && thread_stack_covers(t, sp), 1))
		return COROUTINE_NONE;
	return coroutine_seek(t, sp);
}

/* The label of coroutine id; false: it has none. */
bool coroutine_label(coroutine_id id, struct label *ret);
/* A coroutine was prepared on this stack. label: of whoever made it. */
void coroutine_made(uintptr_t low, size_t size, uintptr_t entry, const struct label *label);

/*
 * What is seen on a coroutine's stack: e's request was read there, its answer begins, it is over and next is the
 * one after it.
 */
static inline void coroutine_asked(coroutine_id here, struct exchange *e);
static inline void coroutine_answers(const struct thread *t, const struct exchange *e);
static inline void coroutine_answered(struct handle over, const struct exchange *e, struct handle next);
/* The coroutine's detached work has begun a trace of its own. */
void coroutine_adopt(coroutine_id id, const struct label *label);

/* ---- inline: most programs have none ---- */

void coroutine_reads(coroutine_id here, struct exchange *e);
void coroutine_writes(coroutine_id here, const struct exchange *e);
void coroutine_done(struct handle over, const struct exchange *e, struct handle next);

static inline void coroutine_asked(coroutine_id here, struct exchange *e)
{
	if (__builtin_expect(here != COROUTINE_NONE, 0))
		coroutine_reads(here, e);
}

static inline void coroutine_answers(const struct thread *t, const struct exchange *e)
{
	coroutine_id here = coroutine_here(t);

	if (__builtin_expect(here != COROUTINE_NONE || e->coroutine != 0, 0))
		coroutine_writes(here, e);
}

static inline void coroutine_answered(struct handle over, const struct exchange *e, struct handle next)
{
	if (__builtin_expect(e->coroutine != 0, 0))
		coroutine_done(over, e, next);
}
