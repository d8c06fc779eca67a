/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A bounded binary heap of deadlines, each naming an object by number and generation. One thread. */

#define TIMERS_MAX 8192

struct timer {
	uint64_t due_ns; /* CLOCK_MONOTONIC */
	uint32_t id, gen;
};

struct timers {
	uint32_t n;
	struct timer heap[TIMERS_MAX];
};

static inline bool timers_add(struct timers *t, uint64_t due_ns, uint32_t id, uint32_t gen)
{
	if (t->n == TIMERS_MAX)
		return false;
	uint32_t i = t->n++;

	for (; i > 0 && t->heap[(i - 1) / 2].due_ns > due_ns; i = (i - 1) / 2)
		t->heap[i] = t->heap[(i - 1) / 2];
	t->heap[i] = (struct timer){due_ns, id, gen};
	return true;
}

/* Take the earliest timer if it is due. */
static inline bool timers_due(struct timers *t, uint64_t now, uint32_t *ret_id, uint32_t *ret_gen)
{
	if (t->n == 0 || t->heap[0].due_ns > now)
		return false;
	*ret_id = t->heap[0].id;
	*ret_gen = t->heap[0].gen;
	struct timer last = t->heap[--t->n];
	uint32_t i = 0;

	for (uint32_t child; (child = 2 * i + 1) < t->n; i = child) {
		if (child + 1 < t->n && t->heap[child + 1].due_ns < t->heap[child].due_ns)
			child++;
		if (t->heap[child].due_ns >= last.due_ns)
			break;
		t->heap[i] = t->heap[child];
	}
	t->heap[i] = last;
	return true;
}

/* How long epoll_wait may sleep: ms rounded up, -1 when there is no timer. */
static inline int timers_wait_ms(const struct timers *t, uint64_t now)
{
	if (t->n == 0)
		return -1;
	if (t->heap[0].due_ns <= now)
		return 0;
	return (int)((t->heap[0].due_ns - now + 999999) / 1000000);
}
