/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "export/delivery.h"

/*
 * When to try again: exponential back-off with jitter (OTLP specification, "OTLP/HTTP throttling" and "connecting").
 * Pure but for the random state.
 */

#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS 30000
/* A receiver that asks for more than this is not obeyed: the segment would only overflow. */
#define RETRY_AFTER_MAX_MS 300000

struct retry {
	uint32_t interval_ms; /* of the next wait, before jitter */
	uint64_t spent_ms;    /* waited for this batch since the back-off (re)started */
	uint64_t random;
};

/* A batch begins. seed: any number, for the jitter. */
void retry_begin(struct retry *retry, uint64_t seed);
/*
 * An attempt failed: how long to wait now. retry_after_ms: what the receiver asked for, 0 = nothing. When limit_ms
 * (0 = none) is spent, the intervals start over from the first.
 */
uint32_t retry_next_ms(struct retry *retry, uint32_t retry_after_ms, uint64_t limit_ms);

/* What an HTTP status means for the batch. 3xx is not followed, and means that the endpoint is wrong. */
enum delivery_outcome retry_classify(long status);
