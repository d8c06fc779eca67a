/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/watcher.h"

#include <string.h>

#include "shim/background.h"
#include "shim/clock.h"
#include "shim/config.h"
#include "shim/exchange.h"
#include "shim/guard.h"
#include "shim/log.h"
#include "shim/plugin.h"
#include "shim/process.h"
#include "shim/sys.h"
#include "shim/watch.h"

#define STACK_BYTES 262144ul
#define LEAST_TICK_NS 5000000ull
#define IDLE_NS 2000000000ull
#define SANDBOX_TICK_MS 1000 /* there, nobody may wake it */
/* After it had to end for a fork: programs that fork for every request are not to pay for a thread each time. */
#define RESTART_NS 1000000000ull
#define STOP_NS 200000000ull

enum watcher_state { WATCHER_NONE, WATCHER_RUNNING, WATCHER_FAILED };

_Atomic uint32_t watcher_awake;
static _Atomic uint32_t state;
static _Atomic uint32_t stop;
static _Atomic uint32_t nudge;     /* futex: changes when it is to look up */
static _Atomic uint32_t thread_id; /* 0: there is none, or the kernel has forgotten it */
static _Atomic uint64_t not_before_ns;
static _Atomic bool sealed;
static _Atomic bool unwinding;     /* inside the plug-in: what it holds now, a forked child holds for ever */
static struct unwind unwind;       /* the watcher's */
static bool filtered;              /* the watcher's own: set when it begins */
static _Atomic bool unwind_broken; /* it cannot be had in this process */

/* ---- looking ---- */

static uint64_t limit_ns(void)
{
	return (uint64_t)config.loop_stall_ms * 1000000;
}

static uint64_t tick_ns(void)
{
	return limit_ns() / 2 > LEAST_TICK_NS ? limit_ns() / 2 : LEAST_TICK_NS;
}

static bool is_gone(uint32_t tid)
{
	return sys_call3(SYS_tgkill, sys_getpid(), (long)tid, 0) == -ESRCH;
}

/* Since when is it known to be in the window that it is in? The first request of a window says it exactly. */
static uint64_t away_since(struct watch *w, uint32_t turn)
{
	if (atomic_load_explicit(&w->began_turn, memory_order_acquire) != turn)
		return w->seen_ns;

	uint64_t began = atomic_load_explicit(&w->began_ns, memory_order_relaxed);

	return began < w->seen_ns ? began : w->seen_ns;
}

bool watcher_takes_stack(uint64_t now_ns)
{
	static uint64_t since_ns;
	static unsigned taken;

	if (now_ns - since_ns >= 1000000000u) {
		since_ns = now_ns;
		taken = 0;
	}
	return taken++ < WATCHER_STACKS_A_SECOND;
}

static void take_stack(struct watch *w, uint32_t turn, uint32_t tid)
{
	bool found = false;

	if (atomic_load(&unwind_broken) || !watcher_takes_stack(clock_monotonic_ns()))
		return;
	atomic_store(&unwinding, true);
	/* The thread does not look at w->stack before it is told that there is one. */
	if (plugin_load_unwind(&unwind) == 0)
		found = unwind.thread(tid, &w->stack);
	else
		atomic_store(&unwind_broken, true);
	atomic_store(&unwinding, false);
	/* Only if it was still away when all was read is this the stack of its stall. */
	if (found && atomic_load(&w->turn) == turn)
		atomic_store_explicit(&w->has_stack, true, memory_order_release);
}

/* A filter inherited over exec may kill for process_vm_readv(). Where that cannot be told, as if there were one. */
static bool find_filter(void)
{
	char text[4096];
	int fd = sys_open("/proc/thread-self/status", O_RDONLY);
	ssize_t n = fd >= 0 ? sys_read(fd, text, sizeof(text) - 1) : -1;

	if (fd >= 0)
		sys_close(fd);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "\nSeccomp:\t0\n") == NULL;
}

/* Asked while it runs: later it will be another's turn. */
static void ask_runtime(struct watch *w)
{
	struct context context = {.exchange = HANDLE_NONE};
	struct label label;

	w->task_of = HANDLE_NONE;
	if (filtered) {
		w->answer = w->place.place ? RUNTIME_CANNOT_TELL : RUNTIME_ABSENT;
		return;
	}
	w->answer = runtime_glimpse(&w->place, &label);
	if (w->answer == RUNTIME_LABEL && label_resolve(&label, &context) == LABEL_STATE_OPEN)
		w->task_of = context.exchange;
}

static void give_verdict(struct watch *w, uint32_t turn, uint32_t tid, uint64_t since_ns)
{
	w->told = true;
	if (is_gone(tid)) {
		watch_leave(w);
		return;
	}
	w->since_ns = since_ns;
	ask_runtime(w);
	atomic_store(&w->has_stack, false);
	atomic_store_explicit(&w->verdict, turn | 1, memory_order_release);
	take_stack(w, turn, tid);
}

/* Returns when it is to be looked at again. */
static uint64_t look_at(struct watch *w, uint32_t tid, uint64_t now_ns)
{
	uint32_t turn = atomic_load_explicit(&w->turn, memory_order_relaxed);
	uint64_t later = now_ns + tick_ns(), due;

	if (turn & 1) {
		w->seen = false;
		return later;
	}
	if (!w->seen || w->seen_turn != turn) {
		w->seen = true;
		w->told = false;
		w->seen_turn = turn;
		w->seen_ns = now_ns;
	}
	if (w->told)
		return later;
	due = away_since(w, turn) + limit_ns();
	if (now_ns < due)
		return due < later ? due : later;
	give_verdict(w, turn, tid, due - limit_ns());
	return later;
}

uint64_t watcher_look(uint64_t now_ns)
{
	uint64_t next = now_ns + tick_ns();
	uint32_t last = watch_high_water();

	for (uint32_t slot = 1; slot <= last; slot++) {
		struct watch *w = watch_at(slot);
		uint32_t tid = atomic_load(&w->tid);
		uint64_t due = tid ? look_at(w, tid, now_ns) : next;

		next = due < next ? due : next;
	}
	return next;
}

/* ---- the thread ---- */

static void sleep_until(uint32_t nudged, uint64_t then_ns, uint64_t now_ns)
{
	struct timespec left = {(time_t)((then_ns - now_ns) / 1000000000), (long)((then_ns - now_ns) % 1000000000)};

	if (then_ns > now_ns)
		sys_futex_wait(&nudge, nudged, &left);
}

/* Nothing is open. The next request finds watcher_awake 0 and says so. */
static void sleep_until_needed(uint32_t nudged)
{
	atomic_store(&watcher_awake, 0);
	if (exchange_open_count() == 0 && atomic_load(&stop) == 0)
		sys_futex_wait_ms(&nudge, nudged, process_is_sandboxed() ? SANDBOX_TICK_MS : -1);
	atomic_store(&watcher_awake, 1);
}

static void *watcher_main(void *arg)
{
	uint64_t busy_ns = clock_monotonic_ns();

	guard_depth = GUARD_AWAY; /* for life */
	atomic_store(&thread_id, (uint32_t)sys_gettid());
	if (!background_enter(false, config_is(config.log_file, "stderr")))
		atomic_store(&unwind_broken, true); /* the files that it opens would have numbers of the program's */
	filtered = find_filter();
	while (atomic_load(&stop) == 0) {
		uint32_t nudged = atomic_load(&nudge);
		uint64_t now = clock_monotonic_ns(), next = watcher_look(now);

		if (exchange_open_count() > 0)
			busy_ns = now;
		if (now - busy_ns > IDLE_NS)
			sleep_until_needed(nudged);
		else
			sleep_until(nudged, next, clock_monotonic_ns());
	}
	atomic_store(&watcher_awake, 0);
	atomic_store(&state, WATCHER_NONE);
	return arg;
}

static void wake(void)
{
	if (atomic_load(&state) != WATCHER_RUNNING)
		return;
	atomic_fetch_add(&nudge, 1);
	sys_futex_wake(&nudge, INT32_MAX);
}

__attribute__((noinline)) void watcher_make_sure(uint64_t now_ns)
{
	uint32_t there = atomic_load(&state), expected = WATCHER_NONE;

	if (there == WATCHER_RUNNING && !process_is_sandboxed())
		wake();
	if (there != WATCHER_NONE || atomic_load(&sealed) || now_ns < atomic_load(&not_before_ns) ||
	    !atomic_compare_exchange_strong(&state, &expected, WATCHER_RUNNING))
		return;
	/* Where an agent exports, nothing but the shim's own code enters the program. */
	if (!config_is(config.exporter_mode, "thread")) {
		atomic_store(&state, WATCHER_FAILED);
		return;
	}
	atomic_store(&stop, 0);
	atomic_store(&watcher_awake, 1);
	if (background_create(watcher_main, STACK_BYTES) == 0)
		return;
	log_line(LOG_WARN, "no thread to look for stalls of event loops");
	atomic_store(&state, WATCHER_FAILED);
}

void watcher_stop(void)
{
	const struct timespec nap = {0, 20000};
	uint64_t deadline;

	if (atomic_load(&state) != WATCHER_RUNNING && atomic_load(&thread_id) == 0)
		return;
	atomic_store(&stop, 1);
	if (process_is_sandboxed())
		return; /* not even the clock may be read in every one */
	deadline = clock_monotonic_ns() + STOP_NS;
	atomic_store(&not_before_ns, deadline + RESTART_NS);
	wake();
	/* It may not have come to say its number yet. */
	while (atomic_load(&state) == WATCHER_RUNNING && clock_monotonic_ns() < deadline)
		sys_call6(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&nap, 0, 0, 0);
	(void)background_wait_until_gone(&thread_id, deadline);
}

void watcher_seal(void)
{
	atomic_store(&sealed, true);
}

void watcher_forget(void)
{
	if (atomic_load(&unwinding))
		atomic_store(&unwind_broken, true);
	atomic_store(&unwinding, false);
	atomic_store(&state, WATCHER_NONE);
	atomic_store(&watcher_awake, 0);
	atomic_store(&thread_id, 0);
	atomic_store(&stop, 0);
}
