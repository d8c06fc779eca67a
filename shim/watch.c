/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/watch.h"

#include <string.h>

#include "shim/clock.h"
#include "shim/config.h"
#include "shim/conn.h"
#include "shim/exchange.h"
#include "shim/guard.h"
#include "shim/loop.h"
#include "shim/pool.h"
#include "shim/rules.h"
#include "shim/span.h"
#include "shim/stats.h"
#include "shim/watcher.h"

#define WATCHES 4096
#define SCAN_MAX 16384 /* slots of exchanges looked at after a stall */
/* A wait that lasted longer than this had nothing to return at once: what comes after it has not waited for us. */
#define SLEPT_NS 200000

static struct pool watches;

int watch_start(void)
{
	return pool_start(&watches, sizeof(struct watch), WATCHES);
}

uint32_t watch_high_water(void)
{
	return atomic_load_explicit(&watches.used, memory_order_acquire);
}

struct watch *watch_at(uint32_t slot)
{
	return pool_at(&watches, slot);
}

/* ---- whose ---- */

static void join(struct thread *t)
{
	uint32_t slot = thread_tid(t) ? pool_take(&watches) : 0;

	if (!slot)
		return;
	t->watch = watch_at(slot);
	t->watch->pending = t->watch->late = false;
	t->watch->n_stalls = 0;
	atomic_store(&t->watch->verdict, 0);
	atomic_store(&t->watch->turn, (atomic_load(&t->watch->turn) | 1) + 1);
	runtime_place(&t->watch->place);
	atomic_store(&t->watch->tid, t->tid);
}

void watch_leave(struct watch *w)
{
	if (w && atomic_exchange(&w->tid, 0) != 0)
		pool_give(&watches, pool_slot(w));
}

void watch_after_fork(struct thread *t)
{
	uint32_t last = watch_high_water();

	for (uint32_t slot = 1; slot <= last; slot++)
		if (watch_at(slot) != t->watch)
			watch_leave(watch_at(slot));
	if (t->watch)
		atomic_store(&t->watch->tid, t->tid);
}

/* Was the connection there when this thread's wait returned? Then it is one of those that it waited for. */
static bool serves_many(const struct thread *t, const struct conn *c)
{
	return t->loop != 0 && loop_at(t->loop)->many &&
	       (c->opened_loop != t->loop || c->opened_window != t->window.seq);
}

/* ---- a stall is over ---- */

static struct stall *next_stall(struct watch *w)
{
	if (w->n_stalls < STALLS_MAX)
		w->n_stalls++;
	return &w->stalls[w->n_stalls - 1];
}

/* Where a runtime's tasks are known, the task is proof, and the eliminations know nothing. */
static bool knows_blocker(struct thread *t, struct handle answered, struct handle *ret)
{
	*ret = t->watch->task_of;
	if (t->watch->answer != RUNTIME_ABSENT)
		return !handle_is_none(*ret);
	return rules_blocker(t, answered, ret);
}

static void find_blocker(struct thread *t, struct handle answered, struct stall *s)
{
	if (knows_blocker(t, answered, &s->who) && exchange_context(s->who, &s->blocker))
		return;
	s->who = HANDLE_NONE;
	stats_count(STAT_LOOP_STALLS_UNKNOWN);
	/* Next time there is one event to a window, and so one that can have done it. */
	loop_isolate(t->loop);
}

void watch_settle(struct thread *t, struct handle answered)
{
	struct watch *w = t->watch;
	uint32_t verdict = atomic_exchange_explicit(&w->verdict, 0, memory_order_acquire);
	uint32_t turn = atomic_load_explicit(&w->turn, memory_order_relaxed);
	struct stall *s;

	if (verdict != (turn | 1) || turn & 1)
		return; /* of a window that was over when it came */
	s = next_stall(w);
	s->since_ns = w->since_ns;
	s->until_ns = clock_monotonic_ns();
	s->stack.n = s->stack.text_len = 0;
	if (atomic_load_explicit(&w->has_stack, memory_order_acquire))
		s->stack = w->stack;
	find_blocker(t, answered, s);
	stats_count(STAT_LOOP_STALLS);
	w->last = *s;
	w->pending = w->late = true;
	w->late_until_ns = s->until_ns + (s->until_ns - s->since_ns);
	w->waits_ns = 0;
	/* What follows in this window is watched by itself. */
	atomic_store_explicit(&w->turn, turn + 2, memory_order_relaxed);
}

/* ---- the events ---- */

static void tell(struct exchange *e, const struct stall *s, uint32_t tid, uint64_t ns)
{
	bool did_it = handle_equal(s->who, exchange_handle(e));
	bool unknown = handle_is_none(s->who);
	const struct event_facts event = {
		.name = did_it ? "event_loop.stall" : "event_loop.blocked",
		.ns = ns,
		.stall_seconds = (double)(s->until_ns - s->since_ns) / 1e9,
		.blocker = did_it || unknown ? NULL : &s->blocker,
		.tid = tid,
		.stack = did_it || unknown ? &s->stack : NULL,
	};

	span_event(e, &event);
}

static void tell_all(struct exchange *e, const struct watch *w)
{
	uint32_t tid = atomic_load_explicit(&w->tid, memory_order_relaxed);

	for (unsigned i = 0; i < w->n_stalls; i++)
		if (e->start_ns < w->stalls[i].until_ns)
			tell(e, &w->stalls[i], tid, w->stalls[i].since_ns);
}

/* Is it served by this loop, or a call made for what is? */
EXCHANGE_GLIMPSE static bool is_of_loop(const struct exchange *e, uint32_t loop)
{
	const struct exchange *server = e->role == EXCHANGE_SERVER ? e : exchange_of(e->parent);

	return server && loop != 0 && server->loop == loop;
}

/* Those that have ended meanwhile on this thread were told then. */
static void tell_open_ones(struct thread *t)
{
	uint32_t last = exchange_high_water();

	for (uint32_t slot = 1; slot <= last && slot <= SCAN_MAX; slot++) {
		uint32_t open = exchange_open_generation(slot);
		struct exchange *e;

		if (!open || !is_of_loop(exchange_at(slot), t->loop))
			continue;
		e = conn_enter_exchange((struct handle){slot, open - 1});
		if (!e)
			continue;
		tell_all(e, t->watch);
		conn_leave(conn_at(e->connection));
	}
	t->watch->n_stalls = 0;
}

static void came_back(struct thread *t)
{
	struct watch *w = t->watch;

	watch_settle(t, HANDLE_NONE);
	if (w->n_stalls > 0)
		tell_open_ones(t);
	if (w->late) {
		w->waits_ns = clock_monotonic_ns();
		w->late = w->waits_ns < w->late_until_ns;
	}
	w->pending = w->late;
}

void watch_came_back(struct thread *t)
{
	OBSERVE(came_back(t));
}

void watch_woke(struct watch *w)
{
	if (w->late && w->waits_ns != 0 && clock_monotonic_ns() - w->waits_ns > SLEPT_NS)
		w->late = w->pending = false;
}

void watch_ends(struct thread *t, struct exchange *e)
{
	watch_settle(t, exchange_handle(e));
	if (is_of_loop(e, t->loop))
		tell_all(e, t->watch);
}

void watch_join(struct thread *t, struct conn *c)
{
	if (config.loop_stall_ms > 0 && serves_many(t, c))
		join(t);
}

/* The first request in this window. What is not recorded has no time of its own that is good enough. */
void watch_began(struct watch *w, const struct exchange *e)
{
	atomic_store_explicit(&w->began_ns, e->recorded ? e->start_ns : clock_monotonic_ns(), memory_order_relaxed);
	atomic_store_explicit(&w->began_turn, atomic_load_explicit(&w->turn, memory_order_relaxed), memory_order_release);
}

/* One that began earlier is told with all that are open. */
void watch_is_late(struct thread *t, struct exchange *e)
{
	const struct watch *w = t->watch;

	if (e->recorded && e->start_ns >= w->last.until_ns)
		tell(e, &w->last, t->tid, e->start_ns);
}
