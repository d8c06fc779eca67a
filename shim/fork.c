/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork, as pthread_atfork shows it, and what has a hook because it does not (clone, _Fork). What neither shows the page
 * does, which the kernel empties in every child that has a memory of its own.
 */
#include "shim/fork.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "shim/channel.h"
#include "shim/conn.h"
#include "shim/engine.h"
#include "shim/environment.h"
#include "shim/helper.h"
#include "shim/ids.h"
#include "shim/loop.h"
#include "shim/output.h"
#include "shim/process.h"
#include "shim/runtime.h"
#include "shim/stats.h"
#include "shim/task.h"
#include "shim/thread.h"
#include "shim/watcher.h"

static _Atomic bool forked;
static _Atomic bool stopped_for_fork; /* a fork has cost us the helper */
/* 1 in the process that wrote it. */
static _Atomic uint32_t *alive_here;

bool fork_made_us(void)
{
	return atomic_load_explicit(&forked, memory_order_relaxed);
}

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
	if (process_has_threads())
		return;
	watcher_stop();
	if (helper_is_running()) {
		atomic_store(&stopped_for_fork, true);
		output_stop();
	}
}

static void after_fork_in_parent(void)
{
	if (!guard_is_on() || process_is_sandboxed() || process_has_threads() || !output_exports_here() ||
	    !output_is_ready())
		return;
	if (atomic_load(&stopped_for_fork) || atomic_load(&output_segment()->header->standby_wanted) != 0)
		OBSERVE(output_stand_by());
}

static void start_over(void)
{
	environment_forked(thread_self());
	thread_after_fork();
	conn_after_fork();
	loop_after_fork();
	channel_after_fork();
	ids_after_fork();
	runtime_forked();
	helper_forget();
	watcher_forget();
	process_after_fork();
	atomic_store(&forked, true);
	atomic_store(&stopped_for_fork, false);
	atomic_store(alive_here, 1);
	if (!output_is_ready()) {
		output_forget();
		return;
	}
	/* A system call too many: this child writes and counts under its parent's entry, too. */
	if (process_is_sandboxed())
		return;
	/* Made with another pid namespace: its number means nothing to those who read the table. */
	if (task_pid_namespace() != output_segment()->header->pid_namespace) {
		output_take_own();
		return;
	}
	/* Where the table is full this child counts under its parent's entry. */
	(void)segment_join(output_segment());
	output_count_here();
}

static void after_fork_in_child(void)
{
	if (guard_is_on())
		OBSERVE(start_over());
}

void engine_forking(void)
{
	before_fork();
}

void engine_forked(bool in_child)
{
	if (in_child)
		after_fork_in_child();
	else
		after_fork_in_parent();
}

void fork_notice(void)
{
	if (__builtin_expect(atomic_load_explicit(alive_here, memory_order_relaxed) == 0, 0))
		start_over();
}

int fork_start(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return -ENOMEM;
	(void)madvise(page, 4096, MADV_WIPEONFORK); /* before Linux 4.14: atfork alone has to do */
	alive_here = page;
	atomic_store(alive_here, 1);
	return pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) == 0 ? 0 : -ENOMEM;
}
