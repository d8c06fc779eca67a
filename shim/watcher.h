/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The thread that looks for stalls: one a process, made when a loop that serves many reads a request, named
 * "interspan", with all signals blocked and a descriptor table of its own. It looks twice within the limit while
 * requests are open, and sleeps, without a time to wake, when there have been none for a while.
 *
 * It also takes the stack of the thread that has stalled, through libinterspan-unwind.so (unwind.h), which it loads
 * at the first stall. Never by a signal: a handler could be noticed, and a call that it interrupts would return.
 */

extern _Atomic uint32_t watcher_awake; /* 1: it is at work */

void watcher_make_sure(uint64_t now_ns);

/*
 * A request has arrived at now_ns: the watcher is to be at work. One load when it is. Any thread of the program's;
 * may create one.
 */
static inline void watcher_ensure(uint64_t now_ns)
{
	if (__builtin_expect(atomic_load_explicit(&watcher_awake, memory_order_relaxed) == 0, 0))
		watcher_make_sure(now_ns);
}

/* One look at every loop's thread. Returns when to look again, in CLOCK_MONOTONIC. The watcher's thread; or a test. */
uint64_t watcher_look(uint64_t now_ns);

/*
 * Is a stack to be read at now_ns? Reading one and, later, its symbols takes milliseconds, which a machine that
 * starves, where every loop stalls, does not have: true so many times a second. The watcher's thread; or a test.
 */
#define WATCHER_STACKS_A_SECOND 10
bool watcher_takes_stack(uint64_t now_ns);

/*
 * End the thread, and wait a little, until the kernel no longer counts it: before a fork in a process that would
 * otherwise be single-threaded, before unshare and setns, and at the end. It is not made again at once. In a sandbox,
 * where nobody can be woken or waited for, it is only told.
 */
void watcher_stop(void);
/* From now on none is made: a sandbox is coming that may kill who tries. One that is there goes on. */
void watcher_seal(void);
/* In a forked child: the thread does not exist here. */
void watcher_forget(void);
