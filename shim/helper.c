/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/helper.h"

#include <string.h>

#include "shim/background.h"
#include "shim/clock.h"
#include "shim/config.h"
#include "shim/guard.h"
#include "shim/log.h"
#include "shim/plugin.h"
#include "shim/real.h"
#include "shim/sys.h"

#define STACK_BYTES 524288ul
/* Loading takes some 10 ms; a name server that does not answer may take longer. */
#define PREPARE_WAIT_MS 2000
#define FLUSH_SLICE_MS 20
/* How long "somebody else consumes" is believed without another look. */
#define SERVED_NS 1000000000ull

/*
 * NONE -> STARTING (helper_ensure, by compare-and-swap) -> READY (the plug-in is loaded, its file open) -> NONE. FAILED: it cannot
 * be had in this process. All but the first step are the thread's own.
 */
enum helper_state { HELPER_NONE, HELPER_STARTING, HELPER_READY, HELPER_FAILED };

static _Atomic uint32_t state;
static _Atomic uint32_t stop;
static _Atomic uint32_t thread_id; /* 0: there never was one, or the kernel has forgotten it */
static _Atomic uint32_t loading;   /* a futex lock around the plug-in: 1 = held */
static _Atomic uint32_t standing_by; /* futex: ms that the thread is to wait before it does anything; 0: no more */
static _Atomic bool sealed;
static _Atomic uint64_t served_ns; /* when somebody else was last found to consume; 0 = never */
static struct export_host host;    /* the helper's, written while STARTING */
static bool stands_by;             /* likewise: it begins by waiting */

static void log_text(int level, const char *text)
{
	log_line((enum log_level)level, "%s", text);
}

static bool exists(uint32_t s)
{
	return s == HELPER_STARTING || s == HELPER_READY;
}

bool helper_is_running(void)
{
	return exists(atomic_load_explicit(&state, memory_order_relaxed));
}

static int ms_until(uint64_t deadline_ns)
{
	uint64_t now = clock_monotonic_ns();

	return now >= deadline_ns ? 0 : (int)((deadline_ns - now) / 1000000) + 1;
}

static uint64_t deadline_in(int timeout_ms)
{
	return clock_monotonic_ns() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000;
}

/* ---- the plug-in ---- */

static bool lock_plugin(uint64_t deadline_ns)
{
	uint32_t expected = 0;
	int left;

	while (!atomic_compare_exchange_strong(&loading, &expected, 1)) {
		left = ms_until(deadline_ns);
		if (left == 0)
			return false;
		sys_futex_wait_ms(&loading, 1, left);
		expected = 0;
	}
	return true;
}

static void unlock_plugin(void)
{
	atomic_store(&loading, 0);
	sys_futex_wake(&loading, INT32_MAX);
}

/* Load and prepare it for a host. Returns 0 and its entry points, or a negative number; then it has been logged. */
static int prepare_plugin(struct export_host *for_host, struct plugin *ret)
{
	int r;

	if (!lock_plugin(deadline_in(PREPARE_WAIT_MS)))
		return -EBUSY;
	r = plugin_load(ret);
	if (r == 0) {
		for_host->tls_was_loaded = ret->tls_was_loaded;
		r = ret->prepare(for_host);
		if (r != 0)
			log_line(LOG_ERROR, "the exporter cannot start (%d): spans stay in the segment", r);
	}
	unlock_plugin();
	return r;
}

/* ---- the thread ---- */

static void set_state(uint32_t to)
{
	atomic_store(&state, to);
	sys_futex_wake(&state, INT32_MAX);
}

/* Until the time is over, or we are asked to begin or to stop. False: to stop. */
static bool stand_by(void)
{
	uint32_t ms = atomic_load(&standing_by);

	if (ms != 0)
		sys_futex_wait_ms(&standing_by, ms, (int)ms);
	return atomic_load(&stop) == 0;
}

static void *helper_main(void *arg)
{
	struct plugin plugin;
	int r;

	guard_depth = GUARD_AWAY; /* for life */
	atomic_store(&thread_id, (uint32_t)sys_gettid());
	if (stands_by && !stand_by()) {
		set_state(HELPER_NONE);
		return arg;
	}
	(void)background_enter(config_is(config.traces_exporter, "console"), config_is(config.log_file, "stderr"));
	r = prepare_plugin(&host, &plugin);
	if (r == 0) {
		set_state(HELPER_READY);
		plugin.run(&host);
		/* Not asked to return: somebody else has taken over, or it cannot be. Not again at the next record. */
		if (atomic_load(&stop) == 0)
			atomic_store(&served_ns, clock_monotonic_ns());
	}
	set_state(r == 0 ? HELPER_NONE : HELPER_FAILED);
	return arg;
}

void helper_hurry(void)
{
	if (atomic_exchange(&standing_by, 0) != 0)
		sys_futex_wake(&standing_by, INT32_MAX);
}

static void request_stop(uint32_t how)
{
	atomic_store(&stop, how);
	sys_futex_wake(&stop, INT32_MAX);
	helper_hurry();
	segment_wake(host.segment);
}

/* Does somebody else consume? Asked for every record by some callers, so that a yes holds for a while. */
static bool is_served(const struct segment *segment)
{
	uint64_t now = clock_monotonic_ns();
	uint64_t seen = atomic_load_explicit(&served_ns, memory_order_relaxed);

	if (seen != 0 && now - seen < SERVED_NS)
		return true;
	if (!segment_has_consumer(segment))
		return false;
	atomic_store_explicit(&served_ns, now, memory_order_relaxed);
	return true;
}

static void ensure(struct segment *segment, uint32_t delay_ms)
{
	uint32_t expected = HELPER_NONE;
	int r;

	if (atomic_load_explicit(&state, memory_order_acquire) != HELPER_NONE) {
		/* The process has got a new segment: the next call finds the old helper gone. */
		if (helper_is_running() && host.segment != segment)
			request_stop(1);
		return;
	}
	if (atomic_load(&sealed) || is_served(segment) ||
	    !atomic_compare_exchange_strong(&state, &expected, HELPER_STARTING))
		return;
	atomic_store(&stop, 0);
	atomic_store(&standing_by, delay_ms);
	stands_by = delay_ms != 0;
	atomic_store(&thread_id, 0);
	host = (struct export_host){
		.segment = segment, .config = &config, .stop = &stop, .log = log_text, .may_create_files = true};
	r = background_create(helper_main, STACK_BYTES);
	if (r != 0) {
		log_line(LOG_ERROR, "no thread for the exporter (%d): spans stay in the segment", r);
		set_state(HELPER_FAILED);
	}
}

void helper_ensure(struct segment *segment)
{
	ensure(segment, 0);
}

void helper_stand_by(struct segment *segment, int delay_ms)
{
	ensure(segment, delay_ms > 0 ? (uint32_t)delay_ms : 0);
}

/* Wait while the state is from, at most until the deadline. */
static void wait_while(uint32_t from, uint64_t deadline_ns)
{
	int left;

	while (atomic_load(&state) == from && (left = ms_until(deadline_ns)) > 0)
		sys_futex_wait_ms(&state, from, left);
}

void helper_prepare(struct segment *segment)
{
	struct export_host here = {.segment = segment, .config = &config, .stop = &stop, .log = log_text};
	uint64_t deadline = deadline_in(PREPARE_WAIT_MS);
	unsigned depth = guard_depth;
	struct plugin plugin;

	if (!atomic_load(&sealed) && config_is(config.traces_exporter, "file"))
		helper_ensure(segment);
	wait_while(HELPER_STARTING, deadline);
	if (atomic_load(&state) != HELPER_NONE)
		return;
	guard_depth = 1; /* the program's thread, doing our work */
	prepare_plugin(&here, &plugin);
	guard_depth = depth;
}

void helper_seal(void)
{
	atomic_store(&sealed, true);
}

/* ---- stopping ---- */

bool helper_stop(int timeout_ms)
{
	uint64_t deadline = deadline_in(timeout_ms);
	uint64_t soon = deadline_in(timeout_ms / 2);

	if (helper_is_running()) {
		request_stop(1);
		wait_while(HELPER_STARTING, soon);
		wait_while(HELPER_READY, soon);
	}
	if (helper_is_running()) {
		request_stop(2);
		wait_while(HELPER_STARTING, deadline);
		wait_while(HELPER_READY, deadline);
	}
	return !helper_is_running() && background_wait_until_gone(&thread_id, deadline);
}

void helper_forget(void)
{
	/* A fork in the middle of dlopen or of the plug-in's start: what they hold is held for ever here. */
	bool broken = atomic_load(&loading) != 0;

	atomic_store(&state, broken ? HELPER_FAILED : HELPER_NONE);
	atomic_store(&stop, 0);
	atomic_store(&thread_id, 0);
	atomic_store(&served_ns, 0);
}

/* ---- exit ---- */

static bool flush_is_over(const struct segment_header *header, uint32_t flush)
{
	return (int32_t)(atomic_load(&header->flushed) - flush) >= 0 || atomic_load(&header->collector_down) != 0 ||
	       !helper_is_running();
}

void helper_flush(struct segment *segment, int timeout_ms)
{
	uint64_t deadline = deadline_in(timeout_ms);
	struct segment_header *header = segment->header;
	uint32_t flush, flushed;
	int left;

	if (header == NULL || atomic_load(&header->collector_down) != 0 ||
	    (segment_is_empty(segment) && atomic_load(&header->counts_untold) == 0))
		return;
	helper_ensure(segment);
	helper_hurry();
	/* Somebody else consumes, or nobody can. */
	if (!helper_is_running() || host.segment != segment)
		return;
	flush = atomic_fetch_add(&header->flush, 1) + 1;
	segment_wake(segment);
	for (;;) {
		flushed = atomic_load(&header->flushed);
		left = ms_until(deadline);
		if (flush_is_over(header, flush) || left == 0)
			return;
		/* In slices: the end of the helper, or of the collector, does not change the word. */
		sys_futex_wait_ms(&header->flushed, flushed, left < FLUSH_SLICE_MS ? left : FLUSH_SLICE_MS);
	}
}
