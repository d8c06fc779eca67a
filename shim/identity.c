/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of root, user, namespace and of what is allowed: what they make impossible is done before them. After a change of
 * user the process leaves a segment that is another user's.
 */
#include <stdatomic.h>
#include <sys/resource.h>

#include "shim/config.h"
#include "shim/engine.h"
#include "shim/fdtable.h"
#include "shim/helper.h"
#include "shim/ids.h"
#include "shim/log.h"
#include "shim/output.h"
#include "shim/process.h"
#include "shim/segment.h"
#include "shim/sys.h"
#include "shim/thread.h"
#include "shim/watcher.h"

/* Descriptors up to here can be followed in a sandbox: 512 KiB of address space, touched as used. */
#define SANDBOX_FDS 65536u

_Atomic bool process_sandboxed;

/*
 * What is about to become impossible is done now. A file to export to can perhaps only be opened as the user that we still are, and the
 * helper, which holds it, serves one segment: so that one must be ours already.
 */
static void prepare_for_less(void)
{
	if (!output_exports_here())
		return;
	if (output_is_inherited() && config_is(config.traces_exporter, "file"))
		output_take_own();
	if (output_have()) {
		output_watch_exit();
		helper_prepare(output_segment());
	}
}

/* unshare and setns fail in a process with a second thread. */
static void prepare_to_be_alone(void)
{
	if (process_has_threads())
		return;
	watcher_stop();
	output_stop();
}

/*
 * After a filter that kills, making a thread or opening a file may be the program's end. A helper that exists already is not bound by
 * the filter of another thread; where the filter is for all threads, none may be left.
 */
static void prepare_helper_for_sandbox(bool all_threads)
{
	if (all_threads) {
		output_stop();
	} else {
		prepare_for_less();
		if (output_have())
			helper_ensure(output_segment());
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
	watcher_seal();
	if (all_threads)
		watcher_stop();
	if (output_exports_here())
		prepare_helper_for_sandbox(all_threads);
	if (output_have())
		segment_seal(output_segment());
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
	case IDENTITY_STRICT:
		OBSERVE(close_sandbox(change != IDENTITY_SANDBOX));
		break;
	case IDENTITY_LANDLOCK:
		if (output_exports_here())
			OBSERVE(prepare_helper_for_sandbox(false));
		break;
	default:
		OBSERVE(prepare_for_less());
	}
}

/* Another user's segment, inherited: what we write from now on is for an exporter of our own. */
static void leave_foreign_segment(void)
{
	if (output_is_inherited() && output_segment()->header->uid != sys_geteuid())
		output_take_own();
}

void engine_identity_changed(enum identity_change change)
{
	if (change == IDENTITY_STRICT)
		atomic_store(&guard_enabled, false);
	else if (change == IDENTITY_USER && !process_is_sandboxed())
		OBSERVE(leave_foreign_segment());
}
