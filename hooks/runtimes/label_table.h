/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/label.h"

/*
 * Labels by the address of what carries them (a Python Context, a greenlet, a work item). Each bucket is one cache line of
 * keys, and a key may be in one of two buckets: looking up is at most two lines, takes no lock, and forgetting
 * leaves nothing behind. A table that once had no room says so for good: what is not found in it may have been there.
 *
 * Context: any thread, async-signal-safe. Different keys may be set, read and dropped at the same time by different threads; one key is
 * changed by one thread at a time: by whoever made the object, or runs it, or frees it.
 */
struct label_table {
	struct label_bucket *buckets; /* NULL: not started; every key is unknown */
	uint32_t mask;
	_Atomic bool overflowed;
};

/* Reserve room for at least n labels (a power of two); touched as used. 0 or -ENOMEM. */
int label_table_start(struct label_table *t, uint32_t n);
/* False: not there. */
bool label_table_get(const struct label_table *t, const void *key, struct label *ret);
/* Set or replace. False: no room. */
bool label_table_set(struct label_table *t, const void *key, const struct label *label);
/* False: it was not there. */
bool label_table_drop(struct label_table *t, const void *key);

static inline bool label_table_is_whole(const struct label_table *t)
{
	return !atomic_load_explicit(&t->overflowed, memory_order_relaxed);
}
