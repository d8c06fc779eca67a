/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/runtimes/node.h"

#include <string.h>

#include "shim/carrier.h"
#include "shim/conn.h"
#include "shim/detached.h"
#include "shim/exchange.h"
#include "shim/runtime.h"
#include "shim/thread.h"

#define SCAN_MAX 4096

__thread struct node_shared *node_shared;
bool node_is_adapted;

void node_words_set(struct node_words *w, const struct context *c)
{
	w->kind = NODE_TASK;
	w->slot = c->exchange.slot;
	w->gen = c->exchange.gen;
	memcpy(w->trace_id, c->trace_id, sizeof(w->trace_id));
	memcpy(w->span_id, c->span_id, sizeof(w->span_id));
	w->flags = c->flags;
}

void node_words_get(const struct node_words *w, struct context *ret)
{
	*ret = (struct context){.flags = (uint8_t)w->flags, .exchange = {w->slot, w->gen}};
	memcpy(ret->trace_id, w->trace_id, sizeof(w->trace_id));
	memcpy(ret->span_id, w->span_id, sizeof(w->span_id));
}

/* Work of no task is nobody's only if each open request was given one: those of servers built on plain sockets were not. */
EXCHANGE_GLIMPSE static bool all_are_tasks(void)
{
	uint32_t last = exchange_high_water();

	for (uint32_t slot = 1; slot <= last && slot <= SCAN_MAX; slot++) {
		const struct exchange *e = exchange_at(slot);

		if (exchange_open_generation(slot) && e->role == EXCHANGE_SERVER && !e->handed_over)
			return false;
	}
	return last <= SCAN_MAX;
}

static bool is_nobodys(const struct node_shared *shared)
{
	if (exchange_requests() == 0)
		return true; /* a program that serves nobody works for itself */
	return shared->current.kind == NODE_NOBODY && all_are_tasks();
}

static enum runtime_answer current(struct thread *t, struct label *ret)
{
	struct node_shared *shared = node_shared;
	struct context c;

	(void)t;
	if (!shared)
		return node_is_adapted ? RUNTIME_CANNOT_TELL : RUNTIME_ABSENT;
	if (shared->current.kind == NODE_TASK) {
		shared->current.kind = NODE_SPENT;
		node_words_get(&shared->current, &c);
		if (!exchange_is_open(c.exchange))
			(void)detached_trace(c.span_id, &c);
		*ret = label_snapshot(&c);
		return RUNTIME_LABEL;
	}
	*ret = (struct label){.kind = LABEL_NONE};
	return is_nobodys(shared) ? RUNTIME_LABEL : RUNTIME_CANNOT_TELL;
}

static void adopt(struct thread *t, const struct label *label)
{
	const struct node_shared *shared = node_shared;

	(void)t;
	if (shared && shared->current.kind == NODE_SPENT)
		detached_began(shared->current.span_id, &label->context);
}

static void modules_loaded(void)
{
	static bool prepared;

	/* The first time is before main(). */
	if (!prepared)
		node_options_prepare();
	prepared = true;
}

const struct runtime runtime_node = {
	.name = "node",
	.announces = true,
	.modules_loaded = modules_loaded,
	.current = current,
	.adopt = adopt,
};
