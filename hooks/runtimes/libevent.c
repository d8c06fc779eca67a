/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libevent, where it is a shared library: what event_base_once() is to run, now or later, is for whoever asked for it. It runs once, and
 * nothing looks for its function or argument, so both are replaced. Its other events stay: they may be made by one and
 * activated by another.
 */
#include <stdint.h>
#include <sys/time.h>

#include "hooks/runtimes/library.h"
#include "shim/carrier.h"
#include "shim/guard.h"
#include "shim/pool.h"
#include "shim/runtime.h"
#include "shim/stats.h"
#include "shim/thread.h"

#define ITEMS 16384u

typedef void event_function(int fd, short events, void *arg);
typedef int once_function(void *base, int fd, short events, event_function *function, void *arg, const struct timeval *timeout);

struct item {
	event_function *function;
	void *arg;
	struct label label;
};

static struct pool items;
static void *real_once;

static void prepare(event_function *function, void *arg, struct item **ret)
{
	uint32_t slot = pool_take(&items);

	if (!slot) {
		stats_count(STAT_WORK_ITEMS_UNTRACKED);
		return;
	}
	*ret = pool_at(&items, slot);
	**ret = (struct item){.function = function, .arg = arg};
	carrier_capture_queued(thread_self(), &(*ret)->label);
}

static void begin(const struct label *label, struct carrier_saved *saved, bool *ret_begun)
{
	carrier_begin(thread_self(), label, saved);
	*ret_begun = true;
}

static void run(int fd, short events, void *arg)
{
	struct item item = *(struct item *)arg;
	struct carrier_saved saved;
	bool begun = false;

	pool_give(&items, pool_slot(arg));
	OBSERVE(begin(&item.label, &saved, &begun));
	item.function(fd, events, item.arg);
	if (begun)
		carrier_end(thread_self(), &saved);
}

static int hook_once(void *base, int fd, short events, event_function *function, void *arg, const struct timeval *timeout)
{
	struct item *item = NULL;
	int failed;

	if (function)
		OBSERVE(prepare(function, arg, &item));
	if (!item)
		return ((once_function *)real_once)(base, fd, events, function, arg, timeout);
	failed = ((once_function *)real_once)(base, fd, events, run, item, timeout);
	if (failed)
		pool_give(&items, pool_slot(item));
	return failed;
}

static void look(void)
{
	static const char *const names[] = {"event_base_once"};
	static const char *const files[] = {"libevent_core-", "libevent-"};

	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]) && !real_once; i++)
		if (library_find(files[i], names, &real_once, 1) && pool_start(&items, sizeof(struct item), ITEMS) != 0)
			real_once = NULL;
	if (real_once)
		library_patch(&(const struct got_patch){names[0], real_once, (void *)hook_once}, 1);
}

const struct runtime runtime_libevent = {
	.name = "libevent",
	.announces = true, /* it is asked nothing else */
	.modules_loaded = look,
};
