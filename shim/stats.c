/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/stats.h"

#include <stddef.h>

static _Atomic uint64_t private_counters[STAT_N];

_Atomic uint64_t *_Atomic stats_target = private_counters;

void stats_settle(void)
{
	_Atomic uint64_t *target = atomic_load_explicit(&stats_target, memory_order_acquire);
	unsigned i;

	if (target == private_counters)
		return;
	for (i = 0; i < STAT_N; i++) {
		uint64_t n = atomic_exchange_explicit(&private_counters[i], 0, memory_order_relaxed);

		if (n != 0)
			atomic_fetch_add_explicit(&target[i], n, memory_order_relaxed);
	}
}

void stats_move(_Atomic uint64_t *counters)
{
	unsigned i;

	if (counters != NULL) {
		atomic_store_explicit(&stats_target, counters, memory_order_release);
		stats_settle();
		return;
	}
	for (i = 0; i < STAT_N; i++)
		atomic_store_explicit(&private_counters[i], 0, memory_order_relaxed);
	atomic_store_explicit(&stats_target, private_counters, memory_order_release);
}

static const char *const names[STAT_N] = {
#define STAT(id, name, help) name,
#include "shim/stats.def"
#undef STAT
};

const char *stats_name(enum stat_id stat)
{
	return stat < STAT_N ? names[stat] : "";
}
