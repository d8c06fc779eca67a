/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>
#include <stddef.h>

/* A bounded first-in first-out queue of pointers between threads: mutex and condition variable, as everybody does. */

#define QUEUE_MAX 4096

struct queue {
	pthread_mutex_t mutex;
	pthread_cond_t filled;
	size_t first, n;
	void *items[QUEUE_MAX];
};

#define QUEUE_INITIALIZER {.mutex = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER}

static inline void queue_push(struct queue *q, void *item)
{
	pthread_mutex_lock(&q->mutex);
	if (q->n < QUEUE_MAX) /* callers have fewer connections than that */
		q->items[(q->first + q->n++) % QUEUE_MAX] = item;
	pthread_cond_signal(&q->filled);
	pthread_mutex_unlock(&q->mutex);
}

static inline void *queue_take_locked(struct queue *q)
{
	void *item = q->items[q->first];

	q->first = (q->first + 1) % QUEUE_MAX;
	q->n--;
	return item;
}

/* Wait for an item. */
static inline void *queue_pop(struct queue *q)
{
	pthread_mutex_lock(&q->mutex);
	while (q->n == 0)
		pthread_cond_wait(&q->filled, &q->mutex);
	void *item = queue_take_locked(q);

	pthread_mutex_unlock(&q->mutex);
	return item;
}

/* NULL when it is empty. */
static inline void *queue_try_pop(struct queue *q)
{
	pthread_mutex_lock(&q->mutex);
	void *item = q->n > 0 ? queue_take_locked(q) : NULL;

	pthread_mutex_unlock(&q->mutex);
	return item;
}
