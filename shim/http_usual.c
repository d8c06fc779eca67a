/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/http_usual.h"

#include "shim/span.h"

bool http_usual_add(struct exchange *e, const struct conn *c, const struct http_usual *u)
{
	return c->usual.n > 0 && c->usual.tls == c->tls && c->usual.http_major == c->http_major &&
	       slice_equal(u->method, slice(c->usual.method, c->usual.method_len)) &&
	       slice_equal(u->host, slice(c->usual.host, c->usual.host_len)) &&
	       slice_equal(u->agent, slice(c->usual.items + c->usual.agent, c->usual.agent_len)) &&
	       span_items(e, c->usual.items, c->usual.len, c->usual.n);
}

/* Whole texts only: one that was cut would be taken for another. An empty agent is not the same as none. */
static bool fits(const struct conn *c, const struct http_usual *u, size_t len)
{
	return u->host.len <= sizeof(c->usual.host) && u->method.len <= sizeof(c->usual.method) &&
	       len <= sizeof(c->usual.items) && !(u->agent.p && u->agent.len == 0) && u->agent.len <= span_limits.whole;
}

void http_usual_keep(const struct exchange *e, struct conn *c, const struct http_usual *u, const struct http_usual_mark *mark)
{
	size_t len = (size_t)(e->record.at - mark->from);

	if (!fits(c, u, len) || e->record.record->dropped_attrs)
		return;
	if (u->host.len > 0)
		memcpy(c->usual.host, u->host.p, u->host.len);
	memcpy(c->usual.method, u->method.p, u->method.len);
	memcpy(c->usual.items, mark->from, len);
	c->usual.tls = c->tls;
	c->usual.http_major = c->http_major;
	c->usual.host_len = (uint8_t)u->host.len;
	c->usual.method_len = (uint8_t)u->method.len;
	c->usual.agent = (uint16_t)(mark->agent - mark->from + (ptrdiff_t)sizeof(struct record_item));
	c->usual.agent_len = (uint16_t)u->agent.len;
	c->usual.len = (uint16_t)len;
	c->usual.n = (uint8_t)(e->n_attributes - mark->n);
}
