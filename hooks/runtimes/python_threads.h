/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

struct label;
struct worker;

/*
 * Threads, greenlets and the queues between them: what the files that see an event tell. All hold the GIL. Those about queues enter
 * the guard and keep errno.
 */

/* item is about to be put into queue; if that fails, the second. */
void python_item_putting(const void *queue, const void *item);
void python_item_not_put(const void *queue, const void *item);
/* queue gave item; NULL: it had none (an exception is set). looks_only: the caller would not have waited for one. */
void python_item_fetched(const void *queue, const void *item, bool looks_only);
/* The queue is being freed. */
void python_queue_ended(const void *queue);

/* The calling flow has made another one: whose is that? Entered into the guard. */
void python_flow_made(struct label *ret);

/*
 * The worker of the calling thread or greenlet, if what it was started for is all that is known of it; else NULL. And: it may work for
 * somebody else from now on. Entered into the guard.
 */
struct worker *python_started(struct label *ret);
void python_lost(struct worker *w);
/* How the worker of the calling flow was started. */
struct started *python_start_of(struct worker *w);
/* Has the calling flow slept since it was started? */
bool python_has_slept(void);
void python_set_slept(bool slept);
/* A call of a queue's method begins (1) or ends (-1). */
void python_in_queue(int change);

/* Pools of processes: is this one of them? Before main(); in a forked child. */
void python_process_look(void);
void python_process_forked(void);
/* It has read from a pipe. True: what it does from now on may be for anybody. */
bool python_process_was_handed(void);

/* The calling flow has made an object to wait on. */
void python_made(const void *object);
/* The calling flow waits on an object, to be woken by another one. Returns what python_waited() needs when that is over, or NULL. */
void *python_waiting(const void *object);
void python_waited(void *wait, bool woken);
/* It wakes those who wait for that object. */
void python_waking(const void *object);
