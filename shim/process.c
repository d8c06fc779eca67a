/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/process.h"

#include <string.h>

#include "shim/clock.h"
#include "shim/config.h"
#include "shim/conn.h"
#include "shim/engine.h"
#include "shim/fork.h"
#include "shim/helper.h"
#include "shim/log.h"
#include "shim/output.h"
#include "shim/protocols/tracecontext.h"
#include "shim/stats.h"
#include "shim/thread.h"
#include "shim/watcher.h"

#define FLUSH_MS 500

static _Atomic bool blind, crossing, serving, leaving, first_ended, cgi;
static _Atomic bool takes_work, serving_here;
static _Atomic int32_t threads; /* the program's, besides the first */
static struct context environment_parent;
static char *const *arguments;

void process_write(struct record *record)
{
	struct thread *t = thread_self();
	bool wake = false;

	fork_notice();
	if (!output_have()) {
		stats_count(STAT_DROPPED_NO_SEGMENT);
		return;
	}
	stats_count(segment_append(output_segment(), record, &t->home_shard, &wake) == 0 ? STAT_WRITTEN : STAT_DROPPED_QUEUE_FULL);
	if (!process_is_sandboxed())
		output_written(record->end_ns, wake);
}

void process_listening(void)
{
	atomic_store(&serving, true);
	atomic_store(&serving_here, true);
	(void)output_have();
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
	return !atomic_load_explicit(&serving, memory_order_relaxed) && !process_is_anybodys() &&
	       process_named_parent(ret);
}

bool process_named_parent(struct context *ret)
{
	*ret = environment_parent;
	return context_is_valid(ret);
}

void process_takes_work(void)
{
	atomic_store_explicit(&takes_work, true, memory_order_relaxed);
}

bool process_is_anybodys(void)
{
	return atomic_load_explicit(&takes_work, memory_order_relaxed) &&
	       !atomic_load_explicit(&serving_here, memory_order_relaxed);
}

char *const *process_arguments(void)
{
	return arguments;
}

bool process_request_is_unknown(void)
{
	struct context unused;

	return atomic_load_explicit(&cgi, memory_order_relaxed) && !atomic_load_explicit(&serving, memory_order_relaxed) &&
	       !process_parent(&unused);
}

void process_thread_created(void)
{
	atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed);
}

/*
 * The process ends with its last thread, and calls exit() for it once libc counts no other: no thread of ours may be left then, nor
 * be made on the way out, or it would be the last one a second time.
 */
static void leave_to_the_program(void)
{
	if (atomic_load(&first_ended) && atomic_load(&threads) == 0)
		engine_exiting();
}

void process_thread_ended(void)
{
	atomic_fetch_sub(&threads, 1);
	leave_to_the_program();
}

void process_first_thread_ended(void)
{
	atomic_store(&first_ended, true);
	leave_to_the_program();
}

void engine_thread_exiting(void)
{
	if (!process_has_threads())
		engine_exiting();
}

void process_threads_uncounted(void)
{
	atomic_store_explicit(&threads, INT32_MAX / 2, memory_order_relaxed);
}

bool process_has_threads(void)
{
	return atomic_load_explicit(&threads, memory_order_relaxed) != 0;
}

void process_after_fork(void)
{
	atomic_store(&threads, 0);
	atomic_store(&leaving, false);
	atomic_store(&serving_here, false);
	atomic_store(&first_ended, false);
}

/* ---- exit ---- */

/* A forked child does not wait, unless it is the one that exports: what it wrote stays for the others. */
static bool exports_at_exit(void)
{
	struct segment_header *header = output_segment()->header;

	if (!fork_made_us())
		return true;
	if (output_is_stood_by(header))
		return helper_is_running() || output_is_our_turn(header);
	if (!helper_is_running())
		return !segment_has_others(output_segment());
	atomic_store(&header->standby_wanted, 1);
	return true;
}

void engine_exiting(void)
{
	if (!guard_is_on() || thread_is_borrowed())
		return;
	fork_notice();
	if (atomic_exchange(&leaving, true))
		return;
	guard_depth = 1; /* nothing that happens from here on is the program's work */
	if (exchange_high_water() > 0)
		conn_end_all(clock_monotonic_ns());
	if (!process_is_sandboxed())
		watcher_stop();
	if (!output_is_ready())
		return;
	stats_settle();
	/* In a sandbox nobody can be woken or waited for: the helper, or whoever drains next, has it from the segment. */
	if (process_is_sandboxed())
		return;
	if (output_exports_here() && exports_at_exit()) {
		helper_flush(output_segment(), FLUSH_MS);
		output_stop();
	}
	segment_leave(output_segment());
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

/*
 * A CGI program has the head of its request in its environment: there is the server's span, where the server could name it, or the
 * caller's, where the server is not traced. Whether its peer is one to be obeyed cannot be asked here.
 */
static const char *parent_named(char *const envp[])
{
	const char *text = environment_value(envp, "TRACEPARENT"), *gateway = environment_value(envp, "GATEWAY_INTERFACE");

	atomic_store(&cgi, gateway && strncmp(gateway, "CGI/", 4) == 0);
	if (!text && atomic_load(&cgi) && config_is(config.trust_from, "*"))
		text = environment_value(envp, "HTTP_TRACEPARENT");
	return text;
}

static void adopt_environment(char *const envp[])
{
	const char *text = parent_named(envp);
	struct trace_parent p;

	if (!text || !traceparent_parse(slice(text, strnlen(text, 256)), &p))
		return;
	environment_parent = (struct context){.flags = p.flags, .remote = true};
	memcpy(environment_parent.trace_id, p.trace_id, 16);
	memcpy(environment_parent.span_id, p.span_id, 8);
}

int process_start(char *const argv[], char *const envp[])
{
	arguments = argv;
	adopt_environment(envp);
	output_start();
	return fork_start();
}
