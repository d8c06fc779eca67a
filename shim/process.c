/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/process.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "shim/clock.h"
#include "shim/config.h"
#include "shim/conn.h"
#include "shim/engine.h"
#include "shim/fdtable.h"
#include "shim/helper.h"
#include "shim/ids.h"
#include "shim/log.h"
#include "shim/protocols/tracecontext.h"
#include "shim/runtime.h"
#include "shim/segment.h"
#include "shim/stats.h"
#include "shim/sys.h"
#include "shim/task.h"
#include "shim/thread.h"

#define FLUSH_MS 500
#define HELPER_STOP_MS 200
/* From the end of a schedule delay until the helper that stood by has begun. */
#define STANDBY_GRACE_NS 1000000000ull
/* Descriptors up to here can be followed in a sandbox: 512 KiB of address space, touched as used. */
#define SANDBOX_FDS 65536u

enum segment_state { SEGMENT_NONE, SEGMENT_MAKING, SEGMENT_READY, SEGMENT_FAILED };

/* The current segment. It is replaced when the process changes its user; the old one stays mapped, since other threads may
 * be writing to it. */
static struct segment segments[4];
static _Atomic unsigned segment_index;
static _Atomic int segment_state;
_Atomic bool process_sandboxed;
static _Atomic bool blind, crossing, serving, leaving, forked;
static _Atomic bool stopped_for_fork; /* a fork has cost us the helper */
static _Atomic int32_t threads; /* the program's, besides the first */
static struct context environment_parent;
/* One page that the kernel empties in every forked child, however it was forked: 1 in the process that wrote it. */
static _Atomic uint32_t *alive_here;

/* ---- the segment ---- */

static struct segment *segment(void)
{
	return &segments[atomic_load_explicit(&segment_index, memory_order_acquire)];
}

static void count_in_segment(void)
{
	struct segment *s = segment();

	stats_move(s->header->processes[s->process].counters);
}

/* False: there is none, or another thread is just making it. */
static bool make_segment(void)
{
	int state = SEGMENT_NONE;

	if (!atomic_compare_exchange_strong(&segment_state, &state, SEGMENT_MAKING))
		return state == SEGMENT_READY;
	if (segment_create(segment(), &config) != 0) {
		atomic_store(&segment_state, SEGMENT_FAILED);
		log_line(LOG_ERROR, "no shared memory for spans can be had; they are dropped");
		return false;
	}
	count_in_segment();
	atomic_store(&segment_state, SEGMENT_READY);
	return true;
}

static bool have_segment(void)
{
	return atomic_load_explicit(&segment_state, memory_order_acquire) == SEGMENT_READY ||
	       (!process_is_sandboxed() && make_segment());
}

static bool exports_here(void)
{
	return config_is(config.exporter_mode, "thread");
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
static void watch_exit(void)
{
	static _Atomic bool watching;

	if (!atomic_exchange(&watching, true))
		(void)__cxa_atexit(at_exit, NULL, NULL);
}

/*
 * Forks that follow one another quickly. The parent, alone at each fork, can keep no helper that is at work, and no child lives long
 * enough for one to pay: it would load all its libraries for three spans. So the parent has one stand by, which begins when no
 * fork has come for a schedule delay; while forks go on, every other delay one of the children that exit exports for all.
 */
static bool is_stood_by(const struct segment_header *header)
{
	return atomic_load_explicit(&forked, memory_order_relaxed) &&
	       clock_monotonic_ns() < atomic_load_explicit(&header->standby_ns, memory_order_relaxed);
}

static uint64_t delay_ns(void)
{
	return (uint64_t)config.bsp_schedule_delay_ms * 1000000;
}

static void stand_by(void)
{
	struct segment_header *header = segment()->header;
	uint64_t now = clock_monotonic_ns();

	if (atomic_load(&header->consumer) != 0)
		return;
	atomic_store(&header->standby_ns, now + delay_ns() + STANDBY_GRACE_NS);
	if (segment_is_empty(segment()))
		atomic_store(&header->due_ns, now + 2 * delay_ns());
	watch_exit();
	helper_stand_by(segment(), (int)config.bsp_schedule_delay_ms);
}

/* One child is told so, and has the others' records to export with its own. */
static bool is_our_turn(struct segment_header *header)
{
	uint64_t now = clock_monotonic_ns();
	uint64_t due = atomic_load(&header->due_ns);

	return now >= due && atomic_compare_exchange_strong(&header->due_ns, &due, now + 2 * delay_ns());
}

static void wake_or_start_consumer(bool wake)
{
	if (wake && segment_wake(segment()) > 0)
		return;
	if (!exports_here() || (!wake && is_stood_by(segment()->header)))
		return;
	watch_exit();
	helper_ensure(segment());
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

/* A child that was forked behind our back (clone, _Fork) finds its page empty: it starts over. */
static void notice_unseen_fork(void);

void process_write(struct record *record)
{
	struct thread *t = thread_self();
	bool wake = false;

	notice_unseen_fork();
	if (!have_segment()) {
		stats_count(STAT_DROPPED_NO_SEGMENT);
		return;
	}
	if (segment_append(segment(), record, &t->home_shard, &wake) != 0) {
		stats_count(STAT_DROPPED_QUEUE_FULL);
	} else {
		stats_count(STAT_WRITTEN);
	}
	if (process_is_sandboxed())
		return;
	if (wake || !is_served(segment()->header, record->end_ns))
		wake_or_start_consumer(wake);
}

void process_listening(void)
{
	atomic_store(&serving, true);
	(void)have_segment();
}

/* ---- state of the rules ---- */

bool process_is_blind(void)
{
	return atomic_load_explicit(&blind, memory_order_relaxed);
}

void engine_uring_seen(void)
{
	if (!atomic_exchange(&blind, true) && guard_is_on())
		log_line(LOG_INFO, "io_uring is in use: parents are given only where bytes or runtimes prove them");
}

void process_note_crossing(void)
{
	atomic_store_explicit(&crossing, true, memory_order_relaxed);
}

bool process_crosses_threads(void)
{
	return atomic_load_explicit(&crossing, memory_order_relaxed);
}

bool process_parent(struct context *ret)
{
	if (!context_is_valid(&environment_parent) || atomic_load_explicit(&serving, memory_order_relaxed))
		return false;
	*ret = environment_parent;
	return true;
}

void process_thread_created(void)
{
	atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed);
}

void process_thread_ended(void)
{
	atomic_fetch_sub_explicit(&threads, 1, memory_order_relaxed);
}

void process_threads_uncounted(void)
{
	atomic_store_explicit(&threads, INT32_MAX / 2, memory_order_relaxed);
}

bool process_has_threads(void)
{
	return atomic_load_explicit(&threads, memory_order_relaxed) != 0;
}

/* ---- fork ---- */

static void before_fork(void)
{
	if (!guard_is_on())
		return;
	if (exchange_high_water() > 0)
		conn_share_all();
	if (process_is_sandboxed()) {
		ids_before_fork();
		return;
	}
	/* A program with one thread of its own forks as such: CPython warns otherwise, and some calls fail. */
	if (!process_has_threads() && helper_is_running()) {
		atomic_store(&stopped_for_fork, true);
		(void)helper_stop(HELPER_STOP_MS);
	}
}

static void after_fork_in_parent(void)
{
	if (!guard_is_on() || process_is_sandboxed() || process_has_threads() || !exports_here() ||
	    atomic_load(&segment_state) != SEGMENT_READY)
		return;
	if (atomic_load(&stopped_for_fork) || atomic_load(&segment()->header->standby_wanted) != 0)
		OBSERVE(stand_by());
}

static void take_own_segment(void);

static void start_over(void)
{
	thread_after_fork();
	conn_after_fork();
	ids_after_fork();
	runtime_forked();
	helper_forget();
	atomic_store(&threads, 0);
	atomic_store(&leaving, false);
	atomic_store(&forked, true);
	atomic_store(&stopped_for_fork, false);
	atomic_store(alive_here, 1);
	if (atomic_load(&segment_state) != SEGMENT_READY) {
		atomic_store(&segment_state, SEGMENT_NONE);
		stats_move(NULL); /* what was counted before is the parent's to report */
		return;
	}
	/* A system call too many: this child writes and counts under its parent's entry, too. */
	if (process_is_sandboxed())
		return;
	/* Made with another pid namespace: its number means nothing to those who read the table. */
	if (task_pid_namespace() != segment()->header->pid_namespace) {
		take_own_segment();
		return;
	}
	/* Where the table is full this child counts under its parent's entry. */
	(void)segment_join(segment());
	count_in_segment();
}

static void after_fork_in_child(void)
{
	if (guard_is_on())
		OBSERVE(start_over());
}

static void notice_unseen_fork(void)
{
	if (__builtin_expect(atomic_load_explicit(alive_here, memory_order_relaxed) == 0, 0))
		start_over();
}

/* ---- exit ---- */

/* A forked child does not wait, unless it is the one that exports: what it wrote stays for the others. */
static bool exports_at_exit(void)
{
	struct segment_header *header = segment()->header;

	if (!atomic_load(&forked))
		return true;
	if (is_stood_by(header))
		return helper_is_running() || is_our_turn(header);
	if (!helper_is_running())
		return !segment_has_others(segment());
	atomic_store(&header->standby_wanted, 1);
	return true;
}

void engine_exiting(void)
{
	if (!guard_is_on() || thread_is_borrowed() || atomic_exchange(&leaving, true))
		return;
	guard_depth = 1; /* nothing that happens from here on is the program's work */
	if (exchange_high_water() > 0)
		conn_end_all(clock_monotonic_ns());
	if (atomic_load(&segment_state) != SEGMENT_READY)
		return;
	stats_settle();
	/* In a sandbox nobody can be woken or waited for: the helper, or whoever drains next, has it from the segment. */
	if (process_is_sandboxed())
		return;
	if (exports_here() && exports_at_exit()) {
		helper_flush(segment(), FLUSH_MS);
		(void)helper_stop(HELPER_STOP_MS);
	}
	segment_leave(segment());
}

/* ---- identity ---- */

static bool is_inherited(void)
{
	return atomic_load(&segment_state) == SEGMENT_READY && segment()->header->creator_pid != (uint32_t)sys_getpid();
}

/* From now on this process writes to a segment of its own. */
static void take_own_segment(void)
{
	unsigned next = atomic_load(&segment_index) + 1;

	if (next == sizeof(segments) / sizeof(segments[0]))
		return;
	stats_move(NULL);
	segment_leave(segment());
	atomic_store(&segment_index, next);
	atomic_store(&segment_state, SEGMENT_NONE);
	(void)make_segment();
}

/*
 * What is about to become impossible is done now. A file to export to can perhaps only be opened as the user that we still are, and the
 * helper, which holds it, serves one segment: so that one must be ours already.
 */
static void prepare_for_less(void)
{
	if (!exports_here())
		return;
	if (is_inherited() && config_is(config.traces_exporter, "file"))
		take_own_segment();
	if (have_segment()) {
		watch_exit();
		helper_prepare(segment());
	}
}

/* unshare and setns fail in a process with a second thread. */
static void prepare_to_be_alone(void)
{
	if (!process_has_threads() && helper_is_running())
		(void)helper_stop(HELPER_STOP_MS);
}

/*
 * After a filter that kills, making a thread or opening a file may be the program's end. A helper that exists already is not bound by
 * the filter of another thread; where the filter is for all threads, none may be left.
 */
static void prepare_helper_for_sandbox(bool all_threads)
{
	if (all_threads) {
		(void)helper_stop(HELPER_STOP_MS);
	} else {
		prepare_for_less();
		if (have_segment())
			helper_ensure(segment());
	}
	helper_seal();
}

static bool is_ours(void)
{
	return guard_is_away();
}

static unsigned descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > SANDBOX_FDS)
		return SANDBOX_FDS;
	return (unsigned)limit.rlim_cur;
}

/* Whatever takes a system call that the program might not be allowed is done now, or not at all. */
static void close_sandbox(bool all_threads)
{
	if (exports_here())
		prepare_helper_for_sandbox(all_threads);
	if (have_segment())
		segment_seal(segment());
	fdtable_seal(descriptor_limit());
	ids_prepare_for_sandbox();
	(void)thread_tid(thread_self());
	log_seal(is_ours);
	atomic_store(&process_sandboxed, true);
}

void engine_identity_changing(enum identity_change change)
{
	if (process_is_sandboxed())
		return;
	switch (change) {
	case IDENTITY_NAMESPACE:
		OBSERVE(prepare_to_be_alone());
		break;
	case IDENTITY_SANDBOX:
	case IDENTITY_SANDBOX_ALL:
		OBSERVE(close_sandbox(change == IDENTITY_SANDBOX_ALL));
		break;
	case IDENTITY_LANDLOCK:
		if (exports_here())
			OBSERVE(prepare_helper_for_sandbox(false));
		break;
	default:
		OBSERVE(prepare_for_less());
	}
}

/* Another user's segment, inherited: what we write from now on is for an exporter of our own. */
static void leave_foreign_segment(void)
{
	if (is_inherited() && segment()->header->uid != sys_geteuid())
		take_own_segment();
}

void engine_identity_changed(enum identity_change change)
{
	if (change == IDENTITY_USER && !process_is_sandboxed())
		OBSERVE(leave_foreign_segment());
}

/* ---- start ---- */

static const char *environment_value(char *const envp[], const char *name)
{
	size_t len = strlen(name);

	for (; envp && *envp; envp++)
		if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
			return *envp + len + 1;
	return NULL;
}

static void adopt_environment(char *const envp[])
{
	const char *text = environment_value(envp, "TRACEPARENT");
	struct trace_parent p;

	if (!text || !traceparent_parse(slice(text, strnlen(text, 256)), &p))
		return;
	environment_parent = (struct context){.flags = p.flags, .remote = true};
	memcpy(environment_parent.trace_id, p.trace_id, 16);
	memcpy(environment_parent.span_id, p.span_id, 8);
}

int process_start(char *const envp[])
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return -ENOMEM;
	(void)madvise(page, 4096, MADV_WIPEONFORK); /* before Linux 4.14: atfork alone has to do */
	alive_here = page;
	atomic_store(alive_here, 1);
	adopt_environment(envp);
	return pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) == 0 ? 0 : -ENOMEM;
}
