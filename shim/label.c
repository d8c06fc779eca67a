/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/label.h"

#include <string.h>

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

static enum label_state resolve_connection(const struct label *l, struct context *ret)
{
	struct handle open = HANDLE_NONE;

	switch (conn_request(l->connection, &open, ret)) {
	case CONN_REQUEST_NEVER:
		return LABEL_STATE_NONE;
	case CONN_REQUEST_OPEN:
		return exchange_context(open, ret) ? LABEL_STATE_OPEN : LABEL_STATE_UNKNOWN;
	case CONN_REQUEST_OVER:
		if (!context_is_valid(&l->context) || memcmp(l->after, ret->span_id, sizeof(l->after)) != 0)
			return LABEL_STATE_OVER;
		*ret = l->context;
		return LABEL_STATE_TRACE;
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
		return resolve_connection(l, ret);
	default:
		return LABEL_STATE_UNKNOWN;
	}
}

static void derive_from_connection(const struct label *l, struct label *ret)
{
	struct context c;

	switch (label_resolve(l, &c)) {
	case LABEL_STATE_OPEN:
	case LABEL_STATE_OVER:
	case LABEL_STATE_TRACE:
		*ret = label_snapshot(&c);
		ret->connection = l->connection;
		break;
	case LABEL_STATE_UNKNOWN:
		*ret = (struct label){.kind = LABEL_UNKNOWN};
		break;
	case LABEL_STATE_NONE:
		break;
	}
}

void label_derive(const struct label *l, struct label *ret)
{
	*ret = *l;
	if (l->kind == LABEL_CONNECTION)
		derive_from_connection(l, ret);
	else if (l->kind == LABEL_CONTEXT && conn_has_pipelined(l->connection) && !handle_is_none(l->context.exchange))
		*ret = (struct label){.kind = LABEL_UNKNOWN};
}

void label_adopt(struct label *l, const struct context *trace)
{
	struct handle unused;
	struct context last;

	if (l->kind != LABEL_CONNECTION) {
		*l = label_snapshot(trace);
	} else if (conn_request(l->connection, &unused, &last) == CONN_REQUEST_OVER) {
		l->context = *trace;
		memcpy(l->after, last.span_id, sizeof(l->after));
	}
}

bool label_same(const struct label *a, const struct label *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == LABEL_CONNECTION)
		return handle_equal(a->connection, b->connection);
	return a->kind != LABEL_CONTEXT || (memcmp(a->context.span_id, b->context.span_id, 8) == 0 &&
					    memcmp(a->context.trace_id, b->context.trace_id, 16) == 0);
}
