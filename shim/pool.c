/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/pool.h"

#include <errno.h>

#include "shim/reserve.h"

struct slot_header {
	_Atomic uint32_t next; /* in the free list */
	_Atomic uint32_t generation;
	uint32_t slot; /* its own number: cheaper than dividing an address */
	uint32_t unused;
};

#define ALIGNMENT 64u

static struct slot_header *header_at(const struct pool *pool, uint32_t slot)
{
	return (struct slot_header *)(void *)(pool->memory + (size_t)slot * pool->object_bytes);
}

int pool_start(struct pool *pool, size_t payload_bytes, uint32_t capacity)
{
	size_t bytes = (sizeof(struct slot_header) + payload_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
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
	header_at(pool, used + 1)->slot = used + 1;
	return used + 1;
}

uint32_t pool_take(struct pool *pool)
{
	uint64_t top = atomic_load_explicit(&pool->free_top, memory_order_acquire);

	while ((uint32_t)top != 0) {
		/* The tag changes with every push, so a stale next is never installed. */
		uint32_t next = atomic_load_explicit(&header_at(pool, (uint32_t)top)->next, memory_order_relaxed);
		uint64_t wanted = (top >> 32 << 32) | next;

		if (atomic_compare_exchange_weak_explicit(&pool->free_top, &top, wanted, memory_order_acq_rel,
							  memory_order_acquire))
			return (uint32_t)top;
	}
	return take_fresh(pool);
}

void pool_give(struct pool *pool, uint32_t slot)
{
	struct slot_header *header = header_at(pool, slot);
	uint64_t top = atomic_load_explicit(&pool->free_top, memory_order_relaxed);

	/* Nobody else writes it: the slot is the caller's until it is in the list. */
	atomic_store_explicit(&header->generation, atomic_load_explicit(&header->generation, memory_order_relaxed) + 1,
			      memory_order_release);
	do {
		atomic_store_explicit(&header->next, (uint32_t)top, memory_order_relaxed);
	} while (!atomic_compare_exchange_weak_explicit(&pool->free_top, &top, ((top >> 32) + 1) << 32 | slot,
							memory_order_acq_rel, memory_order_relaxed));
}

void *pool_at(const struct pool *pool, uint32_t slot)
{
	return header_at(pool, slot) + 1;
}

uint32_t pool_generation(const struct pool *pool, uint32_t slot)
{
	return atomic_load_explicit(&header_at(pool, slot)->generation, memory_order_acquire);
}

uint32_t pool_slot(const void *payload)
{
	return ((const struct slot_header *)payload - 1)->slot;
}
