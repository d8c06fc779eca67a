/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/context.h"

/*
 * What a carrier says of whose work it is. Carriers are a runtime's task, a work item, a coroutine, the bytes in a pipe:
 * whatever the program moves between its threads and resumes later. A label is fixed when its carrier is made and is a
 * value: copied, never shared.
 */
enum label_kind {
	LABEL_UNKNOWN = 0, /* cannot tell: never a parent */
	LABEL_NONE,        /* known to be nobody's: a root */
	LABEL_CONTEXT,     /* a snapshot: that context, for good */
	LABEL_CONNECTION,  /* made for a connection with no request open on it: whatever request is, when asked */
};

struct label {
	uint8_t kind;
	struct handle connection; /* LABEL_CONNECTION; LABEL_CONTEXT: where that request came from, or none */
	struct context context;   /* LABEL_CONTEXT; without an exchange: the trace that detached work began */
	uint8_t after[8];         /* LABEL_CONNECTION: that trace is for what follows the request with this span, until the next request */
};

enum label_state {
	LABEL_STATE_UNKNOWN,
	LABEL_STATE_NONE,
	LABEL_STATE_OPEN,  /* the context's exchange is open */
	LABEL_STATE_OVER,  /* it has ended: work of this label is detached */
	LABEL_STATE_TRACE, /* a trace that detached work began: the context is the parent, with no exchange */
};

/* What a label means now. ret: the context, for OPEN, OVER and TRACE. Any thread, async-signal-safe. */
enum label_state label_resolve(const struct label *l, struct context *ret);

/*
 * The label of a carrier that is made by one with label l: a snapshot, where a request is open. Where one connection has
 * brought several requests at once (pipelining), servers start the next one from what served the last: unknown.
 */
void label_derive(const struct label *l, struct label *ret);
/* Work of this label is detached and has begun a trace of its own. */
void label_adopt(struct label *l, const struct context *trace);

/* Do both say the same? */
bool label_same(const struct label *a, const struct label *b);

static inline struct label label_snapshot(const struct context *c)
{
	return (struct label){.kind = LABEL_CONTEXT, .context = *c};
}

static inline struct label label_reference(struct handle connection)
{
	return (struct label){.kind = LABEL_CONNECTION, .connection = connection};
}
