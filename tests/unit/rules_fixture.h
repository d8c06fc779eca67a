/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>

#include "shim/record.h"
#include "tests/unit/engine_hooks.h"

/* What tests of the rules share. */

/* A call from beginning to end; its span is the last one written. */
const struct record *call(const struct link *l, const char *request);
/* A connection used before: who opened it says nothing any more. Forgets the spans written so far. */
struct link idle_connection(void);
/* Loops do not serve one request at a time: leave rule 5 out of it. */
void no_thread_rule(void);
void assert_no_parent(const struct record *r, enum evidence evidence, unsigned links);
/* Answer and close. The server spans of a and b are the next two to be written. */
void end_both(struct link *a, struct link *b);
void end_one(struct link *a, struct link *out);
/* A teardown: nothing is left open. */
int rules_balanced(void **state);

/* A thread, made as the hook of pthread_create makes it. */
struct thread_run {
	struct thread_package *package;
	pthread_t thread;
};
void run_thread(struct thread_run *run, void *(*start)(void *), void *arg);
void join_thread(struct thread_run *run);
/* The one other thread of the process: it has done `does` (may be NULL) on return, and stays until the end. */
void other_thread_begin(void (*does)(void *arg), void *arg);
void other_thread_end(void);
