/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/engine_fixture.h"

#include "shim/blocks.h"
#include "shim/config.h"
#include "shim/conn.h"
#include "shim/exchange.h"
#include "shim/fdtable.h"
#include "shim/filter.h"
#include "shim/forwarder.h"
#include "shim/guard.h"
#include "shim/ids.h"
#include "shim/loop.h"
#include "shim/process.h"
#include "shim/propagation.h"
#include "shim/sampler.h"
#include "shim/span.h"
#include "shim/thread.h"

_Atomic bool guard_enabled;

static void no_warning(const char *name, const char *value, const char *problem)
{
	fail_msg("setting %s=%s: %s", name, value, problem);
}

void engine_up(const char *const settings[])
{
	char *envp[32] = {"OTEL_TRACES_EXPORTER=none", "INTERSPAN_EXPORTER_MODE=agent"};

	for (size_t i = 0; settings && settings[i] && i < 28; i++)
		envp[2 + i] = (char *)(uintptr_t)settings[i];
	assert_int_equal(config_read(&config, envp, no_warning), 0);
	assert_null(sampler_start());
	assert_null(propagation_start());
	filter_start(no_warning);
	forwarder_start();
	span_start();
	ids_start();
	assert_int_equal(fdtable_start() | blocks_start() | conn_start() | exchange_start() | loop_start() |
				 thread_start() | process_start(envp),
			 0);
	atomic_store(&guard_enabled, true);
}
