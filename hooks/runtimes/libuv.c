/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libuv, where it is a shared library: what is put into its thread pool by uv_queue_work(), and what the loop does
 * when that is done, is for whoever put it there.
 *
 * An item is known by the address of its request, which libuv keeps until the second callback, the last one, has
 * been called: also when the item was cancelled. What is not in the table runs unchanged.
 */
#include <stdatomic.h>

#include "hooks/runtimes/library.h"
#include "shim/carrier.h"
#include "shim/engine.h"
#include "shim/guard.h"
#include "shim/large_table.h"
#include "shim/runtime.h"
#include "shim/stats.h"
#include "shim/thread.h"

#define ITEMS 16384u
#define PROBES 16u

typedef void work_function(void *request);
typedef void done_function(void *request, int status);
typedef int queue_function(void *loop, void *request, work_function *work, done_function *done);

/*
 * Of whoever claimed the request's address, then of the callbacks, one after the other: libuv's own locks order
 * them.
 */
struct uv_item {
	_Atomic(void *) request; /* NULL: free */
	work_function *work;
	done_function *done;
	struct label label;
};

static struct uv_item items[ITEMS] LARGE_TABLE;
static _Atomic(queue_function *) real_queue_work;

static struct uv_item *item_at(const void *request, uint32_t probe)
{
	return &items[(uint32_t)(((uintptr_t)request >> 4) * 0x9e3779b1u >> 8) % ITEMS ^ probe];
}

static struct uv_item *find(const void *request)
{
	for (uint32_t probe = 0; probe < PROBES; probe++)
		if (atomic_load_explicit(&item_at(request, probe)->request, memory_order_acquire) == request)
			return item_at(request, probe);
	return NULL;
}

/* One that is there already was never finished: its loop is gone, and its memory used again. */
/* Of a request that libuv was given with our callbacks: its item is there until run_done() has given it back. */
static struct uv_item *item_of(void *request)
{
	struct uv_item *item = find(request);

	if (!item)
		__builtin_unreachable();
	return item;
}

static struct uv_item *claim(void *request)
{
	struct uv_item *found = find(request);

	for (uint32_t probe = 0; probe < PROBES && !found; probe++) {
		void *none = NULL;

		if (atomic_compare_exchange_strong(&item_at(request, probe)->request, &none, request))
			found = item_at(request, probe);
	}
	return found;
}

static void release(struct uv_item *item)
{
	atomic_store_explicit(&item->request, NULL, memory_order_release);
}

static struct uv_item *prepare(void *request, work_function *work, done_function *done)
{
	struct uv_item *item;

	if (!guard_enter())
		return NULL;

	int errno_saved = errno;

	item = claim(request);
	if (item) {
		item->work = work;
		item->done = done;
		carrier_capture_queued(thread_self(), &item->label);
	} else {
		stats_count(STAT_WORK_ITEMS_UNTRACKED);
	}
	errno = errno_saved;
	guard_leave();
	return item;
}

static bool begin(const struct label *label, struct carrier_saved *saved)
{
	*saved = (struct carrier_saved){0};
	if (!guard_enter())
		return false;
	carrier_begin(thread_self(), label, saved);
	guard_leave();
	return true;
}

static void end(bool begun, const struct carrier_saved *saved)
{
	if (begun)
		carrier_end(thread_self(), saved);
}

static void run_work(void *request)
{
	struct uv_item *item = item_of(request);
	struct carrier_saved saved;
	bool begun = begin(&item->label, &saved);

	item->work(request);
	end(begun, &saved);
}

/* The program may free the request, or queue it again, in its callback: the item is given back before. */
static void run_done(void *request, int status)
{
	struct uv_item *item = item_of(request);
	done_function *done = item->done;
	struct label label = item->label;
	struct carrier_saved saved;
	bool begun;

	release(item);
	if (!done)
		return;
	begun = begin(&label, &saved);
	done(request, status);
	end(begun, &saved);
}

static int hook_queue_work(void *loop, void *request, work_function *work, done_function *done)
{
	queue_function *real_function = atomic_load_explicit(&real_queue_work, memory_order_relaxed);
	struct uv_item *item = work ? prepare(request, work, done) : NULL;
	int error;

	if (!item)
		return real_function(loop, request, work, done);
	error = real_function(loop, request, run_work, run_done);
	if (error)
		release(item);
	return error;
}

/* ---- finding it ---- */

static void look(void)
{
	static const char *const names[] = {"uv_queue_work"};
	void *function;

	if (!library_find("libuv.so", names, &function, 1))
		return;
	atomic_store_explicit(&real_queue_work, (queue_function *)function, memory_order_relaxed);
	library_patch(&(const struct got_patch){names[0], function, (void *)hook_queue_work}, 1);
}

const struct runtime runtime_libuv = {
	.name = "libuv",
	.announces = true,
	.modules_loaded = look,
};
