/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>

/*
 * Re-entrancy, the on/off switch and errno, in one place. guard_enter() fails while the shim is off (before main.c has
 * started it, after it stood down), and on a thread that is already inside it: a signal handler that interrupted our
 * bookkeeping, or the helper thread, which enters once and never leaves. The guard is never held across a real call.
 */

/* Written by main.c (on) and stand_down() (off) only. */
extern _Atomic bool guard_enabled;
/* initial-exec: the general model may allocate on first use and so recurse into a hooked program's allocator. */
extern __thread volatile unsigned guard_depth __attribute__((tls_model("initial-exec")));

static inline bool guard_is_on(void)
{
	return __builtin_expect(atomic_load_explicit(&guard_enabled, memory_order_relaxed), 1);
}

/* The depth of a thread of ours: its calls are not the program's, and its descriptors are numbers in another table. */
#define GUARD_AWAY 0x10000u

static inline bool guard_is_away(void)
{
	return guard_depth >= GUARD_AWAY;
}

static inline bool guard_enter(void)
{
	if (!guard_is_on() || guard_depth != 0)
		return false;
	guard_depth = 1;
	return true;
}

static inline void guard_leave(void)
{
	guard_depth = 0;
}

/* Run call unless we are off or already inside; errno survives. */
#define OBSERVE(call)                                                                                                  \
	do {                                                                                                           \
		if (guard_enter()) {                                                                                   \
			int errno_saved = errno;                                                                       \
			call;                                                                                          \
			errno = errno_saved;                                                                           \
			guard_leave();                                                                                 \
		}                                                                                                      \
	} while (0)
