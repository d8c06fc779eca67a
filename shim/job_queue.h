/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/context.h"
#include "shim/exchange.h"
#include "shim/thread.h"


/*
 * Queues of jobs between threads: a mutex, and a condition or a semaphore on which consumers wait (rule 3, by
 * elimination).
 *
 * What is between a lock and its unlock is one push or, by a thread that has waited, one pop. So the queue's
 * length is known, and what is in it where that is one: its pop has the label of its push. Where several are in it
 * nothing is known until it has been empty again: first in, first out is never taken for granted.
 *
 * A queue may be another structure than the one that the mutex guards, which is but a gate before it: then a push
 * is not yet to be seen when its item can be taken already. So nothing is known either while any request has been
 * read and not been pushed.
 *
 * Much that looks like this is no queue of jobs: pools of connections, tickets, barriers. A queue is believed once
 * its consumers have often enough answered the request that they should have been given, and never again after one
 * has not, or after its length was contradicted, or after a thread waited on it with work in hand.
 */

/* This thread begins to wait on a condition; it has been given the mutex back. The mutex is held at both. */
void job_queue_waiting(struct thread *t, uintptr_t condition, uintptr_t mutex);
void job_queue_waited(struct thread *t, uintptr_t mutex, bool timed_out);
/* It has taken a semaphore; it is about to wait for one. */
void job_queue_waiting_semaphore(struct thread *t);
void job_queue_taken(struct thread *t, uintptr_t semaphore);
/* It is about to unlock a mutex that is in the filter, or has taken a semaphore. */
void job_queue_unlocking(struct thread *t, uintptr_t mutex);

/* The request whose job this thread does; false: none, or not known. */
bool job_queue_current(struct thread *t, struct handle *ret);

/* What tells whether the labels are right: e's answer begins here; its request was read here. */
void job_queue_answers_from(struct thread *t, const struct exchange *e);
void job_queue_asked_from(struct thread *t);

static inline void job_queue_answers(struct thread *t, const struct exchange *e)
{
	if (t->job_queue != 0)
		job_queue_answers_from(t, e);
}

static inline void job_queue_asked(struct thread *t)
{
	if (t->job_queue != 0)
		job_queue_asked_from(t);
}
