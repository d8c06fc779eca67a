/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/runtimes/label_table.h"

#include <errno.h>
#include <string.h>

#include "shim/reserve.h"

#define WAYS 8
#define TAKEN 1      /* no object has this address: somebody is filling this place */
#define READ_TRIES 64

struct place {
	_Atomic uint32_t version; /* odd while the label is being changed */
	struct label label;
};

struct label_bucket {
	_Alignas(64) _Atomic uintptr_t keys[WAYS];
	struct place places[WAYS];
};

int label_table_start(struct label_table *t, uint32_t n)
{
	size_t bytes = (size_t)n / WAYS * sizeof(struct label_bucket);

	t->mask = n / WAYS - 1;
	t->buckets = reserve(bytes);
	return t->buckets ? 0 : -ENOMEM;
}

static struct label_bucket *bucket(const struct label_table *t, uintptr_t key, unsigned choice)
{
	uint64_t hash = (key >> 4) * UINT64_C(0x9e3779b97f4a7c15);

	return &t->buckets[(choice ? hash >> 40 : hash >> 16) & t->mask];
}

/* The place of a key; NULL: it has none. */
static struct place *find(const struct label_table *t, uintptr_t key, _Atomic uintptr_t **ret_key)
{
	for (unsigned choice = 0; t->buckets && choice < 2; choice++) {
		struct label_bucket *b = bucket(t, key, choice);

		for (unsigned i = 0; i < WAYS; i++) {
			if (atomic_load_explicit(&b->keys[i], memory_order_acquire) != key)
				continue;
			*ret_key = &b->keys[i];
			return &b->places[i];
		}
	}
	return NULL;
}

__attribute__((no_sanitize("thread"))) static void copy(struct label *to, const struct label *from)
{
	*to = *from;
}

bool label_table_get(const struct label_table *t, const void *key, struct label *ret)
{
	_Atomic uintptr_t *unused;
	struct place *p = find(t, (uintptr_t)key, &unused);

	if (!p)
		return false;
	for (unsigned tries = 0; tries < READ_TRIES; tries++) {
		uint32_t version = atomic_load_explicit(&p->version, memory_order_acquire);

		copy(ret, &p->label);
		atomic_thread_fence(memory_order_acquire);
		if (!(version & 1) && atomic_load_explicit(&p->version, memory_order_relaxed) == version)
			return true;
	}
	*ret = (struct label){.kind = LABEL_UNKNOWN};
	return true;
}

static void write_label(struct place *p, const struct label *label)
{
	uint32_t version = atomic_load_explicit(&p->version, memory_order_relaxed) | 1;

	atomic_store_explicit(&p->version, version, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	copy(&p->label, label);
	atomic_store_explicit(&p->version, version + 1, memory_order_release);
}

bool label_table_set(struct label_table *t, const void *key, const struct label *label)
{
	_Atomic uintptr_t *known;
	struct place *p = find(t, (uintptr_t)key, &known);

	if (p) {
		write_label(p, label);
		return true;
	}
	for (unsigned choice = 0; t->buckets && choice < 2; choice++) {
		struct label_bucket *b = bucket(t, (uintptr_t)key, choice);

		for (unsigned i = 0; i < WAYS; i++) {
			uintptr_t none = 0;

			if (atomic_load_explicit(&b->keys[i], memory_order_relaxed) != 0 ||
			    !atomic_compare_exchange_strong(&b->keys[i], &none, TAKEN))
				continue;
			write_label(&b->places[i], label);
			atomic_store_explicit(&b->keys[i], (uintptr_t)key, memory_order_release);
			return true;
		}
	}
	atomic_store_explicit(&t->overflowed, true, memory_order_relaxed);
	return false;
}

bool label_table_drop(struct label_table *t, const void *key)
{
	_Atomic uintptr_t *known;

	if (!find(t, (uintptr_t)key, &known))
		return false;
	atomic_store_explicit(known, 0, memory_order_release);
	return true;
}
