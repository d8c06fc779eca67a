/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/edited.h"

#include <errno.h>
#include <fcntl.h>

#include "shim/blocks.h"
#include "shim/client.h"
#include "shim/iov.h"
#include "shim/propagation.h"
#include "shim/protocols/proxy_preface.h"
#include "shim/sys_socket.h"

#define COPY_MAX 1536 /* up to this, one contiguous write is cheaper than a longer iovec */
#define PROGRAM_IOVECS_MAX 16

/* ---- planning ---- */

static inline void add_piece(struct plan *p, const uint8_t *bytes, size_t len, uint32_t told, bool ours, uint8_t edit)
{
	/* What does not fit stays out, and all behind it: the send gets shorter, as sends may. */
	if ((len == 0 && told == 0) || p->n >= EDITED_PIECES_MAX)
		return;
	p->piece[p->n++] = (struct piece){bytes, len, told, ours, edit};
	p->total += len;
	p->told += told;
	if (edit)
		p->edits |= (uint8_t)(1u << (edit - 1));
}

static __attribute__((noinline)) void add_scattered_bytes(struct plan *p, const struct sending *s, size_t from, size_t to)
{
	size_t start = 0;

	for (int i = 0; i < s->iovcnt && start < to; i++) {
		size_t end = start + s->iov[i].iov_len;
		size_t a = from > start ? from : start, b = to < end ? to : end;

		if (a < b)
			add_piece(p, (const uint8_t *)s->iov[i].iov_base + (a - start), b - a, (uint32_t)(b - a), false, 0);
		start = end;
	}
}

/* The program's bytes [from, to) as pieces. */
static inline void add_program_bytes(struct plan *p, const struct sending *s, size_t from, size_t to)
{
	const uint8_t *bytes = p->flat ? p->flat : s->iovcnt == 1 ? s->iov[0].iov_base : NULL;

	if (bytes)
		add_piece(p, bytes + from, to - from, (uint32_t)(to - from), false, 0);
	else
		add_scattered_bytes(p, s, from, to);
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
				       HTTP1_REQUEST, c->out.memo, &p->head);
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
	return http1_parse_head(slice(p->gathered, c->out.carry_len + n), HTTP1_REQUEST, NULL, &p->head) > 0;
}

static unsigned edits_of(const struct conn *c, const struct exchange *e, const struct http1_head *head,
			 struct edit edits[EDITS_MAX], struct plan *p)
{
	return c->edit_this == HEAD_CLEANED ? propagation_clean(head, edits) : propagation_edits(e, head, edits, p->block);
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
	n = edits_of(c, e, head, edits, p);
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

void edited_plan(struct conn *c, const struct sending *s, struct plan *p)
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
		enum head_edit edit;

		e = client_request(c, &p->head, &edit);
		if (!e)
			return;
		c->edit_this = (uint8_t)edit;
		c->begun = true;
		c->pending = exchange_handle(e).slot;
		c->edits_done = 0;
	}
	e = c->pending ? exchange_at(c->pending) : NULL;
	if (e && c->edit_this != HEAD_AS_IT_IS && can_edit(s, p) && conn_is_socket(c, s->fd))
		plan_edits(c, s, skip, &p->head, before, e, p);
}

static void leave_out_last(struct plan *p)
{
	const struct piece *last = &p->piece[--p->n];

	p->total -= last->len;
	p->told -= last->told;
	if (last->edit)
		p->edits &= (uint8_t)~(1u << (last->edit - 1));
}

void edited_plan_owed(struct conn *c, const struct sending *s, struct plan *p)
{
	struct piece *all = p->piece;

	if (!c->owed)
		return;
	p->owed = c->owed;
	p->owed_len = c->owed_len;
	p->owed_sent = c->owed_sent;
	c->owed = NULL;
	/* The kernel reads the program's memory after the call then; ours must be gone by then. So ours goes alone. */
	if (p->n == 0 && !(s->flags & MSG_ZEROCOPY))
		add_program_bytes(p, s, 0, iov_total(s->iov, s->iovcnt));
	if (p->n == EDITED_PIECES_MAX)
		leave_out_last(p);
	for (unsigned i = p->n; i > 0; i--)
		all[i] = all[i - 1];
	all[0] = (struct piece){p->owed + p->owed_sent, (size_t)(p->owed_len - p->owed_sent), 0, true, 0};
	p->total += all[0].len;
	p->n++;
}

void edited_drop(struct plan *p)
{
	block_give(p->block);
	block_give(p->gathered);
	block_give(p->owed);
}

/* ---- transmitting ---- */

static __attribute__((noinline)) ssize_t transmit_pieces(const struct sending *s, const struct plan *p)
{
	struct iovec iov[EDITED_PIECES_MAX];

	for (unsigned i = 0; i < p->n; i++)
		iov[i] = (struct iovec){(void *)(uintptr_t)p->piece[i].p, p->piece[i].len};
	return s->edited(s, iov, (int)p->n);
}

ssize_t edited_transmit(const struct sending *s, const struct plan *p)
{
	struct sending copied = *s;
	struct iovec iov;
	uint8_t *at;

	copied.flags &= ~MSG_ZEROCOPY; /* the kernel would read our memory after the call */
	if (!p->block || p->total > COPY_MAX)
		return transmit_pieces(&copied, p);
	iov = (struct iovec){p->block + EDIT_TEXT_MAX, p->total};
	at = iov.iov_base;
	for (unsigned i = 0; i < p->n; i++) {
		memcpy(at, p->piece[i].p, p->piece[i].len);
		at += p->piece[i].len;
	}
	return copied.edited(&copied, &iov, 1);
}

/* ---- accounting ---- */

static void keep_owed(struct conn *c, struct plan *p, size_t sent)
{
	c->owed = p->owed;
	c->owed_len = p->owed_len;
	c->owed_sent = (uint16_t)(p->owed_sent + sent);
	p->owed = NULL;
}

/* Of this piece only so many bytes are out. */
static void owe(struct conn *c, struct plan *p, const struct piece *piece, size_t sent)
{
	uint32_t cap;

	if (piece->edit == 0) {
		keep_owed(c, p, sent);
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

/* So many bytes of the pieces are out, not all: how many of the program's own is that? c: see edited_outcome(). */
static __attribute__((noinline)) size_t account_part(struct conn *c, struct plan *p, size_t n)
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
			if (c && piece->edit)
				c->edits_done |= (uint8_t)(1u << (piece->edit - 1));
			continue;
		}
		if (n == 0)
			break;
		told += piece->ours ? piece->told : n;
		if (c && piece->ours)
			owe(c, p, piece, n);
		break;
	}
	return told;
}

static inline size_t account(struct conn *c, struct plan *p, size_t n)
{
	if (n < p->total)
		return account_part(c, p, n);
	if (c)
		c->edits_done |= p->edits;
	return p->told;
}

static bool is_non_blocking(const struct sending *s)
{
	return (s->flags & MSG_DONTWAIT) || (sys_fcntl(s->fd, F_GETFL, 0) & O_NONBLOCK) != 0;
}

ssize_t edited_outcome(struct conn *c, const struct sending *s, struct plan *p, ssize_t n, bool *ret_again)
{
	bool whole = n >= 0 && (size_t)n == p->total;

	*ret_again = false;
	if (n <= 0) {
		if (c && p->owed)
			keep_owed(c, p, 0);
		return n;
	}

	size_t told = account(c, p, (size_t)n);

	if (told > 0)
		return (ssize_t)told;
	/* Only bytes of ours went out. A write that takes nothing and reports no error does not exist. */
	errno = EAGAIN;
	*ret_again = c && (whole || !is_non_blocking(s));
	return -1;
}
