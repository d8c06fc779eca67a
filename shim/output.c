/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The segment is made when it is first needed and replaced when the process changes its user. Who drains it is decided
 * record by record: the helper of this process, of a relative that writes to the same segment, or an agent.
 */
#include "shim/output.h"

#include <stddef.h>

#include "shim/clock.h"
#include "shim/config.h"
#include "shim/engine.h"
#include "shim/fork.h"
#include "shim/helper.h"
#include "shim/log.h"
#include "shim/process.h"
#include "shim/stats.h"
#include "shim/sys.h"

/* From the end of a schedule delay until the helper that stood by has begun. */
#define STANDBY_GRACE_NS 1000000000ull
#define HELPER_STOP_MS 200

enum segment_state { SEGMENT_NONE, SEGMENT_MAKING, SEGMENT_READY, SEGMENT_FAILED };

/* The current segment. It is replaced when the process changes its user; the old one stays mapped, since other threads may
 * be writing to it. */
static struct segment segments[4];
static struct segment *_Atomic current = segments;
static _Atomic int segment_state;

struct segment *output_segment(void)
{
	return atomic_load_explicit(&current, memory_order_acquire);
}

void output_count_here(void)
{
	struct segment *s = output_segment();

	stats_move(s->header->processes[s->process].counters);
}

static bool make_segment(void)
{
	int state = SEGMENT_NONE;

	if (!atomic_compare_exchange_strong(&segment_state, &state, SEGMENT_MAKING))
		return state == SEGMENT_READY;
	if (segment_create(output_segment(), &config) != 0) {
		atomic_store(&segment_state, SEGMENT_FAILED);
		log_line(LOG_ERROR, "no shared memory for spans can be had; they are dropped");
		return false;
	}
	output_count_here();
	atomic_store(&segment_state, SEGMENT_READY);
	return true;
}

bool output_is_ready(void)
{
	return atomic_load_explicit(&segment_state, memory_order_acquire) == SEGMENT_READY;
}

bool output_have(void)
{
	return output_is_ready() || (!process_is_sandboxed() && make_segment());
}

static bool exports_here; /* written by output_start() only */

void output_start(void)
{
	exports_here = config_is(config.exporter_mode, "thread");
}

bool output_exports_here(void)
{
	return exports_here;
}

/* The C library's own: registered from a hook, it runs before what was registered earlier. */
int __cxa_atexit(void (*handler)(void *), void *arg, void *dso);

static void at_exit(void *unused)
{
	(void)unused;
	engine_exiting();
}

/*
 * The exporter must be still before libraries that it uses clean up in handlers of their own (OpenSSL does, and crashes a
 * thread that is inside it). Handlers run last come, first served, and destructors after them all; so the exit is
 * taken notice of by a handler, registered when there is something to export.
 */
void output_watch_exit(void)
{
	static _Atomic bool watching;

	if (!atomic_exchange(&watching, true))
		(void)__cxa_atexit(at_exit, NULL, NULL);
}

bool output_is_stood_by(const struct segment_header *header)
{
	return fork_made_us() && clock_monotonic_ns() < atomic_load_explicit(&header->standby_ns, memory_order_relaxed);
}

static uint64_t delay_ns(void)
{
	return (uint64_t)config.bsp_schedule_delay_ms * 1000000;
}

void output_stand_by(void)
{
	struct segment_header *header = output_segment()->header;
	uint64_t now = clock_monotonic_ns();

	if (atomic_load(&header->consumer) != 0)
		return;
	atomic_store(&header->standby_ns, now + delay_ns() + STANDBY_GRACE_NS);
	if (segment_is_empty(output_segment()))
		atomic_store(&header->due_ns, now + 2 * delay_ns());
	output_watch_exit();
	helper_stand_by(output_segment(), (int)config.bsp_schedule_delay_ms);
}

bool output_is_our_turn(struct segment_header *header)
{
	uint64_t now = clock_monotonic_ns();
	uint64_t due = atomic_load(&header->due_ns);

	return now >= due && atomic_compare_exchange_strong(&header->due_ns, &due, now + 2 * delay_ns());
}

static void wake_or_start_consumer(bool wake)
{
	if (wake && segment_wake(output_segment()) > 0)
		return;
	if (!output_exports_here() || (!wake && output_is_stood_by(output_segment()->header)))
		return;
	output_watch_exit();
	helper_ensure(output_segment());
	if (wake)
		helper_hurry();
}

/* Was the consumer, whoever it is, heard of lately? Two loads: asked for every record. */
static bool is_served(const struct segment_header *header, uint64_t now_ns)
{
	uint64_t patience_ns = (2 * (uint64_t)config.bsp_schedule_delay_ms + 5000) * 1000000;

	return atomic_load_explicit(&header->consumer, memory_order_relaxed) != 0 &&
	       now_ns < atomic_load_explicit(&header->heartbeat_ns, memory_order_relaxed) + patience_ns;
}

void output_written(uint64_t now_ns, bool wake)
{
	if (wake || !is_served(output_segment()->header, now_ns))
		wake_or_start_consumer(wake);
}

void output_forget(void)
{
	atomic_store(&segment_state, SEGMENT_NONE);
	stats_move(NULL); /* what was counted before is the parent's to report */
}

bool output_is_inherited(void)
{
	return output_is_ready() && output_segment()->header->creator_pid != (uint32_t)sys_getpid();
}

void output_take_own(void)
{
	struct segment *next = output_segment() + 1;

	if (next == segments + sizeof(segments) / sizeof(segments[0]))
		return;
	stats_move(NULL);
	segment_leave(output_segment());
	atomic_store(&current, next);
	atomic_store(&segment_state, SEGMENT_NONE);
	(void)make_segment();
}

void output_stop(void)
{
	(void)helper_stop(HELPER_STOP_MS);
}
