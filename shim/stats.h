/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

/*
 * Self-counters. A process counts into private memory until it has a segment, and into its entry of the
 * segment's process table from then on, where the exporter and `interspan stat` read them.
 * Context: any thread, async-signal-safe.
 */

enum stat_id {
#define STAT(id, name, help) STAT_##id,
#include "shim/stats.def"
#undef STAT
	STAT_N
};

/* Where this process counts; never NULL. Written by stats_move() only. */
extern _Atomic uint64_t *_Atomic stats_target;

static inline void stats_add(enum stat_id stat, uint64_t n)
{
	_Atomic uint64_t *target = atomic_load_explicit(&stats_target, memory_order_relaxed);

	atomic_fetch_add_explicit(&target[stat], n, memory_order_relaxed);
}

static inline void stats_count(enum stat_id stat)
{
	stats_add(stat, 1);
}

/* Count in counters[STAT_N] from now on and carry over what was counted privately. NULL: privately again, from zero. */
void stats_move(_Atomic uint64_t *counters);
/* Carry over what late threads still counted privately. */
void stats_settle(void);
const char *stats_name(enum stat_id stat);
