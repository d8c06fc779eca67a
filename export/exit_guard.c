/* SPDX-License-Identifier: Apache-2.0 */
#include "export/exit_guard.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Together they stay below the 500 ms that an exit may be held up. */
#define FLUSH_STEPS 350
#define STOP_STEPS 140

static struct {
	struct export_host *host;
	pid_t pid;
	bool registered;
	_Atomic bool running;
	_Atomic bool exiting;
} guard;

static void nap_1ms(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void on_exit_begin(void)
{
	struct segment *segment = guard.host ? guard.host->segment : NULL;
	struct segment_header *header = segment ? segment->header : NULL;
	uint32_t flush;

	if (!header || guard.pid != getpid())
		return;
	atomic_store(&guard.exiting, true);
	if (!atomic_load(&guard.running))
		return;
	flush = atomic_fetch_add(&header->flush, 1) + 1;
	segment_wake(segment);
	for (int i = 0; i < FLUSH_STEPS && atomic_load(&guard.running); i++) {
		if ((int32_t)(atomic_load(&header->flushed) - flush) >= 0 || atomic_load(&header->collector_down))
			break;
		nap_1ms();
	}
	atomic_store(guard.host->stop, 2);
	segment_wake(segment);
	for (int i = 0; i < STOP_STEPS && atomic_load(&guard.running); i++)
		nap_1ms();
}

bool exit_guard_enter(struct export_host *host, bool tls)
{
	if (!tls)
		return true;
	if (atomic_load(&guard.exiting) && guard.pid == getpid())
		return false;
	guard.host = host;
	guard.pid = getpid();
	atomic_store(&guard.exiting, false);
	atomic_store(&guard.running, true);
	if (!guard.registered)
		guard.registered = atexit(on_exit_begin) == 0;
	return true;
}

void exit_guard_leave(void)
{
	atomic_store(&guard.running, false);
}
