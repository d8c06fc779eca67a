/* SPDX-License-Identifier: Apache-2.0 */
/* Start and stop of the shim: the only constructor, and the order of everything in one function. */
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "shim/blocks.h"
#include "shim/channel.h"
#include "shim/config.h"
#include "shim/conn.h"
#include "shim/coroutine.h"
#include "shim/engine.h"
#include "shim/error_stack.h"
#include "shim/exchange.h"
#include "shim/filter.h"
#include "shim/forwarder.h"
#include "shim/head_memos.h"
#include "shim/ids.h"
#include "shim/log.h"
#include "shim/loop.h"
#include "shim/process.h"
#include "shim/propagation.h"
#include "shim/real.h"
#include "shim/runtime.h"
#include "shim/sampler.h"
#include "shim/self.h"
#include "shim/span.h"
#include "shim/thread.h"
#include "shim/watch.h"

_Atomic bool guard_enabled;

#define RUNTIME(name) extern const struct runtime runtime_##name;
#include "hooks/runtimes/runtimes.def"
#undef RUNTIME

static void register_runtimes(void)
{
#define RUNTIME(name) runtime_register(&runtime_##name);
#include "hooks/runtimes/runtimes.def"
#undef RUNTIME
}

static void warn_setting(const char *name, const char *value, const char *problem)
{
	log_line(LOG_WARN, "%s=%s: %s", name, value, problem);
}

static void warn_if(const char *problem)
{
	if (problem)
		log_line(LOG_WARN, "%s", problem);
}

static void read_settings(char *const envp[])
{
	(void)config_read(&config, envp, warn_setting);
	log_start(config.log_level, config.log_file);
	warn_if(sampler_start());
	warn_if(propagation_start());
	filter_start(warn_setting);
	forwarder_start();
	span_start();
}

static int reserve_memory(void)
{
	int err = fdtable_start();

	err = err ? err : blocks_start();
	err = err ? err : conn_start();
	err = err ? err : head_memos_start();
	err = err ? err : exchange_start();
	err = err ? err : loop_start();
	err = err ? err : watch_start();
	err = err ? err : coroutine_start();
	err = err ? err : channel_start();
	return err ? err : thread_start();
}

__attribute__((constructor)) static void start(int argc, char **argv, char **envp)
{
	(void)argc;
	real_resolve();
	self_start();
	if (getauxval(AT_SECURE) || !self_is_first())
		return;
	read_settings(envp ? envp : environ);
	if (config.sdk_disabled)
		return;
	ids_start();
	(void)thread_tid(thread_self());
	if (reserve_memory() != 0 || process_start(argv, envp ? envp : environ) != 0) {
		log_line(LOG_ERROR, "no address space for interspan's tables; nothing is traced in this process");
		return;
	}
	error_stack_start();
	register_runtimes();
	engine_module_loaded();
	atomic_store(&guard_enabled, true);
}

__attribute__((destructor)) static void stop(void)
{
	engine_exiting();
}
