/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/label.h"

#include "shim/conn.h"
#include "shim/exchange.h"

static enum label_state resolve_snapshot(const struct context *c, struct context *ret)
{
	*ret = *c;
	if (!context_is_valid(c))
		return LABEL_STATE_UNKNOWN;
	if (handle_is_none(c->exchange))
		return LABEL_STATE_TRACE;
	return exchange_is_open(c->exchange) ? LABEL_STATE_OPEN : LABEL_STATE_OVER;
}

static enum label_state resolve_connection(struct handle connection, struct context *ret)
{
	struct handle open = HANDLE_NONE;

	switch (conn_request(connection, &open, ret)) {
	case CONN_REQUEST_NEVER:
		return LABEL_STATE_NONE;
	case CONN_REQUEST_OPEN:
		return exchange_context(open, ret) ? LABEL_STATE_OPEN : LABEL_STATE_UNKNOWN;
	case CONN_REQUEST_OVER:
		return LABEL_STATE_OVER;
	case CONN_REQUEST_SEVERAL:
	case CONN_REQUEST_GONE:
		break;
	}
	return LABEL_STATE_UNKNOWN;
}

enum label_state label_resolve(const struct label *l, struct context *ret)
{
	switch (l->kind) {
	case LABEL_NONE:
		return LABEL_STATE_NONE;
	case LABEL_CONTEXT:
		return resolve_snapshot(&l->context, ret);
	case LABEL_CONNECTION:
		return resolve_connection(l->connection, ret);
	default:
		return LABEL_STATE_UNKNOWN;
	}
}

void label_derive(const struct label *l, struct label *ret)
{
	struct context c;
	enum label_state state;

	*ret = *l;
	if (l->kind != LABEL_CONNECTION)
		return;
	state = label_resolve(l, &c);
	if (state == LABEL_STATE_OPEN)
		*ret = label_snapshot(&c);
	else if (state == LABEL_STATE_UNKNOWN)
		*ret = (struct label){.kind = LABEL_UNKNOWN};
}
