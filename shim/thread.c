/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "shim/channel.h"
#include "shim/clock.h"
#include "shim/engine.h"
#include "shim/exchange.h"
#include "shim/job_queue.h"
#include "shim/large_table.h"
#include "shim/loop.h"
#include "shim/pool.h"
#include "shim/process.h"
#include "shim/real.h"
#include "shim/rules.h"
#include "shim/runtime.h"
#include "shim/stats.h"
#include "shim/sys.h"
#include "shim/watch.h"

/* initial-exec: the general model may allocate on first use and so recurse into a program's allocator. */
__thread struct thread thread_block __attribute__((tls_model("initial-exec")));
__thread volatile unsigned guard_depth __attribute__((tls_model("initial-exec")));

/* Its destructor tells of the end of a thread; see prepare_endings(). */
static pthread_key_t ending;
static const char of_first_thread; /* a value of it */
static int (*set_specific)(pthread_key_t key, const void *value);

static uint32_t own_process; /* its id, where it could be asked; written while there is one thread */

uint32_t thread_tid(struct thread *t)
{
	if (t->tid == 0 && !process_is_sandboxed())
		t->tid = (uint32_t)sys_gettid();
	return t->tid;
}

bool thread_is_borrowed(void)
{
	uint32_t known = thread_self()->tid;

	if (process_is_sandboxed())
		return false;
	return known ? (uint32_t)sys_gettid() != known : (uint32_t)sys_getpid() != own_process;
}

void thread_after_fork(void)
{
	struct thread *t = thread_self();

	t->tid = process_is_sandboxed() ? 0 : (uint32_t)sys_gettid();
	own_process = t->tid; /* its only thread */
	t->expected = HANDLE_NONE;
	/* The threads that might have gone on with an older request are not here, but this one may have been about to. */
	if (process_has_threads())
		t->window.fresh = false;
	(void)set_specific(ending, &of_first_thread);
	watch_after_fork(t);
}

void thread_stimulated_again(struct window *w, struct handle who)
{
	if (handle_is_none(who)) {
		w->other = (uint16_t)(w->other + (w->other < UINT16_MAX));
		return;
	}
	for (uint32_t i = 0; i < w->n && i < WINDOW_MAX; i++)
		if (handle_equal(w->who[i], who))
			return;
	if (w->n < WINDOW_MAX)
		w->who[w->n] = who;
	w->n = (uint16_t)(w->n + (w->n < UINT16_MAX));
}

void thread_stimulated(struct thread *t, struct handle who)
{
	watch_passes(t);
	thread_stimulated_as(t, who);
}

void thread_waits(struct thread *t, int timeout_ms)
{
	t->wait_timeout_ms = timeout_ms;
	if (timeout_ms < 0)
		t->timer_due_ns = UINT64_MAX;
	else if (timeout_ms > 0)
		t->timer_due_ns = t->returned_ns ? t->returned_ns + (uint64_t)timeout_ms * 1000000 : 0;
}

static bool timer_may_run(const struct thread *t, uint32_t loop, uint64_t now_ns)
{
	if (t->timer_due_ns != UINT64_MAX && now_ns + TIMER_EARLY_NS >= t->timer_due_ns)
		return true;
	return process_has_threads() && loop_others_timer_is_due(loop, t->returned_before_ns, now_ns);
}

bool thread_timer_may_run(const struct thread *t, uint64_t *now_ns)
{
	if (*now_ns == 0)
		*now_ns = clock_monotonic_ns();
	return timer_may_run(t, t->loop, *now_ns);
}

/*
 * Where no parent has been asked for in a long while, the clock is not worth reading. Only where threads may run one another's
 * timers the others need a time from us, and one that is early will do.
 */
static __attribute__((noinline)) bool timer_is_due_by_clock(struct thread *t, uint32_t loop)
{
	t->returned_ns = clock_monotonic_ns();
	return timer_may_run(t, loop, t->returned_ns);
}

static inline bool timer_is_due(struct thread *t, uint32_t loop)
{
	t->returned_before_ns = t->returned_ns;
	if (loop_is_isolated(loop))
		return timer_is_due_by_clock(t, loop);
	t->returned_ns = process_has_threads() ? clock_coarse_ns() : 0;
	return t->timer_due_ns != UINT64_MAX;
}

void thread_window_open(struct thread *t, uint32_t loop)
{
	struct window *w = &t->window;

	if (t->withheld && t->loop == loop)
		return; /* the same stimuli, one turn of the loop on */
	w->seq = w->seq == UINT32_MAX ? 1 : w->seq + 1;
	w->n = 0;
	w->fresh = false;
	t->has_accepted = false;
	w->other = timer_is_due(t, loop) || t->wait_timeout_ms == 0;
	t->loop = loop;
	t->expected = HANDLE_NONE;
}

void thread_window_part(struct thread *t)
{
	struct window *w = &t->window;

	if (w->seq == 0)
		return;
	w->seq = w->seq == UINT32_MAX ? 1 : w->seq + 1;
	w->n = 0;
	w->fresh = false;
	w->other = 0;
	t->expected = HANDLE_NONE;
}

/* ---- classes ---- */

#define CLASSES 256

struct thread_class {
	_Atomic(uintptr_t) start; /* start routine; the first class is main's */
	_Atomic bool revoked;
};

/* Entry 0 is the main thread's and everything that does not fit. Entries are claimed once and never freed. */
static struct thread_class classes[CLASSES] LARGE_TABLE;
static _Atomic bool all_distrusted;

static struct thread_class *class_for(uintptr_t start)
{
	for (uint32_t probe = 0; probe < CLASSES - 1; probe++) {
		struct thread_class *c = &classes[1 + (start / 16 + probe) % (CLASSES - 1)];
		uintptr_t found = 0;

		if (atomic_compare_exchange_strong(&c->start, &found, start) || found == start)
			return c;
	}
	return &classes[0];
}

struct thread_class *thread_class_of(struct thread *t)
{
	return t->class ? t->class : &classes[0];
}

bool thread_class_is_trusted(const struct thread_class *c)
{
	return !atomic_load_explicit(&c->revoked, memory_order_relaxed) &&
	       !atomic_load_explicit(&all_distrusted, memory_order_relaxed);
}

void thread_class_revoke(struct thread_class *c)
{
	if (!atomic_exchange_explicit(&c->revoked, true, memory_order_relaxed))
		stats_count(STAT_RULES_REVOKED);
}

void thread_classes_distrust(void)
{
	atomic_store_explicit(&all_distrusted, true, memory_order_relaxed);
}

/* ---- creation: the new thread starts under its creator's context ---- */

#define PACKAGES 4096

struct thread_package {
	void *start, *arg;
	size_t stack_bytes;
	struct context inherited;
	struct started started;
	bool has_inherited;
};

static struct pool packages;

/* However the thread ends: by returning, by pthread_exit or by cancellation; the first one by pthread_exit alone. */
static void ended(void *value)
{
	if (value == &of_first_thread)
		process_first_thread_ended();
	else
		process_thread_ended();
	OBSERVE(loop_closed(thread_self()->poll_loop));
	OBSERVE(exchange_thread_ends(thread_self()));
	watch_leave(thread_self()->watch);
	thread_self()->watch = NULL;
}

/*
 * A key's destructor, and no cleanup attribute in the trampoline: that would need the unwinder's own library, and a static copy of it
 * aborts when the program's copy unwinds through it. These functions have younger default versions than we may need.
 */
static int prepare_endings(void)
{
	int (*create)(pthread_key_t *, void (*)(void *)) =
		(int (*)(pthread_key_t *, void (*)(void *)))real_find("pthread_key_create");

	set_specific = (int (*)(pthread_key_t, const void *))real_find("pthread_setspecific");
	return create && set_specific && create(&ending, ended) == 0 && set_specific(ending, &of_first_thread) == 0 ? 0 :
														    -ENOMEM;
}

/* ---- its own stack: what lies outside is a coroutine's ---- */

#define FIRST_STACK_BYTES (128ul << 20) /* the kernel leaves at least this much below the top */

extern void *__libc_stack_end;
static int (*stack_bytes_of)(const pthread_attr_t *attr, size_t *ret); /* younger names, as above */
static size_t default_stack_bytes;

static void prepare_stacks(void)
{
	int (*get_default)(pthread_attr_t *) = (int (*)(pthread_attr_t *))real_find("pthread_getattr_default_np");
	uintptr_t here = (uintptr_t)__builtin_frame_address(0), top = (uintptr_t)__libc_stack_end;
	struct thread *t = thread_self();
	pthread_attr_t attr;

	stack_bytes_of = (int (*)(const pthread_attr_t *, size_t *))real_find("pthread_attr_getstacksize");
	if (!stack_bytes_of || !get_default || get_default(&attr) != 0)
		return;
	(void)stack_bytes_of(&attr, &default_stack_bytes);
	if (here < top && top - here < FIRST_STACK_BYTES) {
		t->stack_low = top - FIRST_STACK_BYTES;
		t->stack_high = top;
	}
}

/*
 * libc puts the thread's block at the top of its stack. A little less than all is enough: what is just below may be a coroutine's.
 */
static void note_stack(struct thread *t, size_t bytes)
{
	uintptr_t top = (uintptr_t)__builtin_frame_address(0);

#ifdef __x86_64__
	__asm__("mov %%fs:0, %0" : "=r"(top));
#endif
	t->stack_high = bytes ? top : 0;
	t->stack_low = top - bytes + 4096;
}

int thread_start(void)
{
	int err = pool_start(&packages, sizeof(struct thread_package), PACKAGES);

	own_process = (uint32_t)sys_getpid();
	prepare_stacks();
	return err ? err : prepare_endings();
}

static size_t stack_bytes(const pthread_attr_t *attr)
{
	size_t bytes = default_stack_bytes;

	if (attr && stack_bytes_of)
		(void)stack_bytes_of(attr, &bytes);
	return bytes;
}

struct thread_package *engine_thread_starting(void *start, void *arg, const pthread_attr_t *attr)
{
	struct thread_package *package = NULL;
	uint32_t slot;

	if (!guard_enter())
		return NULL;

	int errno_saved = errno;

	slot = pool_take(&packages);
	if (slot == 0) {
		process_threads_uncounted();
	} else {
		process_thread_created();
		package = pool_at(&packages, slot);
		*package = (struct thread_package){.start = start, .arg = arg, .stack_bytes = stack_bytes(attr), .started = started_now()};
		runtime_thread_making(thread_self());
		package->has_inherited = rules_current(thread_self(), &package->inherited);
	}
	errno = errno_saved;
	guard_leave();
	return package;
}

void engine_thread_started(struct thread_package *package, void **ret_start, void **ret_arg)
{
	struct thread *t = thread_self();

	*ret_start = package->start;
	*ret_arg = package->arg;
	t->class = class_for((uintptr_t)package->start);
	note_stack(t, package->stack_bytes);
	t->inherited = package->inherited;
	t->has_inherited = package->has_inherited;
	t->started = package->started;
	pool_give(&packages, pool_slot(package));
	(void)set_specific(ending, t);
}

void engine_thread_unstarted(struct thread_package *package)
{
	process_thread_ended();
	pool_give(&packages, pool_slot(package));
}

/* The thread may have been handed other work: what it inherited no longer says whom it works for. */
static void condition_waiting(struct thread *t, const void *condition, const void *mutex)
{
	if (runtime_owns_thread())
		return;
	t->has_inherited = false;
	channel_forget(t);
	job_queue_waiting(t, (uintptr_t)condition, (uintptr_t)mutex);
	if (!handle_is_none(t->sync) && exchange_is_open(t->sync))
		thread_class_revoke(thread_class_of(t));
}

void engine_condition_waiting(const void *condition, const void *mutex)
{
	OBSERVE(condition_waiting(thread_self(), condition, mutex));
}
