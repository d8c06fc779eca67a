/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct worker;

/*
 * Greenlets: several flows of control on a thread, which switch without a call that we see. Which one runs is read where the module
 * greenlet keeps it, in its thread-local storage; where that is gets measured while the first ones are made. Until
 * then, and where it does not measure up, nothing is known on threads that have made greenlets.
 */
enum greenlet_here {
	GREENLET_NONE,    /* this thread has made none */
	GREENLET_MAIN,    /* the thread's own flow */
	GREENLET_ONE,     /* one of them */
	GREENLET_UNKNOWN,
};

/* Which runs on the calling thread? ret: its worker, for ONE. Any thread, with or without the GIL. */
enum greenlet_here greenlet_current(struct worker **ret);

/* Patch the type, when the program has imported it. GIL held, everything found. */
void python_greenlets_patch(void);
