/* SPDX-License-Identifier: Apache-2.0 */
/* Sleeping: what a thread does that looks from time to time whether there is work for it. */
#include <sched.h>

#include "hooks/hook.h"

EXPORT int nanosleep(const struct timespec *wanted, struct timespec *left)
{
	engine_sleeping();
	return REAL(nanosleep)(wanted, left);
}

EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wanted, struct timespec *left)
{
	engine_sleeping();
	return REAL(clock_nanosleep)(clock, flags, wanted, left);
}

EXPORT int usleep(useconds_t wanted)
{
	engine_sleeping();
	return REAL(usleep)(wanted);
}

EXPORT unsigned sleep(unsigned wanted)
{
	engine_sleeping();
	return REAL(sleep)(wanted);
}

EXPORT int thrd_sleep(const struct timespec *wanted, struct timespec *left)
{
	engine_sleeping();
	return REAL(thrd_sleep)(wanted, left);
}

EXPORT int sched_yield(void)
{
	engine_sleeping();
	return REAL(sched_yield)();
}
