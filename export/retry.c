/* SPDX-License-Identifier: Apache-2.0 */
#include "export/retry.h"

void retry_begin(struct retry *retry, uint64_t seed)
{
	retry->interval_ms = RETRY_FIRST_MS;
	retry->spent_ms = 0;
	retry->random = seed | 1;
}

/* xorshift64: good enough to keep a thousand clients from coming back at the same moment. */
static uint64_t random_next(struct retry *retry)
{
	retry->random ^= retry->random << 13;
	retry->random ^= retry->random >> 7;
	retry->random ^= retry->random << 17;
	return retry->random;
}

uint32_t retry_next_ms(struct retry *retry, uint32_t retry_after_ms, uint64_t limit_ms)
{
	/* 50 % to 150 % of the interval. */
	uint32_t wait = retry->interval_ms / 2 + (uint32_t)(random_next(retry) % (retry->interval_ms + 1));

	if (retry_after_ms > RETRY_AFTER_MAX_MS)
		retry_after_ms = RETRY_AFTER_MAX_MS;
	if (wait < retry_after_ms)
		wait = retry_after_ms;
	retry->interval_ms += retry->interval_ms / 2;
	if (retry->interval_ms > RETRY_MAX_MS)
		retry->interval_ms = RETRY_MAX_MS;
	retry->spent_ms += wait;
	if (limit_ms && retry->spent_ms >= limit_ms) {
		retry->interval_ms = RETRY_FIRST_MS;
		retry->spent_ms = 0;
	}
	return wait;
}

enum delivery_outcome retry_classify(long status)
{
	if (status >= 200 && status < 300)
		return DELIVERY_ACCEPTED;
	if (status == 429 || status == 502 || status == 503 || status == 504)
		return DELIVERY_RETRY;
	return DELIVERY_REFUSED;
}
