/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that the program received. They are parsed as they came; then, in the program's buffer, the head of a request may be
 * stamped: its traceparent rewritten to name our span, or one inserted where the caller's buffer has room for it. Reads are
 * never shortened or held back.
 */
#include <errno.h>

#include "shim/blocks.h"
#include "shim/channel.h"
#include "shim/client.h"
#include "shim/conn.h"
#include "shim/engine.h"
#include "shim/forwarder.h"
#include "shim/iov.h"
#include "shim/ownership.h"
#include "shim/propagation.h"
#include "shim/protocols/proxy_preface.h"
#include "shim/protocols/tracecontext.h"
#include "shim/runtime.h"
#include "shim/server.h"
#include "shim/stats.h"
#include "shim/stream.h"
#include "shim/thread.h"

#define STAMP_FIELDS_MAX 64
#define STAMP_IOVECS_MAX 8
#define STAMP_NAME "traceparent: "
#define STAMP_LEN (sizeof(STAMP_NAME) - 1 + TRACEPARENT_LEN + 2)

/* One read in progress. */
struct reading {
	struct conn *c;
	int fd;
	const struct iovec *iov;
	int iovcnt;
	size_t n;              /* bytes read */
	size_t base;           /* offset of the piece that is being parsed */
	struct slice piece;
	bool may_stamp;        /* the program has not seen these bytes yet, and no head of this read was stamped */
	bool inserting;        /* the stamp is to be inserted at insert_at, once all is parsed */
	size_t insert_at;
	uint64_t begun_ns;     /* when the last request of this read began; 0: none did */
	uint8_t insert[STAMP_LEN];
	struct http1_event ev; /* of the step under way */
};

/* Steps of one path, which every read goes along: calls between them would cost more than they do. */
#define STEP static inline __attribute__((always_inline))

/* ---- stamping ---- */

static void rewrite_in_place(struct reading *r, struct exchange *e, const struct http1_event *ev)
{
	struct slice value = http1_kept(&ev->head, HTTP1_TRACEPARENT);
	size_t from_end = ev->head.whole.len - (size_t)(value.p - ev->head.whole.p), end = r->base + ev->used;
	uint8_t text[TRACEPARENT_LEN];

	/* A head that began in an earlier read: only what is in this one can still be changed. */
	if (value.len != TRACEPARENT_LEN || from_end > end || !conn_is_socket(r->c, r->fd))
		return;
	traceparent_format(text, e->context.trace_id, e->context.span_id, e->context.flags);
	iov_copy_in(r->iov, r->iovcnt, end - from_end, text, sizeof(text));
	e->stamped = true;
	r->may_stamp = false;
	stats_count(STAT_STAMP_REWRITTEN);
}

static void plan_insertion(struct reading *r, struct exchange *e, const struct http1_event *ev)
{
	size_t blank_line = ev->head.whole.len - ev->head.blank, end = r->base + ev->used;

	if (ev->head.n_fields >= STAMP_FIELDS_MAX || r->iovcnt > STAMP_IOVECS_MAX || blank_line > end)
		return;
	if (r->n + STAMP_LEN > iov_total(r->iov, r->iovcnt)) {
		stats_count(STAT_STAMP_NO_ROOM);
		return;
	}
	if (!conn_is_socket(r->c, r->fd))
		return;
	r->inserting = true;
	r->insert_at = end - blank_line;
	memcpy(r->insert, STAMP_NAME, sizeof(STAMP_NAME) - 1);
	traceparent_format(r->insert + sizeof(STAMP_NAME) - 1, e->context.trace_id, e->context.span_id,
			   e->context.flags);
	memcpy(r->insert + STAMP_LEN - 2, "\r\n", 2);
	e->stamped = e->inserted = true;
	r->may_stamp = false;
	stats_count(STAT_STAMP_INSERTED);
}

/* The head may be edited as far as it is ours to say; it must be worth it, too. */
static __attribute__((noinline)) void stamp(struct reading *r, struct exchange *e, const struct http1_event *ev)
{
	if (ev->head.n_kept[HTTP1_TRACEPARENT] == 1 && context_is_valid(&e->incoming) && forwarder_may_rewrite())
		rewrite_in_place(r, e, ev);
	else if (ev->head.n_kept[HTTP1_TRACEPARENT] == 0 && forwarder_may_insert())
		plan_insertion(r, e, ev);
}

static inline bool may_stamp(const struct reading *r, const struct exchange *e, const struct http1_head *head)
{
	if (!r->may_stamp || !e->counted || head->signs_context || !propagation_has(PROPAGATE_TRACECONTEXT))
		return false;
	return head->n_kept[HTTP1_TRACEPARENT] > 0 || forwarder_may_insert();
}

/* ---- events ---- */

STEP void on_head(struct reading *r, struct conn *c)
{
	struct exchange *e;

	if (c->role == CONN_CLIENT) {
		client_response(c, &r->ev.head);
		return;
	}
	e = server_request(c, &r->ev.head);
	if (!e)
		return;
	r->begun_ns = e->start_ns;
	if (may_stamp(r, e, &r->ev.head))
		stamp(r, e, &r->ev);
}

static void on_body(const struct conn *c)
{
	const struct exchange *e = c->role == CONN_SERVER ? conn_newest(c) : NULL;

	if (e)
		thread_stimulated(thread_self(), exchange_handle(e));
}

STEP void message_is_over(struct conn *c)
{
	if (c->role == CONN_SERVER) {
		server_request_done(c, c->in.body_bytes);
		return;
	}
	if (c->in.framing == HTTP1_TUNNEL)
		http1_tunnel(&c->out);
	client_response_done(c, c->in.body_bytes);
}

/* Bytes that one step took; 0: none can be taken, for good. */
STEP size_t parse_step(struct reading *r, struct conn *c)
{
	if (c->role == CONN_CLIENT)
		stream_announce(c, &c->in);
	if (stream_step(&c->in, r->piece, &r->ev) != 0) {
		conn_give_up(c);
		return 0;
	}
	if (r->ev.type == HTTP1_HEAD)
		on_head(r, c);
	else if (r->ev.type == HTTP1_BODY)
		on_body(c);
	return r->ev.used;
}

STEP void parse_piece(struct reading *r, struct conn *c)
{
	size_t n;

	for (;;) {
		if (http1_take_end(&c->in))
			message_is_over(c);
		if (r->piece.len == 0 || c->opaque)
			break;
		n = http1_take_body(&c->in, r->piece.len);
		if (n > 0)
			on_body(c);
		else if (n = parse_step(r, c), n == 0)
			return;
		r->piece = slice(r->piece.p + n, r->piece.len - n);
		r->base += n;
	}
	stream_give_back(&c->in);
}

/* A PROXY preface may stand before the first request (HAProxy's proxy-protocol.txt). Whole, or it is not followed. */
static __attribute__((noinline)) void skip_preface(struct reading *r)
{
	struct proxy_preface p;
	long len;

	r->c->preface_in = true;
	len = proxy_preface_parse(r->piece, &p);
	if (len <= 0)
		return; /* not one; or cut, which the request parser will refuse */
	r->base += (size_t)len;
	r->piece = slice_from(r->piece, (size_t)len);
	if (p.local || p.family == 0)
		return;
	r->c->original.family = p.family;
	r->c->original.port = p.source_port;
	memcpy(r->c->original.addr, p.source, 16);
}

static __attribute__((noinline)) void parse_others(struct reading *r)
{
	size_t done = r->iov[0].iov_len;

	for (int i = 1; i < r->iovcnt && done < r->n && !r->c->opaque; i++) {
		size_t len = r->iov[i].iov_len < r->n - done ? r->iov[i].iov_len : r->n - done;

		r->piece = slice(r->iov[i].iov_base, len);
		r->base = done;
		if (len > 0)
			parse_piece(r, r->c);
		done += len;
	}
}

STEP void parse_all(struct reading *r, struct conn *c)
{
	bool more = r->iov[0].iov_len < r->n;

	r->piece = slice(r->iov[0].iov_base, more ? r->iov[0].iov_len : r->n);
	r->base = 0;
	if (__builtin_expect(!c->preface_in && c->role == CONN_SERVER, 0))
		skip_preface(r);
	parse_piece(r, c);
	if (__builtin_expect(more, 0))
		parse_others(r);
}

/* ---- the ends ---- */

static const char *error_text(int error)
{
	switch (error) {
	case ECONNRESET:
		return "connection_reset";
	case EPIPE:
		return "broken_pipe";
	case ETIMEDOUT:
		return "timeout";
	case ECONNREFUSED:
		return "connection_refused";
	case EHOSTUNREACH:
	case ENETUNREACH:
		return "host_unreachable";
	default:
		return "socket_error";
	}
}

void stream_failed(struct conn *c, int error)
{
	if (error == EAGAIN || error == EINTR || error == EINPROGRESS || error == EALREADY)
		return;
	c->error = error_text(error);
	c->peer_gone = true;
	if (c->role == CONN_CLIENT) {
		client_stimulated(c);
		conn_end_exchanges(c, c->error);
		conn_release_opener(c);
	}
}

/* The peer sends no more. On a server connection that is no failure yet: it may still read our answer. */
static void peer_closed(struct conn *c)
{
	struct exchange *e = conn_oldest(c);
	struct http1_event ev;

	c->peer_gone = true;
	if (c->role == CONN_SERVER) {
		if (e)
			thread_stimulated(thread_self(), exchange_handle(e));
		return;
	}
	client_stimulated(c);
	if (e && http1_eof(&c->in, &ev) == 0 && ev.type == HTTP1_END)
		client_response_done(c, c->in.body_bytes);
	conn_end_exchanges(c, "connection_closed");
	conn_release_opener(c);
}

/* ---- entry ---- */

/* Nothing was read, or the bytes stay, or they were thrown away unseen. */
static __attribute__((noinline)) void received_nothing(struct conn *c, size_t room, int flags, ssize_t n, int error)
{
	if (flags & (MSG_PEEK | MSG_OOB)) {
		if ((flags & MSG_PEEK) && n > 0 && (size_t)n > c->peeked)
			c->peeked = (size_t)n;
		return;
	}
	stream_settle_ownership(c);
	if (n > 0) {
		conn_give_up(c);
		if (c->role == CONN_CLIENT)
			client_stimulated(c);
	} else if (n < 0) {
		stream_failed(c, error);
	} else if (room > 0) {
		peer_closed(c);
	}
	runtime_received(thread_self(), c);
}

static __attribute__((noinline)) void insert(const struct reading *r)
{
	iov_open_gap(r->iov, r->iovcnt, r->insert_at, r->n, STAMP_LEN);
	iov_copy_in(r->iov, r->iovcnt, r->insert_at, r->insert, STAMP_LEN);
}

/* c is entered, and left on return. */
STEP ssize_t received(struct conn *c, int fd, const struct iovec *iov, int iovcnt, ssize_t n)
{
	struct reading r;

	stream_settle_ownership(c);
	r.c = c;
	r.fd = fd;
	r.iov = iov;
	r.iovcnt = iovcnt;
	r.n = (size_t)n;
	r.begun_ns = 0;
	r.inserting = false;
	r.may_stamp = c->role == CONN_SERVER && c->peeked == 0;
	if (__builtin_expect(c->peeked > 0, 0))
		c->peeked -= r.n < c->peeked ? r.n : c->peeked;
	if (c->role == CONN_CLIENT && !c->opaque)
		client_stimulated(c);
	if (!c->opaque)
		parse_all(&r, c);
	if (__builtin_expect(r.inserting, 0)) {
		insert(&r);
		n += (ssize_t)STAMP_LEN;
	}
	runtime_received(thread_self(), c);
	conn_leave(c);
	if (r.begun_ns)
		conn_sweep(r.begun_ns);
	return n;
}

/* A wake-up or a timer: on whose behalf is not known. */
static void other_received(fd_word word, const struct iovec *iov, int iovcnt, size_t n)
{
	if (fdtable_kind_of(word) == FD_PIPE)
		channel_read(thread_self(), fdtable_object(word), iov, iovcnt, n);
	else if (fdtable_kind_of(word) == FD_TIMER)
		channel_timer_read(thread_self(), fdtable_object(word));
	thread_stimulated(thread_self(), HANDLE_NONE);
	runtime_received(thread_self(), NULL);
}

static __attribute__((noinline)) ssize_t received_elsewhere(int fd, ssize_t n)
{
	if (n > 0 && guard_is_on() && !guard_is_away()) {
		stats_count(STAT_REENTERED);
		conn_missed(fd);
	}
	return n;
}

ssize_t engine_received(int fd, const struct iovec *iov, int iovcnt, int flags, ssize_t n)
{
	fd_word word = fdtable_word(fd);
	enum fd_kind kind = fdtable_kind_of(word);
	int errno_saved = errno;
	struct conn *c;

	if (kind == FD_UNKNOWN || (n < 0 && (errno_saved == EAGAIN || errno_saved == EINTR)))
		return n;
	if (!guard_enter())
		return received_elsewhere(fd, n);
	if (kind != FD_CONNECTION) {
		if (n > 0 && !(flags & MSG_PEEK))
			other_received(word, iov, iovcnt, (size_t)n);
	} else if ((c = conn_enter_as(fd, word)) != NULL) {
		if (!c->opaque && n > 0 && !(flags & (MSG_PEEK | MSG_OOB | MSG_TRUNC))) {
			n = received(c, fd, iov, iovcnt, n);
		} else {
			if (!c->opaque)
				received_nothing(c, iov_total(iov, iovcnt), flags, n, errno_saved);
			conn_leave(c);
		}
	}
	errno = errno_saved;
	guard_leave();
	return n;
}

static void received_unseen(int fd, ssize_t n)
{
	fd_word word;
	struct conn *c = n > 0 ? conn_enter(fd, &word) : NULL;
	struct http1_event ev;

	if (!c)
		return;
	stream_settle_ownership(c);
	if (c->role == CONN_CLIENT)
		client_stimulated(c);
	if (http1_skip(&c->in, (uint64_t)n, &ev) != 0) {
		conn_give_up(c);
	} else {
		if (http1_take_end(&c->in)) /* that was its last byte */
			message_is_over(c);
		stream_give_back(&c->in);
	}
	conn_leave(c);
}

void engine_received_unseen(int fd, ssize_t n)
{
	if (engine_watches(fd))
		OBSERVE(received_unseen(fd, n));
}
