/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/segment.h"

/*
 * The helper thread: drains this process's segment when no other consumer does. It is a real pthread with all
 * signals blocked (through pthread_sigmask), 512 KiB of stack, named "interspan", with a descriptor table of its own
 * (close_range(CLOSE_RANGE_UNSHARE), or unshare(CLONE_FILES) and a loop). It opens libinterspan-export.so,
 * found beside the shim, with dlopen(RTLD_LOCAL|RTLD_DEEPBIND), and runs interspan_export_run().
 */

struct config;

/* What the plug-in is handed; owned by the shim, alive for ever. */
struct export_host {
	struct segment *segment;
	const struct config *config;
	_Atomic uint32_t *stop; /* futex: 1 = return soon (a record not yet accepted stays in the segment), 2 = now */
	void (*log)(int level, const char *text);
	bool tls_was_loaded;   /* libcrypto was in the process before the plug-in: the program may be using it */
	bool may_create_files; /* the calling thread is the helper, whose descriptors are not the program's */
};

/*
 * The plug-in's entry points (export/plugin.c). version: must be INTERSPAN_VERSION, or the plug-in is not used.
 * prepare: load all that must be there before a chroot or a change of user: libraries, name resolution, CA files, the output
 * file. Idempotent; never on two threads at a time. run: drain until *stop; takes the consumer word, keeps the
 * heartbeat, returns when stopped or when another consumer has taken over.
 */
typedef const char *export_version_fn(void);
typedef int export_prepare_fn(struct export_host *host);
typedef void export_run_fn(struct export_host *host);

/*
 * Start the helper if it does not run and no live consumer serves the segment. Cheap when there is nothing to do.
 * Context: any thread, not from a signal handler; creates a thread. Never called from a constructor.
 */
void helper_ensure(struct segment *segment);
/*
 * The same, but the thread first waits for delay_ms, doing and loading nothing: stopping it meanwhile costs next to nothing. For a
 * process that forks again and again and must be alone each time. helper_hurry() and helper_flush() end the wait.
 */
void helper_stand_by(struct segment *segment, int delay_ms);
void helper_hurry(void);
/*
 * Load what must be loaded before chroot, set*id and the like; start the thread too, and wait until it has opened its file (at
 * most two seconds), where a file must be opened first.
 */
void helper_prepare(struct segment *segment);
/*
 * From now on no thread is created in this process or its children: a sandbox is coming that may kill who tries.
 * A helper that runs goes on.
 */
void helper_seal(void);
/*
 * Stop the helper and wait, at most timeout_ms, until the kernel no longer counts its thread. Records stay in the segment.
 * Before fork in a process that would otherwise be single-threaded, before unshare and setns. Returns true when no
 * helper runs any more.
 */
bool helper_stop(int timeout_ms);
/* In a forked child: the thread does not exist here. */
void helper_forget(void);
/*
 * Exit: ask the consumer to send everything and wait at most timeout_ms; not at all where there is nothing to send, where
 * another process consumes, or where the collector is known to be down.
 */
void helper_flush(struct segment *segment, int timeout_ms);
/* Does the thread exist? It is inside the guard for life, so the hooks pass its calls through. */
bool helper_is_running(void);
