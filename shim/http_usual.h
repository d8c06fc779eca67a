/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/conn.h"
#include "shim/exchange.h"
#include "shim/protocols/http1.h"

/*
 * The name of a span and the attributes that say who talks to whom, and how, are the same for most requests of a connection: they are
 * kept with it as they stand in the record. Of plain requests only: nothing in their heads but the fields below changes any of them.
 */

/* What they depend on, beside the connection. */
struct http_usual {
	struct slice method, host, agent; /* agent .p NULL: none, or not recorded */
};

/* How far a record was when they began to be added. */
struct http_usual_mark {
	const uint8_t *from, *agent; /* agent: the item of the User-Agent, where there is one */
	uint32_t n;                  /* attributes */
};

static inline struct http_usual http_usual_of(const struct http1_head *head, bool with_agent)
{
	return (struct http_usual){head->method, http1_kept(head, HTTP1_HOST),
				   with_agent ? http1_kept(head, HTTP1_USER_AGENT) : SLICE_NONE};
}

static inline struct http_usual_mark http_usual_mark(const struct exchange *e)
{
	return (struct http_usual_mark){e->record.at, e->record.at, e->n_attributes};
}

/* Add what is kept. False: it is of another request, and nothing was added. */
bool http_usual_add(struct exchange *e, const struct conn *c, const struct http_usual *u);
/* Keep what was added since the mark. */
void http_usual_keep(const struct exchange *e, struct conn *c, const struct http_usual *u, const struct http_usual_mark *mark);
