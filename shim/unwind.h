/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/*
 * The entry points of libinterspan-unwind.so (export/unwind*.c), which the shim opens privately, as it does libinterspan-export.so:
 * libunwind's names would otherwise take the place of those by which C++ throws. version must be INTERSPAN_VERSION, or it is not used.
 */
typedef const char *unwind_version_fn(void);
/*
 * The stack of another thread of this process, innermost first; it is neither stopped nor interrupted, and cannot tell. Returns the number
 * of addresses, 0 when none can be had. Context: a thread of ours with a descriptor table of its own; may allocate and block.
 */
typedef int unwind_thread_fn(uint32_t tid, uint64_t *addresses, int max);
/* The stack of the calling thread, its caller first. Async-signal-safe once it has been called; some 2 KiB of stack. */
typedef int unwind_here_fn(uint64_t *addresses, int max);

struct unwind {
	unwind_thread_fn *thread;
	unwind_here_fn *here;
};
