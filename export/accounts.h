/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/stats.h"

/* The two sides of the accounting identity (shim/stats.def), for whoever shows or checks it. */

#define ACCOUNTS_ENDED 5
#define ACCOUNTS_SETTLED 4

/* What becomes of a started span. */
extern const enum stat_id accounts_ended[ACCOUNTS_ENDED];
/* What becomes of a written one. */
extern const enum stat_id accounts_settled[ACCOUNTS_SETTLED];

/* Started and not ended; negative only while the counters change. */
int64_t accounts_open(const uint64_t totals[STAT_N]);
/* Written, not exported and not dropped. */
int64_t accounts_queued(const uint64_t totals[STAT_N]);
