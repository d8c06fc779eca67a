/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * The entry points of libinterspan-unwind.so (export/unwind*.c), which the shim opens privately, as it does
 * libinterspan-export.so: libunwind's names would otherwise take the place of those by which C++ throws. version must
 * be INTERSPAN_VERSION, or it is not used.
 */
typedef const char *unwind_version_fn(void);

#define UNWIND_MAX 40
#define UNWIND_TEXT 1536

struct unwind_stack {
	uint32_t n;
	uint32_t text_len;
	uint64_t addresses[UNWIND_MAX]; /* innermost first; all but the first are return addresses */
	char text[UNWIND_TEXT];         /* the frames of its language runtime, as that would print them */
};

/*
 * The stack of another thread of this process; it is neither stopped nor interrupted, and cannot tell. False: none
 * can be had. Context: a thread of ours with a descriptor table of its own; one at a time; may allocate and block.
 */
typedef bool unwind_thread_fn(uint32_t tid, struct unwind_stack *ret);
/* The stack of the calling thread, its caller first. Async-signal-safe once it has been called; some 2 KiB of stack. */
typedef int unwind_here_fn(uint64_t *addresses, int max);

struct unwind {
	unwind_thread_fn *thread;
	unwind_here_fn *here;
};
