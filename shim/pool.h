/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Fixed-size objects from one reservation of address space, handed out lock-free. Slots count from 1; 0 is "none".
 * Memory is touched as slots are first used and reused last-in first-out, so a quiet process stays small. Each slot
 * carries a generation, bumped when it is given back, so {slot, generation} names one use of it.
 * Context: any thread, async-signal-safe.
 */
struct pool {
	uint8_t *memory;
	size_t object_bytes; /* header included */
	uint32_t capacity;
	_Atomic uint32_t used;    /* slots ever handed out: 1..used have been touched */
	_Atomic uint64_t free_top; /* tag << 32 | slot */
};

/* What stands before each payload. */
struct pool_slot {
	_Atomic uint32_t next; /* in the free list */
	_Atomic uint32_t generation;
	uint32_t slot; /* its own number: cheaper than dividing an address */
	uint32_t unused;
};

/* Reserve room for capacity objects of payload_bytes each. 0 or -ENOMEM. */
int pool_start(struct pool *pool, size_t payload_bytes, uint32_t capacity);
/* A slot whose payload holds whatever its last user left (zero at first), or 0. */
uint32_t pool_take(struct pool *pool);
void pool_give(struct pool *pool, uint32_t slot);

static inline struct pool_slot *pool_header(const struct pool *pool, uint32_t slot)
{
	return (struct pool_slot *)(void *)(pool->memory + (size_t)slot * pool->object_bytes);
}

/* The payload; slot must have been handed out once. */
static inline void *pool_at(const struct pool *pool, uint32_t slot)
{
	return pool_header(pool, slot) + 1;
}

static inline uint32_t pool_generation(const struct pool *pool, uint32_t slot)
{
	return atomic_load_explicit(&pool_header(pool, slot)->generation, memory_order_acquire);
}

/* The slot of a payload. */
static inline uint32_t pool_slot(const void *payload)
{
	return ((const struct pool_slot *)payload - 1)->slot;
}

/*
 * Its user has done with it: names of this use are void from here on. pool_give() does so; who keeps a slot for its own next use
 * calls this.
 */
static inline void pool_renew(const struct pool *pool, uint32_t slot)
{
	struct pool_slot *header = pool_header(pool, slot);

	/* Nobody else writes it: the slot is the caller's. */
	atomic_store_explicit(&header->generation, atomic_load_explicit(&header->generation, memory_order_relaxed) + 1,
			      memory_order_release);
}
