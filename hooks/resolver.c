/* SPDX-License-Identifier: Apache-2.0 */
/* Name resolution. What it does on the wire happens inside libc, out of our sight; the call as a whole is one span. */
#include <time.h>

#include "hooks/hook.h"

EXPORT int getaddrinfo(const char *restrict name, const char *restrict service, const struct addrinfo *restrict hints,
		       struct addrinfo **restrict result)
{
	if (!engine_wants_resolutions())
		return REAL(getaddrinfo)(name, service, hints, result);

	struct timespec start;

	clock_gettime(CLOCK_MONOTONIC, &start);

	int error = REAL(getaddrinfo)(name, service, hints, result);

	engine_resolved(name, (uint64_t)start.tv_sec * 1000000000 + (uint64_t)start.tv_nsec, error);
	return error;
}
