/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Turn the calling thread into one that the program has nothing to do with: a name of its own, no real-time priority,
 * and a descriptor table of its own, in which nothing of the program's is open: it then takes no number from the
 * program, keeps none of its files open, and survives loops that close everything. 0 to 2 are /dev/null there, but
 * for those asked to be kept. Where the kernel does not let us have our own table, the program's stays in use and
 * untouched, and the result is false. Context: a thread of ours; makes system calls only.
 */
bool background_enter(bool keep_stdout, bool keep_stderr);

/*
 * A detached thread with all signals blocked. Returns 0 or an error number. Context: any thread, not from a signal
 * handler.
 */
int background_create(void *(*main)(void *), size_t stack_bytes);

/*
 * The thread has said goodbye: wait until it is gone for the kernel too, which is what fork and unshare look at.
 * True: it is, and *thread_id is 0 (as it is where there never was one). deadline_ns: CLOCK_MONOTONIC.
 */
bool background_wait_until_gone(_Atomic uint32_t *thread_id, uint64_t deadline_ns);
