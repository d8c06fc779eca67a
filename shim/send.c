/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that the program sends. They are followed after they are out, as they are: what the kernel took is what was sent. One
 * kind is looked at before: a request head on a client connection, because our headers go into it. The program is
 * told about its own bytes only; bytes of ours that a short write cut off are owed, and go before anything else.
 */
#include <errno.h>
#include <fcntl.h>

#include "shim/blocks.h"
#include "shim/client.h"
#include "shim/clock.h"
#include "shim/conn.h"
#include "shim/engine.h"
#include "shim/iov.h"
#include "shim/process.h"
#include "shim/propagation.h"
#include "shim/protocols/proxy_preface.h"
#include "shim/server.h"
#include "shim/stats.h"
#include "shim/stream.h"
#include "shim/sys_socket.h"
#include "shim/thread.h"

#define PIECES_MAX 40      /* of an edited send; one with more is sent as it is */
#define COPY_MAX 1536      /* up to this, one contiguous write is cheaper than a longer iovec */
#define PROGRAM_IOVECS_MAX 16

/* An edited send: the pieces that go out, in order, and how each counts towards what the program is told. */
struct piece {
	const uint8_t *p;
	size_t len;
	uint32_t told;   /* program bytes that a fully sent piece stands for: len for its own, what it replaces for ours */
	bool ours;
	uint8_t edit;    /* ours: index of the edit + 1; 0: owed bytes */
};

struct plan {
	struct piece piece[PIECES_MAX];
	unsigned n;
	uint8_t *block;    /* text of the edits, and room to join small sends */
	uint32_t block_cap;
	uint8_t *gathered; /* the head, where it is not contiguous in the program's memory */
	const uint8_t *flat; /* all of the program's bytes, where they were gathered as a whole; else NULL */
	struct http1_head head;
	size_t head_end;   /* where it ends in the program's bytes, if it is whole in the first of its iovecs; 0: it is not */
};

/* ---- planning ---- */

static void add_piece(struct plan *p, const uint8_t *bytes, size_t len, uint32_t told, bool ours, uint8_t edit)
{
	if (p->n < PIECES_MAX && (len > 0 || told > 0)) /* what finds no room makes the send shorter, as sends may be */
		p->piece[p->n++] = (struct piece){bytes, len, told, ours, edit};
}

/* The program's bytes [from, to) as pieces. */
static void add_program_bytes(struct plan *p, const struct sending *s, size_t from, size_t to)
{
	size_t start = 0;

	if (p->flat) {
		add_piece(p, p->flat + from, to - from, (uint32_t)(to - from), false, 0);
		return;
	}

	for (int i = 0; i < s->iovcnt && start < to; i++) {
		size_t end = start + s->iov[i].iov_len;
		size_t a = from > start ? from : start, b = to < end ? to : end;

		if (a < b)
			add_piece(p, (const uint8_t *)s->iov[i].iov_base + (a - start), b - a, (uint32_t)(b - a), false, 0);
		start = end;
	}
}

static bool in_head(const struct conn *c)
{
	return http1_is_idle(&c->out) || c->message_sent > 0;
}

/*
 * The head that these bytes complete, if they do, to p->head: in the program's memory where it is contiguous, else gathered.
 * *ret_before: bytes of it that are out already. False: incomplete or not HTTP.
 */
static bool find_head(struct conn *c, const struct sending *s, size_t skip, struct plan *p, size_t *ret_before)
{
	const struct iovec *first = &s->iov[0];
	uint32_t cap;
	size_t n, total;
	long len;

	*ret_before = c->out.carry_len;
	if (c->out.carry_len == 0 && first->iov_len > skip) {
		len = http1_parse_head(slice((const uint8_t *)first->iov_base + skip, first->iov_len - skip),
				       HTTP1_REQUEST, &p->head);
		p->head_end = len > 0 ? skip + (size_t)len : 0;
		if (len != 0 || s->iovcnt == 1)
			return len > 0;
	}
	total = iov_total(s->iov, s->iovcnt) - skip;
	if (total > HTTP1_MAX_HEAD - c->out.carry_len)
		total = HTTP1_MAX_HEAD - c->out.carry_len;
	p->gathered = block_take(c->out.carry_len + total, &cap);
	if (!p->gathered)
		return false;
	if (c->out.carry_len)
		memcpy(p->gathered, c->out.carry, c->out.carry_len);
	n = iov_copy_out(s->iov, s->iovcnt, skip, p->gathered + c->out.carry_len, total);
	if (skip == 0 && n == iov_total(s->iov, s->iovcnt))
		p->flat = p->gathered + c->out.carry_len;
	return http1_parse_head(slice(p->gathered, c->out.carry_len + n), HTTP1_REQUEST, &p->head) > 0;
}

static void plan_edits(struct conn *c, const struct sending *s, size_t skip, const struct http1_head *head,
		       size_t before, const struct exchange *e, struct plan *p)
{
	struct edit edits[EDITS_MAX];
	size_t at = 0, total = iov_total(s->iov, s->iovcnt);
	unsigned n;

	p->block = block_take(BLOCK_SMALL, &p->block_cap);
	if (!p->block)
		return;
	n = propagation_edits(e, head, edits, p->block);
	for (unsigned i = 0; i < n; i++) {
		size_t pos = edits[i].pos - before + skip;

		/* What is out already cannot be changed; what was put in already is not put in again. */
		if (edits[i].pos < before || c->edits_done & (1u << i))
			continue;
		add_program_bytes(p, s, at, pos);
		add_piece(p, edits[i].text, edits[i].len, edits[i].del, true, (uint8_t)(i + 1));
		at = pos + edits[i].del;
	}
	add_program_bytes(p, s, at, total);
}

/* A PROXY preface that this side sends first is no part of the head. */
static size_t preface_length(struct conn *c, const struct sending *s)
{
	struct proxy_preface preface;
	long len;

	if (c->preface_out || s->iovcnt < 1)
		return 0;
	c->preface_out = true;
	len = proxy_preface_parse(slice(s->iov[0].iov_base, s->iov[0].iov_len), &preface);
	return len > 0 ? (size_t)len : 0;
}

static bool can_edit(const struct sending *s, const struct plan *p)
{
	return !(s->flags & (MSG_ZEROCOPY | MSG_OOB | MSG_FASTOPEN)) && (s->iovcnt <= PROGRAM_IOVECS_MAX || p->flat);
}

/* Look at what the program is about to send; fill in pieces if it is to be edited (p->n > 0). */
static void make_plan(struct conn *c, const struct sending *s, struct plan *p)
{
	struct exchange *e;
	size_t before;

	if (c->role != CONN_CLIENT || !in_head(c))
		return;
	if (!c->preface_out)
		c->preface_left = (uint32_t)preface_length(c, s);

	size_t skip = c->preface_left;

	if (skip >= iov_total(s->iov, s->iovcnt) || !find_head(c, s, skip, p, &before))
		return;
	if (!c->begun) {
		e = client_request(c, &p->head, clock_monotonic_ns(), &c->edit_this);
		if (!e)
			return;
		c->begun = true;
		c->pending = exchange_handle(e).slot;
		c->edits_done = 0;
	}
	e = c->pending ? exchange_at(c->pending) : NULL;
	if (e && c->edit_this && can_edit(s, p) && conn_is_socket(c, s->fd))
		plan_edits(c, s, skip, &p->head, before, e, p);
}

/* Owed bytes go first; if nothing else is edited, the program's follow as they are. */
static void plan_owed(struct conn *c, const struct sending *s, struct plan *p)
{
	struct piece *all = p->piece;

	if (!c->owed)
		return;
	if (p->n == 0)
		add_program_bytes(p, s, 0, iov_total(s->iov, s->iovcnt));
	if (p->n == PIECES_MAX)
		p->n--; /* the send gets shorter, as sends may */
	for (unsigned i = p->n; i > 0; i--)
		all[i] = all[i - 1];
	all[0] = (struct piece){c->owed + c->owed_sent, (size_t)(c->owed_len - c->owed_sent), 0, true, 0};
	p->n++;
}

static void drop_plan(struct plan *p)
{
	block_give(p->block);
	block_give(p->gathered);
}

/* ---- transmitting ---- */

static ssize_t transmit_pieces(const struct sending *s, struct plan *p)
{
	struct iovec iov[PIECES_MAX];
	size_t total = 0;
	uint8_t *joined = p->block ? p->block + EDIT_TEXT_MAX : NULL;

	for (unsigned i = 0; i < p->n; i++)
		total += p->piece[i].len;
	if (joined && total <= COPY_MAX) {
		size_t at = 0;

		for (unsigned i = 0; i < p->n; i++) {
			memcpy(joined + at, p->piece[i].p, p->piece[i].len);
			at += p->piece[i].len;
		}
		iov[0] = (struct iovec){joined, at};
		return s->edited(s, iov, 1);
	}
	for (unsigned i = 0; i < p->n; i++)
		iov[i] = (struct iovec){(void *)(uintptr_t)p->piece[i].p, p->piece[i].len};
	return s->edited(s, iov, (int)p->n);
}

/* ---- accounting ---- */

static void owe(struct conn *c, const struct piece *piece, size_t sent)
{
	uint32_t cap;

	if (piece->edit == 0) {
		c->owed_sent = (uint16_t)(c->owed_sent + sent);
		return;
	}
	c->owed = block_take(BLOCK_SMALL, &cap);
	if (!c->owed) {
		/* The peer has half a header and we cannot keep the rest: only this connection's bytes suffer. */
		conn_give_up(c);
		return;
	}
	memcpy(c->owed, piece->p + sent, piece->len - sent);
	c->owed_len = (uint16_t)(piece->len - sent);
	c->owed_sent = 0;
	c->edits_done |= (uint8_t)(1u << (piece->edit - 1));
}

static void fully_sent(struct conn *c, const struct piece *piece)
{
	if (!piece->ours)
		return;
	if (piece->edit) {
		c->edits_done |= (uint8_t)(1u << (piece->edit - 1));
		return;
	}
	block_give(c->owed);
	c->owed = NULL;
	c->owed_len = c->owed_sent = 0;
}

/* n bytes of the pieces are out: how many of the program's own is that? */
static size_t account(struct conn *c, const struct plan *p, size_t n)
{
	size_t told = 0;

	for (unsigned i = 0; i < p->n; i++) {
		const struct piece *piece = &p->piece[i];

		if (n >= piece->len) {
			/* An edit of which nothing has to follow yet is done only when bytes were left for it. */
			if (piece->ours && piece->len > 0 && n == 0)
				break;
			n -= piece->len;
			told += piece->told;
			fully_sent(c, piece);
			continue;
		}
		if (n == 0)
			break;
		if (piece->ours) {
			told += piece->told;
			owe(c, piece, n);
		} else {
			told += n;
		}
		break;
	}
	return told;
}

/* ---- following what is out ---- */

static void response_is_over(struct conn *c)
{
	if (c->out.framing == HTTP1_TUNNEL)
		http1_tunnel(&c->in);
	server_response_done(c, c->out.body_bytes);
}

static void request_head_is_out(struct conn *c)
{
	c->begun = false;
	c->pending = 0;
	c->message_sent = 0;
}

static void on_sent_event(struct conn *c, const struct http1_event *ev)
{
	if (c->role == CONN_SERVER) {
		if (ev->type == HTTP1_HEAD)
			server_response(c, &ev->head);
		else if (ev->type == HTTP1_END)
			response_is_over(c);
		return;
	}
	if (ev->type == HTTP1_HEAD) {
		bool edit;

		if (!c->begun) /* a pipelined request behind another one in the same send: too late to edit */
			(void)client_request(c, &ev->head, clock_monotonic_ns(), &edit);
		request_head_is_out(c);
	} else if (ev->type == HTTP1_END) {
		client_request_done(c, c->out.body_bytes);
	}
}

static void announce(struct conn *c)
{
	const struct exchange *e = conn_oldest(c);

	if (c->role == CONN_SERVER && e)
		http1_expect(&c->out, e->method == METHOD_HEAD, e->method == METHOD_CONNECT);
}

static void follow(struct conn *c, struct slice bytes)
{
	struct http1_event ev;

	while (!c->opaque) {
		announce(c);
		if (stream_step(&c->out, bytes, &ev) != 0) {
			conn_give_up(c);
			return;
		}
		on_sent_event(c, &ev);
		bytes = slice_from(bytes, ev.used);
		if (ev.type == HTTP1_MORE || (ev.type == HTTP1_END && bytes.len == 0)) {
			c->message_sent = c->out.carry_len;
			return;
		}
	}
}

/* The first told bytes of the program are out; those up to `from`, in the first iovec, have been followed. */
static void follow_all(struct conn *c, const struct sending *s, size_t from, size_t told)
{
	for (int i = 0; i < s->iovcnt && told > 0 && !c->opaque; i++) {
		size_t len = s->iov[i].iov_len < told ? s->iov[i].iov_len : told;
		size_t skip = c->preface_left < len ? c->preface_left : len;

		told -= len;
		c->preface_left -= (uint32_t)skip;
		skip += from;
		if (len > skip || from > 0)
			follow(c, slice((const uint8_t *)s->iov[i].iov_base + skip, len - skip));
		from = 0;
	}
}

/* ---- the send itself ---- */

static bool is_non_blocking(const struct sending *s)
{
	return (s->flags & MSG_DONTWAIT) || (sys_fcntl(s->fd, F_GETFL, 0) & O_NONBLOCK) != 0;
}

/* Send what is planned. Returns the program's own bytes, or -1 with errno; *ret_again: nothing of the program's is out, try on. */
static ssize_t send_edited(struct conn *c, const struct sending *s, struct plan *p, bool *ret_again)
{
	ssize_t n = transmit_pieces(s, p);

	*ret_again = false;
	if (n <= 0)
		return n;

	size_t told = account(c, p, (size_t)n);

	if (told > 0)
		return (ssize_t)told;
	/* Only bytes of ours went out. A write that takes nothing and reports no error does not exist. */
	errno = EAGAIN;
	*ret_again = !is_non_blocking(s);
	return -1;
}

/*
 * The real call is made outside the guard. A thread that is cancelled in it never comes back: the connection stays marked as being
 * sent on, and the next send finds that what went out cannot be known.
 */
static ssize_t outside_plain(const struct sending *s)
{
	ssize_t n;

	guard_leave();
	n = s->plain(s);
	guard_depth = 1;
	return n;
}

static ssize_t outside_edited(struct conn *c, const struct sending *s, struct plan *p, bool *ret_again)
{
	ssize_t n;

	guard_leave();
	n = send_edited(c, s, p, ret_again);
	guard_depth = 1;
	return n;
}

static void sent(struct conn *c, const struct sending *s, ssize_t n, int error)
{
	if (n < 0)
		stream_failed(c, error);
	else
		follow_all(c, s, 0, (size_t)n);
}

/* The head that was parsed before it went out is not parsed again. */
static void sent_request(struct conn *c, const struct sending *s, const struct plan *p, ssize_t n, int error)
{
	if (n < 0 || p->head_end == 0 || (size_t)n < p->head_end || !c->begun) {
		sent(c, s, n, error);
		return;
	}
	c->preface_left = 0;
	http1_pass_head(&c->out, &p->head);
	request_head_is_out(c);
	follow_all(c, s, p->head_end, (size_t)n);
}

/* Nothing to look at before: c is entered, and left on return. */
static ssize_t send_response(struct conn *c, const struct sending *s, fd_word word)
{
	ssize_t n;
	int error;

	stream_settle_ownership(c);
	c->sending = true;
	conn_leave(c);
	n = outside_plain(s);
	error = errno;
	if (conn_reenter(c, s->fd, word)) {
		c->sending = false;
		if (!c->opaque)
			sent(c, s, n, error);
		conn_leave(c);
	}
	errno = error;
	return n;
}

/* c is entered, and left on return. */
static ssize_t send_request(struct conn *c, const struct sending *s, fd_word word)
{
	struct plan plan;
	bool again = false;
	ssize_t n;
	int error;

	do {
		plan.n = 0;
		plan.block = plan.gathered = NULL;
		plan.flat = NULL;
		plan.head_end = 0;
		stream_settle_ownership(c);
		make_plan(c, s, &plan);
		plan_owed(c, s, &plan);
		c->sending = true;
		conn_leave(c);
		n = plan.n ? outside_edited(c, s, &plan, &again) : outside_plain(s);
		error = errno;
		drop_plan(&plan);
		if (!conn_reenter(c, s->fd, word)) {
			errno = error;
			return n;
		}
		c->sending = false;
	} while (again && !c->opaque);
	if (!c->opaque)
		sent_request(c, s, &plan, n, error);
	conn_leave(c);
	errno = error;
	return n;
}

/* A wake-up for another thread: whatever this one was working on may go on there. */
static void woke_somebody(void)
{
	const struct window *w = &thread_self()->window;

	if (!process_has_threads())
		return; /* it wakes itself */
	for (unsigned i = 0; i < w->n && i < WINDOW_MAX; i++)
		exchange_handed_off(w->who[i]);
}

ssize_t engine_send(const struct sending *s)
{
	fd_word word = 0;
	struct conn *c;
	ssize_t n;

	if (!guard_enter()) {
		n = s->plain(s);
		if (n > 0 && guard_is_on() && !guard_is_away())
			conn_missed(s->fd);
		return n;
	}
	if (fdtable_kind(s->fd) != FD_CONNECTION) {
		woke_somebody();
		guard_leave();
		return s->plain(s);
	}
	c = conn_enter(s->fd, &word);
	if (c && c->sending) {
		/* Another thread is in the middle of a send on it: whose bytes come first cannot be known. */
		stats_count(STAT_CONTENDED);
		conn_give_up(c);
		conn_leave(c);
		c = NULL;
	}
	if (c) {
		n = c->role == CONN_SERVER ? send_response(c, s, word) : send_request(c, s, word);
		guard_leave();
		return n;
	}
	guard_leave();
	return s->plain(s);
}

static void sent_unseen(int fd, ssize_t n)
{
	fd_word word;
	struct conn *c = n > 0 ? conn_enter(fd, &word) : NULL;
	struct http1_event ev;

	if (!c)
		return;
	stream_settle_ownership(c);
	if (http1_skip(&c->out, (uint64_t)n, &ev) != 0)
		conn_give_up(c);
	else
		follow(c, SLICE_NONE);
	conn_leave(c);
}

void engine_sent_unseen(int fd, ssize_t n)
{
	if (engine_watches(fd))
		OBSERVE(sent_unseen(fd, n));
}
