/* SPDX-License-Identifier: Apache-2.0 */
/* Name resolution as a span, when INTERSPAN_DNS asks for it: "DNS lookup NAME", an internal span under the current context. */
#include <netdb.h>

#include "shim/clock.h"
#include "shim/config.h"
#include "shim/engine.h"
#include "shim/exchange.h"
#include "shim/rules.h"
#include "shim/span.h"
#include "shim/stats.h"
#include "shim/thread.h"

bool engine_wants_resolutions(void)
{
	return guard_is_on() && guard_depth == 0 && config.dns;
}

static const char *error_text(int error)
{
	switch (error) {
	case 0:
		return NULL;
	case EAI_NONAME:
		return "host_not_found";
	case EAI_AGAIN:
		return "try_again";
	case EAI_FAIL:
		return "no_recovery";
	default:
		return "resolver_error";
	}
}

static void resolved(const char *name, uint64_t start_ns, int error)
{
	struct exchange *e = exchange_begin(EXCHANGE_CLIENT);
	struct context parent;
	bool known;

	if (!e)
		return;
	known = rules_current(thread_self(), &parent);
	e->start_ns = start_ns;
	exchange_identify(e, known ? &parent : NULL);
	e->counted = true;
	e->recorded = e->context.flags & TRACE_FLAG_SAMPLED;
	stats_count(STAT_STARTED);
	if (e->recorded) {
		span_open(e, SPAN_INTERNAL);
		span_parent(e, known ? &parent : NULL,
			    known ? EVIDENCE_THREAD : exchange_open_count() ? EVIDENCE_AMBIGUOUS : EVIDENCE_ROOT);
		span_name(e, slice("DNS lookup", 10), slice(name, strlen(name)));
		span_string(e, ATTR_DNS_QUESTION_NAME, slice(name, strlen(name)));
	}
	exchange_end(e, clock_monotonic_ns(), error_text(error));
}

void engine_resolved(const char *name, uint64_t start_ns, int error)
{
	if (name && engine_wants_resolutions())
		OBSERVE(resolved(name, start_ns, error));
}
