/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GLib's thread pools, and with them GTask: what is pushed into a pool is for whoever pushed it.
 *
 * A pool's function is replaced by one of ours, made for that function; the pool's data and what is pushed stay what they
 * are. An item is known by its function and itself until it runs. One that is in pools several times is of no one, unless all of these are
 * of the same.
 */
#include <stdatomic.h>
#include <stdint.h>

#include "hooks/runtimes/library.h"
#include "shim/carrier.h"
#include "shim/guard.h"
#include "shim/large_table.h"
#include "shim/runtime.h"
#include "shim/stats.h"
#include "shim/thread.h"

#define ITEMS 16384u
#define PROBES 16u

typedef void pool_function(void *item, void *pool_data);
typedef void *new_function(pool_function *function, void *data, int most, int exclusive, void **error);
typedef void *new_full_function(pool_function *function, void *data, void (*free_item)(void *), int most, int exclusive, void **error);
typedef int push_function(void *pool, void *item, void **error);

enum { NEW, PUSH, N_FOUND };
static const char *const names[N_FOUND] = {"g_thread_pool_new", "g_thread_pool_push"};
static void *found[N_FOUND];
static void *found_new_full; /* since 2.70 */

/* ---- items ---- */

struct item {
	const void *object;
	uint16_t function;
	uint16_t times;
	struct label label;
};

LARGE_TABLE static struct item items[ITEMS];
LARGE_TABLE static _Atomic uint8_t locked[ITEMS / PROBES]; /* one a bucket, held for a few instructions */

static uint32_t bucket_of(const void *object, unsigned function)
{
	return (uint32_t)(((uintptr_t)object >> 3) * 0x9e3779b1u + function) % (ITEMS / PROBES);
}

static _Atomic bool missed; /* an item that was not put in, or taken out, may stand there for another one: none is believed */

/* Who finds it held does without: it is no lock to wait for. */
static bool enter(uint32_t bucket)
{
	for (unsigned tries = 0; tries < 1000; tries++)
		if (!atomic_exchange_explicit(&locked[bucket], 1, memory_order_acquire))
			return true;
	atomic_store(&missed, true);
	stats_count(STAT_WORK_ITEMS_UNTRACKED);
	return false;
}

static void leave(uint32_t bucket)
{
	atomic_store_explicit(&locked[bucket], 0, memory_order_release);
}

static struct item *find(uint32_t bucket, const void *object, unsigned function, bool make)
{
	struct item *free = NULL;

	for (uint32_t i = bucket * PROBES; i < (bucket + 1) * PROBES; i++) {
		if (items[i].times && items[i].object == object && items[i].function == function)
			return &items[i];
		if (!items[i].times)
			free = &items[i];
	}
	return make ? free : NULL;
}

static void put(const void *object, unsigned function)
{
	uint32_t bucket = bucket_of(object, function);
	struct label label;
	struct item *item;

	carrier_capture_queued(thread_self(), &label);
	if (!enter(bucket))
		return;
	item = find(bucket, object, function, true);
	if (item && item->times && !label_same(&item->label, &label))
		item->label.kind = LABEL_UNKNOWN;
	else if (item)
		*item = (struct item){object, (uint16_t)function, item->times, label};
	if (item)
		item->times++;
	leave(bucket);
	if (!item)
		stats_count(STAT_WORK_ITEMS_UNTRACKED);
}

static void take(const void *object, unsigned function, struct label *ret)
{
	uint32_t bucket = bucket_of(object, function);
	struct item *item;

	*ret = (struct label){.kind = LABEL_UNKNOWN};
	if (!enter(bucket))
		return;
	item = find(bucket, object, function, false);
	if (item) {
		if (!atomic_load_explicit(&missed, memory_order_relaxed))
			*ret = item->label;
		item->times--;
	}
	leave(bucket);
}

/* ---- functions ---- */

#define EACH(do) do(0) do(1) do(2) do(3) do(4) do(5) do(6) do(7) do(8) do(9) do(10) do(11) do(12) do(13) do(14) do(15)
#define FUNCTIONS 16u

static _Atomic(pool_function *) functions[FUNCTIONS];

static void begin(const void *object, unsigned function, struct carrier_saved *saved, bool *ret_begun)
{
	struct label label;

	take(object, function, &label);
	carrier_begin(thread_self(), &label, saved);
	*ret_begun = true;
}

static void run(unsigned function, void *object, void *pool_data)
{
	struct carrier_saved saved;
	bool begun = false;

	OBSERVE(begin(object, function, &saved, &begun));
	atomic_load_explicit(&functions[function], memory_order_relaxed)(object, pool_data);
	if (begun)
		carrier_end(thread_self(), &saved);
}

#define RUN(i)                                                                                                         \
	static void run_##i(void *object, void *pool_data)                                                             \
	{                                                                                                              \
		run(i, object, pool_data);                                                                             \
	}
EACH(RUN)

#define ROW(i) run_##i,
static pool_function *const runs[FUNCTIONS] = {EACH(ROW)};

static pool_function *ours_for(pool_function *function)
{
	for (unsigned i = 0; i < FUNCTIONS; i++) {
		pool_function *none = NULL;

		if (atomic_compare_exchange_strong(&functions[i], &none, function) || none == function)
			return runs[i];
	}
	return function;
}

/* ---- the hooks ---- */

static void *hook_new(pool_function *function, void *data, int most, int exclusive, void **error)
{
	return ((new_function *)found[NEW])(ours_for(function), data, most, exclusive, error);
}

static void *hook_new_full(pool_function *function, void *data, void (*free_item)(void *), int most, int exclusive, void **error)
{
	return ((new_full_function *)found_new_full)(ours_for(function), data, free_item, most, exclusive, error);
}

static void unput(const void *object, unsigned function)
{
	struct label unused;

	take(object, function, &unused);
}

static int hook_push(void *pool, void *object, void **error)
{
	pool_function *function = *(pool_function *const *)pool; /* GThreadPool's first field */
	unsigned i = 0;
	int pushed;

	while (i < FUNCTIONS && runs[i] != function)
		i++;
	if (i < FUNCTIONS)
		OBSERVE(put(object, i));
	pushed = ((push_function *)found[PUSH])(pool, object, error);
	if (!pushed && i < FUNCTIONS && !error)
		OBSERVE(unput(object, i));
	return pushed;
}

/* ---- finding it ---- */

static void look(void)
{
	static const char *const full[] = {"g_thread_pool_new_full"};
	static bool ready;
	struct got_patch patches[3];
	unsigned n = 0;

	ready = ready || library_find("libglib-2.0.so", names, found, N_FOUND);
	if (!ready)
		return;
	patches[n++] = (struct got_patch){names[NEW], found[NEW], (void *)hook_new};
	patches[n++] = (struct got_patch){names[PUSH], found[PUSH], (void *)hook_push};
	if (found_new_full || library_find("libglib-2.0.so", full, &found_new_full, 1))
		patches[n++] = (struct got_patch){full[0], found_new_full, (void *)hook_new_full};
	library_patch(patches, n);
}

const struct runtime runtime_glib_pool = {
	.name = "GLib's thread pools",
	.announces = true, /* it is asked nothing else */
	.modules_loaded = look,
};
