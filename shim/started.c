/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/started.h"

#include "shim/engine.h"
#include "shim/exchange.h"
#include "shim/thread.h"

struct started started_now(void)
{
	return (struct started){.requests = exchange_requests(), .among_others = exchange_open_count() > 1};
}

bool started_may_serve_others(const struct started *s)
{
	return s->slept && (s->among_others || exchange_requests() != s->requests);
}

void engine_sleeping(void)
{
	thread_self()->started.slept = true;
}
