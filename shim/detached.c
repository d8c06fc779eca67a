/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/detached.h"
#include "shim/large_table.h"

#include <stdatomic.h>
#include <string.h>

#define SETS 512u
#define WAYS 8u
#define WRITING 1u /* no span has this id */

/* Span ids are as good as random: any bits of them choose the set. A new entry takes the place of one of the set's, in turn. */
static struct entry {
	_Atomic uint64_t origin; /* WRITING, or whose it is */
	_Atomic uint64_t trace[2], span, flags;
} entries[SETS][WAYS] LARGE_TABLE;
static _Atomic uint8_t turn[SETS];

static uint64_t key_of(const uint8_t span_id[8])
{
	uint64_t key;

	memcpy(&key, span_id, 8);
	return key;
}

static struct entry *find(uint64_t key)
{
	struct entry *set = entries[key % SETS];

	for (unsigned i = 0; i < WAYS && key > WRITING; i++)
		if (atomic_load_explicit(&set[i].origin, memory_order_acquire) == key)
			return &set[i];
	return NULL;
}

void detached_began(const uint8_t origin_span[8], const struct context *trace)
{
	uint64_t key = key_of(origin_span), words[2];
	uint32_t set = (uint32_t)(key % SETS);
	struct entry *e = find(key);

	if (!e)
		e = &entries[set][atomic_fetch_add_explicit(&turn[set], 1, memory_order_relaxed) % WAYS];
	memcpy(words, trace->trace_id, 16);
	if (atomic_exchange_explicit(&e->origin, WRITING, memory_order_relaxed) == WRITING)
		return; /* somebody else's is being put there */
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&e->trace[0], words[0], memory_order_relaxed);
	atomic_store_explicit(&e->trace[1], words[1], memory_order_relaxed);
	atomic_store_explicit(&e->span, key_of(trace->span_id), memory_order_relaxed);
	atomic_store_explicit(&e->flags, trace->flags, memory_order_relaxed);
	atomic_store_explicit(&e->origin, key, memory_order_release);
}

bool detached_trace(const uint8_t origin_span[8], struct context *ret)
{
	uint64_t key = key_of(origin_span), words[3];
	struct entry *e = find(key);
	struct context c = {.flags = 0};

	if (!e)
		return false;
	words[0] = atomic_load_explicit(&e->trace[0], memory_order_relaxed);
	words[1] = atomic_load_explicit(&e->trace[1], memory_order_relaxed);
	words[2] = atomic_load_explicit(&e->span, memory_order_relaxed);
	c.flags = (uint8_t)atomic_load_explicit(&e->flags, memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&e->origin, memory_order_relaxed) != key)
		return false;
	memcpy(c.trace_id, words, 16);
	memcpy(c.span_id, &words[2], 8);
	*ret = c;
	return true;
}
