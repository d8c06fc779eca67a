/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <errno.h>

#include "shim/blocks.h"
#include "shim/conn.h"

/* What receiving and sending share. c is entered. */

/* http1_feed(), with memory lent where a head comes in pieces, and taken back where it is no longer needed.
 * Non-zero: this connection cannot be followed. */
static inline int stream_step(struct http1_stream *s, struct slice in, struct http1_event *ret);
/* No more steps for now: memory that was lent is taken back, unless it holds part of a head. */
static inline void stream_give_back(struct http1_stream *s)
{
	if (__builtin_expect(s->carry != NULL, 0))
		block_give(http1_take_back(s));
}
/* The two directions of a new connection, whose role is known. */
void stream_start(struct conn *c);
/* What the next response head on s answers must be known before it is parsed. */
void stream_announce(const struct conn *c, struct http1_stream *s);
/* A real read or write failed with error. */
void stream_failed(struct conn *c, int error);
void stream_settle_shared(struct conn *c);
/* After a fork: I/O decides who owns the exchanges open here. The loser's copies are forgotten. */
static inline void stream_settle_ownership(struct conn *c)
{
	const struct exchange *e = conn_oldest(c);

	if (__builtin_expect(e && e->shared, 0))
		stream_settle_shared(c);
}

/* After -ENOBUFS. */
int stream_step_with_carry(struct http1_stream *s, struct slice in, struct http1_event *ret);

static inline int stream_step(struct http1_stream *s, struct slice in, struct http1_event *ret)
{
	int err;

	stream_give_back(s);
	err = http1_feed(s, in, ret);
	return __builtin_expect(err == -ENOBUFS, 0) ? stream_step_with_carry(s, in, ret) : err;
}
