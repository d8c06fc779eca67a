/* SPDX-License-Identifier: Apache-2.0 */
#include "export/accounts.h"

const enum stat_id accounts_ended[ACCOUNTS_ENDED] = {
    STAT_SAMPLED_OUT,     STAT_WRITTEN,           STAT_DROPPED_QUEUE_FULL, STAT_DROPPED_NO_SEGMENT,
    STAT_DROPPED_NO_SLOT,
};

const enum stat_id accounts_settled[ACCOUNTS_SETTLED] = {
    STAT_EXPORTED,
    STAT_DROPPED_REJECTED,
    STAT_DROPPED_INVALID,
    STAT_DROPPED_EXPORTER_NONE,
};

int64_t accounts_open(const uint64_t totals[STAT_N])
{
	uint64_t n = totals[STAT_STARTED];

	for (int i = 0; i < ACCOUNTS_ENDED; i++)
		n -= totals[accounts_ended[i]];
	return (int64_t)n;
}

int64_t accounts_queued(const uint64_t totals[STAT_N])
{
	uint64_t n = totals[STAT_WRITTEN];

	for (int i = 0; i < ACCOUNTS_SETTLED; i++)
		n -= totals[accounts_settled[i]];
	return (int64_t)n;
}
