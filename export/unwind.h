/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/unwind.h"

/*
 * libinterspan-unwind.so: the stacks of threads that do not know of it.
 *
 * A signal whose handler unwinds is how this is usually done. It is not how it is done here, because a program can
 * tell: a call that the signal interrupts returns EINTR or is cut short (nanosleep, poll and epoll_wait whatever
 * SA_RESTART says), a signal that the program blocks, waits for or resets does other things than ours, and its
 * default action ends the process. So the thread is read from outside, from a thread of ours in the same process:
 *
 * - Blocked in the kernel (a sleep, a lock, I/O): /proc/self/task/TID/syscall says where its stack pointer and its
 *   program counter are, and the rest is memory. Its other registers are not known. Where unwinding needs the frame
 *   pointer, and no function on the way has saved it, the frame is looked for on the stack: a saved frame pointer beside
 *   a return address behind a call of the very function.
 * - Running: perf_event_open() lets the kernel copy registers and stack at a clock tick. Where it is not allowed
 *   (kernel.perf_event_paranoid above 2, many containers) there is no stack.
 *
 * Memory is read by the kernel, which fails where a load would fault: what is read may be in motion. Code
 * without unwind tables (compiled at run time) ends the stack.
 */

/* ---- memory ---- */
/* Bytes of this process, as they are now or, within the copy, as they were. False: not (all) there. */
bool memory_read(uint64_t address, void *to, size_t len);
/*
 * Around the reading of a stack. Under a filter of system calls, which may kill for those that only debuggers make, memory is read
 * through /proc/self/mem, and no thread is sampled.
 */
void memory_open(void);
void memory_close(void);
bool memory_is_filtered(void);
/* Forget what was read; and from now on bytes at [address, address + len) are those of copy. NULL: none are. */
void memory_begin(const uint8_t *copy, uint64_t address, size_t len);

/* ---- where a thread is ---- */
struct registers {
	uint64_t ip, sp;
	bool has_callee_saved;            /* else only those two are known */
	uint64_t bx, bp, r12, r13, r14, r15;
};

#define SAMPLE_STACK_BYTES 32768u

/* By perf_event_open, within some 40 ms. The top of its stack is copied to stack, *ret_len bytes. */
bool sample_thread(uint32_t tid, struct registers *ret, uint8_t stack[SAMPLE_STACK_BYTES], size_t *ret_len);

/* ---- code ---- */
struct code {
	uint64_t start, end;   /* executable memory of one object */
	uint64_t frame_header; /* .eh_frame_hdr; 0: none */
};
/* Look what is loaded now. */
void code_begin(void);
/* The object that address lies in. */
bool code_find(uint64_t address, struct code *ret);
/* Does a call end at address? *ret_target: of a direct one, else 0. */
bool code_is_after_call(uint64_t address, uint64_t *ret_target);

/* ---- language runtimes ---- */
/* The Python frames of a thread, the outermost first, as many of the innermost as fit. Returns the length; 0: none. */
size_t python_frames(uint32_t tid, char *text, size_t cap);

/* ---- entry points, by name ---- */
#define UNWIND_EXPORT __attribute__((visibility("default")))
UNWIND_EXPORT unwind_version_fn interspan_unwind_version;
UNWIND_EXPORT unwind_thread_fn interspan_unwind_thread;
UNWIND_EXPORT unwind_here_fn interspan_unwind_here;
