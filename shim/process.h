/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/context.h"
#include "shim/record.h"

/*
 * What belongs to the process as a whole: what it inherited, its threads, how it exits, and what makes the elimination
 * rules blind. Where its spans go is in output.h, how it forks in fork.h.
 */

/* Atfork handlers; the context that the environment names. Both must stay. */
int process_start(char *const argv[], char *const envp[]);
/* As main() will get them; for adapters, before main(). */
char *const *process_arguments(void);
/* A finished span: into the segment, or dropped and counted. Makes the segment and starts the helper when first needed. */
void process_write(struct record *record);
/* listen() was called: a server. Its segment exists from now on, for the children too. */
void process_listening(void);
/* The parent that the environment named; only while this process is no server. */
bool process_parent(struct context *ret);
/* It is a CGI program, made for one request, and nobody has said which: what it does is no root. */
bool process_request_is_unknown(void);
/*
 * What it does from now on, outside of requests that it receives itself, may be for anybody who hands it work in ways that we do not see:
 * then it has neither that parent nor none. Unless it is a server.
 */
void process_takes_work(void);
bool process_is_anybodys(void);
/* The parent that the environment named, whatever became of that. */
bool process_named_parent(struct context *ret);
/* Threads of the program's besides the first; when one was made that we cannot follow, there are some for good. */
void process_thread_created(void);
void process_thread_ended(void);
/* The first one left by pthread_exit(): the process ends with its last thread, and that must be none of ours. */
void process_first_thread_ended(void);
void process_threads_uncounted(void);
bool process_has_threads(void);
/* In a forked child. */
void process_after_fork(void);

extern _Atomic bool process_sandboxed;
/*
 * A filter of system calls may be in force that kills: from now on the program's threads make none that the program does not make
 * itself. What only a call could tell stays unknown; the helper, if one runs, is not bound by the filter.
 */
static inline bool process_is_sandboxed(void)
{
	return __builtin_expect(atomic_load_explicit(&process_sandboxed, memory_order_relaxed), 0);
}

/* I/O may bypass us (io_uring): elimination is impossible. */
bool process_is_blind(void);
/* Continuations were seen to move between loops: "parked" is then judged over all of them. */
void process_note_crossing(void);
bool process_crosses_threads(void);
