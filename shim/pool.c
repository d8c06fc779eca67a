/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/pool.h"

#include <errno.h>

#include "shim/reserve.h"

#define ALIGNMENT 64u

int pool_start(struct pool *pool, size_t payload_bytes, uint32_t capacity)
{
	size_t bytes = (sizeof(struct pool_slot) + payload_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	void *memory = reserve(bytes * ((size_t)capacity + 1));

	if (!memory)
		return -ENOMEM;
	pool->memory = memory;
	pool->object_bytes = bytes;
	pool->capacity = capacity;
	return 0;
}

/* A slot never used before, or 0. */
static uint32_t take_fresh(struct pool *pool)
{
	uint32_t used = atomic_load_explicit(&pool->used, memory_order_relaxed);

	do {
		if (used >= pool->capacity)
			return 0;
	} while (!atomic_compare_exchange_weak(&pool->used, &used, used + 1));
	pool_header(pool, used + 1)->slot = used + 1;
	return used + 1;
}

uint32_t pool_take(struct pool *pool)
{
	uint64_t top = atomic_load_explicit(&pool->free_top, memory_order_acquire);

	while ((uint32_t)top != 0) {
		/* The tag changes with every push, so a stale next is never installed. */
		uint32_t next = atomic_load_explicit(&pool_header(pool, (uint32_t)top)->next, memory_order_relaxed);
		uint64_t wanted = (top >> 32 << 32) | next;

		if (atomic_compare_exchange_weak_explicit(&pool->free_top, &top, wanted, memory_order_acq_rel,
							  memory_order_acquire))
			return (uint32_t)top;
	}
	return take_fresh(pool);
}

void pool_give(struct pool *pool, uint32_t slot)
{
	struct pool_slot *header = pool_header(pool, slot);
	uint64_t top = atomic_load_explicit(&pool->free_top, memory_order_relaxed);

	pool_renew(pool, slot);
	do {
		atomic_store_explicit(&header->next, (uint32_t)top, memory_order_relaxed);
	} while (!atomic_compare_exchange_weak_explicit(&pool->free_top, &top, ((top >> 32) + 1) << 32 | slot,
							memory_order_acq_rel, memory_order_relaxed));
}
