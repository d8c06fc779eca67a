/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/loop.h"

#include "shim/accepting.h"
#include "shim/channel.h"
#include "shim/clock.h"
#include "shim/config.h"
#include "shim/engine.h"
#include "shim/exchange.h"
#include "shim/large_table.h"
#include "shim/pool.h"
#include "shim/process.h"
#include "shim/rules.h"
#include "shim/stats.h"
#include "shim/thread.h"
#include "shim/watch.h"

#define FIRST_WAITS 1024    /* a new loop is isolated until it has shown that it starts no calls, or is stamped */
#define WITHHELD_WAITS 32   /* turns that a loop gets for its queued work before it is shown more */
#define TICK_NS 10000000   /* how late the coarse clock may be */
#define ROUNDING_NS 1000000 /* of timeouts */
#define RESTLESS_TURNS 16   /* times it was not enough, after which it is not tried again */
#define ISOLATED_WAITS 4096 /* refreshed whenever a parent is decided by elimination, or cannot be */

static struct pool loops;
_Atomic uint8_t engine_wakers[ENGINE_LOOPS + 1] LARGE_TABLE;
static struct loop no_loop;
static bool is_allowed; /* written by loop_start() only */

int loop_start(void)
{
	is_allowed = config_is(config.isolation, "auto");
	return pool_start(&loops, sizeof(struct loop), ENGINE_LOOPS);
}

struct loop *loop_at(uint32_t slot)
{
	return slot ? pool_at(&loops, slot) : &no_loop;
}

uint32_t loop_new(void)
{
	uint32_t slot = pool_take(&loops);

	if (slot) {
		atomic_store(&engine_wakers[slot], 0);
		*loop_at(slot) = (struct loop){.isolate = is_allowed ? FIRST_WAITS : 0,
					       .timer_from_ns = UINT64_MAX, .timer_until_ns = UINT64_MAX};
		for (unsigned i = 0; i < LOOP_WAKERS; i++)
			loop_at(slot)->wakers[i].fd = -1;
	}
	return slot;
}

static void set_timer(struct loop *loop, uint64_t from_ns, uint64_t until_ns)
{
	atomic_store_explicit(&loop->timer_from_ns, from_ns, memory_order_relaxed);
	atomic_store_explicit(&loop->timer_until_ns, until_ns, memory_order_relaxed);
}

void loop_closed(uint32_t slot)
{
	if (!slot)
		return;
	/* Exchanges that were read here may still be open and count down in it: such a loop is not reused. */
	atomic_store(&loop_at(slot)->closed, true);
	set_timer(loop_at(slot), UINT64_MAX, UINT64_MAX);
	if (atomic_load(&loop_at(slot)->open) == 0)
		pool_give(&loops, slot);
}

void loop_isolate(uint32_t slot)
{
	if (slot && is_allowed)
		atomic_store_explicit(&loop_at(slot)->isolate, ISOLATED_WAITS, memory_order_relaxed);
}

bool loop_takes_one_event(uint32_t slot)
{
	return slot && atomic_load_explicit(&loop_at(slot)->isolate, memory_order_relaxed) > 0;
}

bool loop_is_isolated(uint32_t slot)
{
	return slot && (loop_takes_one_event(slot) || !is_allowed);
}

bool loop_others_timer_is_due(uint32_t slot, uint64_t turn_ns, uint64_t now_ns)
{
	uint32_t last = atomic_load_explicit(&loops.used, memory_order_acquire);

	for (uint32_t other = 1; other <= last; other++) {
		const struct loop *loop = loop_at(other);

		if (other != slot && atomic_load_explicit(&loop->timer_from_ns, memory_order_relaxed) <= now_ns &&
		    atomic_load_explicit(&loop->timer_until_ns, memory_order_relaxed) >= turn_ns)
			return true;
	}
	return false;
}

void loop_after_fork(void)
{
	uint32_t last = atomic_load_explicit(&loops.used, memory_order_relaxed);

	for (uint32_t slot = 1; slot <= last; slot++)
		set_timer(loop_at(slot), UINT64_MAX, UINT64_MAX);
}

/* The wait that begins is to end when the timer has fallen due, so it has by then, whatever clock the program reads. */
static __attribute__((noinline)) void set_timer_of_wait(uint32_t slot, const struct thread *t)
{
	uint64_t now, early = t->timer_due_ns > TIMER_EARLY_NS ? TIMER_EARLY_NS : 0;

	now = loop_is_isolated(slot) ? clock_monotonic_ns() : clock_coarse_ns() + TICK_NS;
	if (t->wait_timeout_ms < 0)
		set_timer(loop_at(slot), UINT64_MAX, UINT64_MAX);
	else
		set_timer(loop_at(slot), t->timer_due_ns - early,
			  now + (uint64_t)t->wait_timeout_ms * 1000000 + ROUNDING_NS);
}

static inline void tell_timer(uint32_t slot, const struct thread *t)
{
	if (slot && t->wait_timeout_ms != 0 && process_has_threads())
		set_timer_of_wait(slot, t);
}

void loop_revoke(uint32_t slot, enum evidence rule)
{
	if (!atomic_exchange_explicit(&loop_at(slot)->revoked[rule], true, memory_order_relaxed))
		stats_count(STAT_RULES_REVOKED);
}

bool loop_trusts(uint32_t slot, enum evidence rule)
{
	return slot != 0 && !atomic_load_explicit(&loop_at(slot)->revoked[rule], memory_order_relaxed);
}

/* ---- waiting: called by hooks ---- */

/* This thread waits for several things: whatever it has read and not answered, it does not serve synchronously. */
static inline void leaving_window(struct thread *t)
{
	watch_waits(t);
	t->has_inherited = false;
	channel_forget(t);
	if (__builtin_expect(handle_is_none(t->sync), 1))
		return;
	if (exchange_is_open(t->sync))
		thread_class_revoke(thread_class_of(t));
	t->sync = HANDLE_NONE;
}

/* The first time somebody waits on it. */
static __attribute__((noinline)) uint32_t make_loop(int epfd, fd_word word)
{
	uint32_t slot = loop_new();

	loop_at(slot)->many = loop_at(slot)->mixed = slot != 0;
	if (slot && !fdtable_replace(epfd, word, FD_EPOLL, slot)) {
		pool_give(&loops, slot); /* another thread was first */
		word = fdtable_word(epfd);
		slot = (word & 0xff) == FD_EPOLL ? fdtable_object(word) : 0;
	}
	return slot;
}

static inline uint32_t loop_of(int epfd)
{
	fd_word word = fdtable_word(epfd);

	if (fdtable_kind_of(word) != FD_EPOLL)
		return 0;
	return fdtable_object(word) ? fdtable_object(word) : make_loop(epfd, word);
}

void engine_waiting_at_most(int timeout_ms)
{
	thread_waits(thread_self(), timeout_ms);
}

/*
 * The loop only looks whether there is more, because it has work queued; and we know for whom, as long as nothing else is added. So it is
 * told that there is nothing, until it has done what it had and waits. The events stay where they are. A loop that never waits is
 * left alone soon: there, elimination is impossible.
 */
static bool should_withhold(struct loop *loop, struct thread *t)
{
	if (t->wait_timeout_ms != 0 ||
	    atomic_load_explicit(&loop->restless, memory_order_relaxed) >= RESTLESS_TURNS)
		return false;
	if (t->withheld < WITHHELD_WAITS)
		return true;
	atomic_fetch_add_explicit(&loop->restless, 1, memory_order_relaxed);
	return false;
}

/* What is passed on of a wait that is to be cut to one event. */
static __attribute__((noinline)) int isolated_wait(struct loop *loop, struct thread *t, int32_t isolate)
{
	atomic_store_explicit(&loop->isolate, isolate - 1, memory_order_relaxed);
	stats_count(STAT_ISOLATED_WAITS);
	t->withheld = should_withhold(loop, t) ? (uint16_t)(t->withheld + 1) : 0;
	return t->withheld ? 0 : 1;
}

int engine_wait_begin(int epfd, int maxevents)
{
	struct thread *t;
	struct loop *loop;
	uint32_t slot;
	int32_t isolate;

	if (!guard_is_on() || guard_depth != 0)
		return maxevents;
	t = thread_self();
	slot = loop_of(epfd);
	loop = loop_at(slot);
	isolate = atomic_load_explicit(&loop->isolate, memory_order_relaxed);
	leaving_window(t);
	tell_timer(slot, t);
	if (isolate > 0 && maxevents >= 1 && !t->adapted)
		return isolated_wait(loop, t, isolate);
	t->withheld = 0;
	return maxevents;
}

static bool is_waker(struct loop *loop, uint64_t data)
{
	for (unsigned i = 0; i < LOOP_WAKERS; i++)
		if (atomic_load_explicit(&loop->wakers[i].fd, memory_order_acquire) >= 0 &&
		    atomic_load_explicit(&loop->wakers[i].data, memory_order_relaxed) == data)
			return true;
	return false;
}

/* Did one of the events come from a waker? Where there are too many to know, each may have. */
static __attribute__((noinline)) bool was_woken(struct loop *loop, const struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++)
		if (is_waker(loop, events[i].data.u64))
			return true;
	return atomic_load_explicit(&loop->has_more_wakers, memory_order_relaxed);
}

void engine_wait_end(int epfd, const struct epoll_event *events, int n)
{
	if (!guard_is_on() || guard_depth != 0)
		return;

	struct thread *t = thread_self();
	uint32_t loop = loop_of(epfd);

	watch_returned(t);
	thread_window_open(t, loop);
	if (n > 0 && engine_has_wakers(loop) && was_woken(loop_at(loop), events, n))
		thread_stimulated(t, HANDLE_NONE);
}

/* What the number and the data stood for before is over: a waker's memory may be another connection's now. */
static void forget_waker(struct loop *loop, int fd, const struct epoll_event *event)
{
	for (unsigned i = 0; i < LOOP_WAKERS; i++) {
		struct waker *w = &loop->wakers[i];
		int32_t known = atomic_load_explicit(&w->fd, memory_order_acquire);

		if (known >= 0 && (known == fd || (event && atomic_load(&w->data) == event->data.u64)))
			atomic_store_explicit(&w->fd, -1, memory_order_relaxed);
	}
}

static void note_waker(uint32_t slot, int fd, uint64_t data)
{
	struct loop *loop = loop_at(slot);

	atomic_store(&engine_wakers[slot], 1);
	for (unsigned i = 0; i < LOOP_WAKERS; i++) {
		struct waker *w = &loop->wakers[i];

		if (atomic_load_explicit(&w->fd, memory_order_relaxed) >= 0)
			continue;
		atomic_store_explicit(&w->data, data, memory_order_relaxed);
		atomic_store_explicit(&w->fd, fd, memory_order_release); /* pairs with is_waker() */
		return;
	}
	atomic_store(&loop->has_more_wakers, true);
}

static void epoll_changed(int epfd, int fd, const struct epoll_event *event)
{
	enum fd_kind kind = fdtable_kind(fd);
	bool wakes = event && (event->events & (EPOLLET | EPOLLONESHOT)) &&
		     (kind == FD_EVENT || kind == FD_TIMER || kind == FD_PIPE);
	uint32_t slot = wakes ? loop_of(epfd) : fdtable_object(fdtable_word(epfd));

	accepting_watched(fd, event ? event->events : 0);
	if (!slot || (!wakes && !engine_has_wakers(slot)))
		return;
	forget_waker(loop_at(slot), fd, event);
	if (wakes)
		note_waker(slot, fd, event->data.u64);
}

void engine_epoll_changed(int epfd, int op, int fd, const struct epoll_event *event)
{
	/* Inherited over exec, or made by a system call of the program's own: now we know what it is. */
	if (fdtable_kind(epfd) != FD_EPOLL)
		engine_opened(epfd, FD_EPOLL);
	OBSERVE(epoll_changed(epfd, fd, op == EPOLL_CTL_DEL ? NULL : event));
}

/* Does a thread that waits for these serve one request, and wait for its own calls only? */
static bool waits_for_own_calls(const struct thread *t, const struct pollfd *fds, nfds_t n)
{
	for (nfds_t i = 0; i < n; i++)
		if (fds[i].fd >= 0 && !rules_is_own_descriptor(t, fds[i].fd))
			return false;
	return true;
}

static void leaving_for_poll_loop(struct thread *t, bool many, int fd)
{
	leaving_window(t);
	t->poll_loop = t->poll_loop ? t->poll_loop : loop_new();
	if (many && t->poll_loop)
		loop_at(t->poll_loop)->many = true;
	if ((many || fdtable_kind(fd) != FD_CONNECTION) && t->poll_loop)
		loop_at(t->poll_loop)->mixed = true;
	tell_timer(t->poll_loop, t);
}

void engine_poll_begin(const struct pollfd *fds, nfds_t n)
{
	struct thread *t = thread_self();

	if (n == 0)
		engine_sleeping();
	if (!guard_is_on() || guard_depth != 0 || n == 0)
		return;
	if (!waits_for_own_calls(t, fds, n))
		leaving_for_poll_loop(t, n > 1, fds[0].fd);
}

void engine_select_begin(int nfds, const fd_set *readable)
{
	struct thread *t = thread_self();
	bool others = false;
	int n = 0, last = -1;

	if (nfds == 0)
		engine_sleeping();
	if (!guard_is_on() || guard_depth != 0 || nfds == 0)
		return;
	for (int fd = 0; readable && fd < nfds; fd++) {
		if (!FD_ISSET(fd, readable))
			continue;
		n++;
		last = fd;
		others = others || !rules_is_own_descriptor(t, fd);
		if (others && n > 1)
			break;
	}
	if (others)
		leaving_for_poll_loop(t, n > 1, last);
}

void engine_poll_end(int ready)
{
	struct thread *t = thread_self();

	(void)ready;
	t->withheld = 0;
	if (guard_is_on() && guard_depth == 0)
		watch_returned(t);
	/* A thread that still serves its request polled for a call of its own: the window goes on. */
	if (guard_is_on() && guard_depth == 0 && handle_is_none(t->sync) && t->poll_loop)
		thread_window_open(t, t->poll_loop);
}
