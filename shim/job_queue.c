/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/job_queue.h"

#include <errno.h>
#include <stdatomic.h>

#include "shim/carrier.h"
#include "shim/channel.h"
#include "shim/engine.h"
#include "shim/large_table.h"
#include "shim/runtime.h"
#include "shim/stats.h"
#include "shim/thread.h"

#define QUEUES 1024
#define PROBES 16
#define ANSWERS_TO_TRUST 32

/*
 * Everything but revoked and answered belongs to whoever holds the mutex. A mutex that is destroyed leaves its
 * queue behind: another one at its address has another condition, or contradicts it, and ends it.
 */
struct queue {
	_Atomic(uintptr_t) mutex;   /* 0: free */
	uintptr_t source;           /* the condition or semaphore that consumers wait on */
	_Atomic bool revoked;
	_Atomic uint32_t answered;  /* requests answered by whoever should have got them */
	bool is_counted;            /* by a semaphore: that it is empty is only counted, never seen */
	bool unsure;                /* until it is empty */
	int32_t length;
	struct handle only;         /* whose the only item is, where there is one; none: not known */
};

static struct queue queues[QUEUES] LARGE_TABLE; /* 0 is none */
_Atomic uint8_t engine_queue_filter[ENGINE_QUEUE_FILTER];

static struct queue *find(uintptr_t mutex)
{
	for (uint32_t probe = 0; probe < PROBES; probe++) {
		uint32_t i = (uint32_t)((mutex >> 3) + probe) % QUEUES;
		uintptr_t there = atomic_load_explicit(&queues[i].mutex, memory_order_acquire);

		if (there == mutex)
			return i ? &queues[i] : NULL;
		if (there == 0)
			return NULL;
	}
	return NULL;
}

/* The mutex is held: nobody else learns it now. */
static struct queue *learn(uintptr_t mutex, uintptr_t source, bool is_counted)
{
	for (uint32_t probe = 0; probe < PROBES; probe++) {
		uint32_t i = (uint32_t)((mutex >> 3) + probe) % QUEUES;
		uintptr_t none = 0;

		if (i == 0 || !atomic_compare_exchange_strong(&queues[i].mutex, &none, mutex))
			continue;
		queues[i].source = source;
		queues[i].is_counted = is_counted;
		queues[i].unsure = !is_counted; /* waiting on a condition shows that it is empty */
		atomic_fetch_add(&engine_queue_filter[engine_queue_hash((const void *)mutex)], 1);
		return &queues[i];
	}
	return NULL;
}

static uint16_t number(const struct queue *q)
{
	return (uint16_t)(q - queues);
}

static bool is_revoked(const struct queue *q)
{
	return atomic_load_explicit(&q->revoked, memory_order_relaxed);
}

/* For good. Unlocking it costs nothing any more. */
static void revoke(struct queue *q)
{
	if (q == queues || atomic_exchange_explicit(&q->revoked, true, memory_order_relaxed))
		return;
	atomic_fetch_sub(&engine_queue_filter[engine_queue_hash((const void *)atomic_load(&q->mutex))], 1);
	stats_count(STAT_RULES_REVOKED);
}

/* ---- whose a push is ---- */

/*
 * The thread's task; or else what it has read and not answered, if that is all that it was woken for. Whether such
 * a thread queues what it has read is what the answers show.
 */
static struct handle pusher(struct thread *t)
{
	struct label label;
	const struct window *w = &t->window;
	struct handle read = HANDLE_NONE;

	carrier_capture(t, &label);
	if (w->seq == 0)
		read = t->sync;
	else if (w->n == 1 && w->other == 0 && w->fresh)
		read = w->who[0];
	if (label.kind != LABEL_CONTEXT)
		return exchange_is_open(read) ? read : HANDLE_NONE;
	return exchange_is_open(read) && !handle_equal(read, label.context.exchange) ? HANDLE_NONE
										     : label.context.exchange;
}

/* ---- what a thread has been given ---- */

static void drop_job(struct thread *t)
{
	t->job = HANDLE_NONE;
	t->job_queue = 0;
}

static bool has_work_in_hand(const struct thread *t)
{
	return exchange_is_open(t->job) || exchange_is_open(t->sync);
}

/* One that consumes from two queues may wait for a connection on one of them, with a job of the other. */
static void make_home(struct thread *t, struct queue *q)
{
	if (t->queue_home && t->queue_home != number(q)) {
		revoke(&queues[t->queue_home]);
		revoke(q);
	}
	t->queue_home = number(q);
}

bool job_queue_current(struct thread *t, struct handle *ret)
{
	const struct queue *q = &queues[t->job_queue];

	if (t->job_queue == 0 || !exchange_is_open(t->job) || is_revoked(q) ||
	    atomic_load_explicit(&q->answered, memory_order_relaxed) < ANSWERS_TO_TRUST)
		return false;
	*ret = t->job;
	return true;
}

void job_queue_answers_from(struct thread *t, const struct exchange *e)
{
	struct queue *q = &queues[t->job_queue];

	if (handle_equal(t->job, exchange_handle(e)))
		atomic_fetch_add_explicit(&q->answered, 1, memory_order_relaxed);
	else
		revoke(q);
	drop_job(t);
}

/* It was given a connection to read from, or is more than a consumer. */
void job_queue_asked_from(struct thread *t)
{
	revoke(&queues[t->job_queue]);
	drop_job(t);
}

/* ---- waiting ---- */

static void set_empty(struct queue *q)
{
	q->length = 0;
	q->unsure = false;
}

void job_queue_waiting(struct thread *t, uintptr_t condition, uintptr_t mutex)
{
	struct queue *q = find(mutex);
	bool in_hand = has_work_in_hand(t);

	drop_job(t);
	t->queue_woken = 0;
	if (!q)
		q = learn(mutex, condition, false);
	if (!q || is_revoked(q))
		return;
	make_home(t, q);
	/* A consumer waits where the queue is empty; what is not so is no consumer, or no such queue. */
	if (in_hand || q->is_counted || q->source != condition || (!q->unsure && q->length != 0))
		revoke(q);
	else
		set_empty(q);
}

void job_queue_waited(struct thread *t, uintptr_t mutex, bool timed_out)
{
	const struct queue *q = find(mutex);

	t->queue_woken = q ? number(q) : 0;
	t->queue_timed_out = timed_out;
}

void job_queue_waiting_semaphore(struct thread *t)
{
	t->has_inherited = false;
	channel_forget(t);
	t->queue_waits_in_hand = has_work_in_hand(t);
	drop_job(t);
}

void job_queue_taken(struct thread *t, uintptr_t semaphore)
{
	t->semaphore_taken = semaphore;
}

/* ---- between lock and unlock ---- */

/*
 * Something was in it that we did not see pushed, or the consumer gave up. What a semaphore counts may have been
 * there before we looked.
 */
static void pop_unseen(const struct thread *t, struct queue *q)
{
	if (!q->is_counted ? !q->unsure && !t->queue_timed_out : atomic_load(&q->answered) >= ANSWERS_TO_TRUST)
		revoke(q);
	else if (q->is_counted)
		atomic_store(&q->answered, 0);
}

static void pop(struct thread *t, struct queue *q)
{
	drop_job(t);
	if (q->length <= 0) {
		pop_unseen(t, q);
		return;
	}
	if (q->length == 1 && !q->unsure && !handle_is_none(q->only) && !exchange_has_unqueued()) {
		t->job = q->only;
		t->job_queue = number(q);
	}
	q->unsure = q->unsure || q->length > 1;
	q->length--;
	if (q->length == 0 && q->is_counted)
		q->unsure = false;
}

/* A consumer that did not wait may have popped something, or only looked. */
static void looked(struct thread *t, struct queue *q)
{
	drop_job(t);
	if (q->is_counted)
		revoke(q);
	q->unsure = true;
}

static void push(struct thread *t, struct queue *q)
{
	struct handle whose = pusher(t);

	exchange_queued(whose);
	q->only = q->length == 0 && !q->unsure && !exchange_has_unqueued() ? whose : HANDLE_NONE;
	q->length++;
}

static struct queue *popped_after_semaphore(struct thread *t, struct queue *q, uintptr_t mutex)
{
	if (!q)
		q = learn(mutex, t->semaphore_taken, true);
	if (!q || is_revoked(q))
		return q;
	make_home(t, q);
	if (!q->is_counted || q->source != t->semaphore_taken || t->queue_waits_in_hand)
		revoke(q);
	return q;
}

void job_queue_unlocking(struct thread *t, uintptr_t mutex)
{
	struct queue *q = find(mutex);
	bool popped = q && t->queue_woken == number(q);

	if (t->semaphore_taken && !popped) {
		q = popped_after_semaphore(t, q, mutex);
		t->queue_timed_out = false;
		t->semaphore_taken = 0;
		popped = true;
	} else if (popped) {
		t->queue_woken = 0;
	}
	if (!q || is_revoked(q))
		return;
	if (popped)
		pop(t, q);
	else if (t->queue_home == number(q))
		looked(t, q);
	else
		push(t, q);
}

/* ---- from the hooks ---- */

void engine_unlocking(const void *mutex)
{
	OBSERVE(job_queue_unlocking(thread_self(), (uintptr_t)mutex));
}

void engine_condition_waited(const void *mutex, bool timed_out)
{
	OBSERVE(job_queue_waited(thread_self(), (uintptr_t)mutex, timed_out));
}

static void waiting_semaphore(struct thread *t)
{
	if (!runtime_owns_thread())
		job_queue_waiting_semaphore(t);
}

void engine_semaphore_waiting(void)
{
	OBSERVE(waiting_semaphore(thread_self()));
}

void engine_semaphore_taken(const void *semaphore)
{
	OBSERVE(job_queue_taken(thread_self(), (uintptr_t)semaphore));
}
