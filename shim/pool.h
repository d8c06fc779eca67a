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

/* Reserve room for capacity objects of payload_bytes each. 0 or -ENOMEM. */
int pool_start(struct pool *pool, size_t payload_bytes, uint32_t capacity);
/* A slot whose payload holds whatever its last user left (zero at first), or 0. */
uint32_t pool_take(struct pool *pool);
void pool_give(struct pool *pool, uint32_t slot);
/* The payload; slot must have been handed out once. */
void *pool_at(const struct pool *pool, uint32_t slot);
uint32_t pool_generation(const struct pool *pool, uint32_t slot);
/* The slot of a payload. */
uint32_t pool_slot(const void *payload);
