/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/stream.h"

#include <errno.h>

#include "shim/head_memos.h"
#include "shim/ownership.h"

void stream_start(struct conn *c)
{
	http1_start(&c->in, c->role == CONN_SERVER ? HTTP1_REQUEST : HTTP1_RESPONSE);
	http1_start(&c->out, c->role == CONN_SERVER ? HTTP1_RESPONSE : HTTP1_REQUEST);
	head_memos_lend(c);
}

int stream_step_with_carry(struct http1_stream *s, struct slice in, struct http1_event *ret)
{
	size_t need = s->carry_len + in.len < HTTP1_MAX_HEAD ? s->carry_len + in.len : HTTP1_MAX_HEAD;
	uint32_t cap;
	uint8_t *block = block_take(need, &cap), *old = s->carry;

	if (!block)
		return -ENOBUFS;
	http1_lend(s, block, cap);
	block_give(old);
	return http1_feed(s, in, ret);
}

void stream_announce(const struct conn *c, struct http1_stream *s)
{
	const struct exchange *e = conn_oldest(c);

	if (e && s->state <= HTTP1_IN_HEAD)
		http1_expect(s, e->method == METHOD_HEAD, e->method == METHOD_CONNECT);
}

void stream_settle_shared(struct conn *c)
{
	for (struct exchange *e = conn_oldest(c); e; e = e->next) {
		if (!e->shared)
			continue;
		if (!ownership_claim(e->ownership)) {
			conn_forget_exchanges(c);
			conn_give_up(c);
			return;
		}
		e->shared = false;
		e->ownership = 0;
	}
}
