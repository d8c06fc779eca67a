/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that the program sends. They are followed after they are out, as they are: what the kernel took is what was sent. One
 * kind is looked at before: a request head on a client connection, because our headers go into it (edited.c).
 */
#include <errno.h>

#include "shim/channel.h"
#include "shim/client.h"
#include "shim/conn.h"
#include "shim/edited.h"
#include "shim/engine.h"
#include "shim/iov.h"
#include "shim/process.h"
#include "shim/server.h"
#include "shim/stats.h"
#include "shim/stream.h"
#include "shim/thread.h"

/* ---- following what is out ---- */

static void message_is_out(struct conn *c)
{
	if (c->role == CONN_CLIENT) {
		client_request_done(c, c->out.body_bytes);
		return;
	}
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

static void head_is_out(struct conn *c, const struct http1_head *head)
{
	enum head_edit edit;

	if (c->role == CONN_SERVER) {
		server_response(c, head);
		return;
	}
	if (!c->begun) /* a pipelined request behind another one in the same send: too late to edit */
		(void)client_request(c, head, &edit);
	request_head_is_out(c);
}

/* Steps of one path, which every write goes along: calls between them would cost more than they do. */
#define STEP static inline __attribute__((always_inline))

/* Bytes that one step took; 0: none can be taken, for good. */
STEP size_t follow_step(struct conn *c, struct slice bytes, struct http1_event *ev)
{
	if (c->role == CONN_SERVER)
		stream_announce(c, &c->out);
	if (stream_step(&c->out, bytes, ev) != 0) {
		conn_give_up(c);
		return 0;
	}
	if (ev->type == HTTP1_HEAD)
		head_is_out(c, &ev->head);
	return ev->used;
}

STEP void follow(struct conn *c, struct slice bytes, struct http1_event *ev)
{
	size_t n;

	for (;;) {
		if (http1_take_end(&c->out))
			message_is_out(c);
		if (bytes.len == 0 || c->opaque)
			break;
		n = http1_take_body(&c->out, bytes.len);
		if (n == 0)
			n = follow_step(c, bytes, ev);
		if (n == 0)
			return;
		bytes = slice(bytes.p + n, bytes.len - n);
	}
	stream_give_back(&c->out);
	c->message_sent = c->out.carry_len;
}

/* The first told bytes of the program are out; those up to `from`, in the first iovec, have been followed. */
static void follow_all(struct conn *c, const struct sending *s, size_t from, size_t told)
{
	struct http1_event ev;

	for (int i = 0; i < s->iovcnt && told > 0 && !c->opaque; i++) {
		size_t len = s->iov[i].iov_len < told ? s->iov[i].iov_len : told, skip = from;

		told -= len;
		if (__builtin_expect(c->preface_left > 0, 0)) {
			skip += c->preface_left < len ? c->preface_left : len;
			c->preface_left -= (uint32_t)(skip - from);
		}
		if (len > skip || from > 0)
			follow(c, slice((const uint8_t *)s->iov[i].iov_base + skip, len - skip), &ev);
		from = 0;
	}
}

/* The same of a response. */
static __attribute__((noinline)) void followed_response(struct conn *c, const struct sending *s, size_t told)
{
	struct http1_event ev;

	if (__builtin_expect(s->iovcnt != 1 || told == 0, 0))
		follow_all(c, s, 0, told);
	else
		follow(c, slice(s->iov[0].iov_base, told), &ev);
}

/* ---- the send itself ---- */

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

static ssize_t outside_edited(const struct sending *s, struct plan *p)
{
	ssize_t n;

	guard_leave();
	n = edited_transmit(s, p);
	guard_depth = 1;
	return n;
}

static __attribute__((noinline)) void sent(struct conn *c, const struct sending *s, ssize_t n, int error)
{
	if (n < 0)
		stream_failed(c, error);
	else
		follow_all(c, s, 0, (size_t)n);
}

/* Nothing to look at before: c is entered, and left on return. */
STEP ssize_t send_response(struct conn *c, const struct sending *s, fd_word word)
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
		if (c->opaque)
			;
		else if (n < 0)
			stream_failed(c, error);
		else
			followed_response(c, s, (size_t)n);
		conn_leave(c);
	}
	errno = error;
	return n;
}

/* One real send. c is entered; false on return: it was closed meanwhile, and is not entered any more. */
static bool send_once(struct conn *c, const struct sending *s, fd_word word, struct plan *plan, ssize_t *ret_n,
		      bool *ret_again)
{
	bool entered;
	int error;

	plan->n = 0;
	plan->total = plan->told = plan->head_end = 0;
	plan->edits = 0;
	plan->block = plan->gathered = plan->owed = NULL;
	plan->flat = NULL;
	*ret_again = false;
	if (!c->opaque)
		edited_plan(c, s, plan);
	edited_plan_owed(c, s, plan);
	c->sending = true;
	conn_leave(c);
	*ret_n = plan->n ? outside_edited(s, plan) : outside_plain(s);
	error = errno;
	entered = conn_reenter(c, s->fd, word);
	if (entered)
		c->sending = false;
	errno = error;
	if (plan->n)
		*ret_n = edited_outcome(entered ? c : NULL, s, plan, *ret_n, ret_again);
	error = errno;
	edited_drop(plan);
	errno = error;
	return entered;
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
	if ((size_t)n > p->head_end || !http1_take_end(&c->out))
		follow_all(c, s, p->head_end, (size_t)n);
	else
		message_is_out(c);
}

/* c is entered, and left on return. */
static ssize_t send_request(struct conn *c, const struct sending *s, fd_word word)
{
	struct plan plan;
	bool again = false;
	ssize_t n;
	int error;

	stream_settle_ownership(c);
	do {
		if (!send_once(c, s, word, &plan, &n, &again))
			return n;
	} while (again);
	error = errno;
	if (!c->opaque)
		sent_request(c, s, &plan, n, error);
	if (n > 0)
		c->has_handed = false;
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

/* A connection that was given up in the middle of a line of ours still owes its peer the rest of it. */
static inline struct conn *enter_to_send(int fd, fd_word word)
{
	struct conn *c = conn_enter_as(fd, word);

	if (c && __builtin_expect(c->opaque && !c->owed, 0)) {
		conn_leave(c);
		return NULL;
	}
	return c;
}

/*
 * Another thread's send may be over but for what follows the real call, where the scheduler has put that thread to sleep. One that goes
 * on is in the middle: whose bytes come first cannot be known. c is entered; NULL, not entered: it cannot be followed.
 */
static __attribute__((noinline)) struct conn *wait_for_sender(int fd, fd_word word, struct conn *c)
{
	for (int i = 0; c && c->sending && i < CONN_YIELDS; i++) {
		conn_leave(c);
		if (!conn_yield())
			i = CONN_YIELDS;
		c = enter_to_send(fd, word);
	}
	if (!c || !c->sending)
		return c;
	stats_count(STAT_CONTENDED);
	conn_give_up(c);
	conn_leave(c);
	return NULL;
}

static __attribute__((noinline)) ssize_t send_unwatched(const struct sending *s)
{
	ssize_t n = s->plain(s);

	if (n > 0 && guard_is_on() && !guard_is_away())
		conn_missed(s->fd);
	return n;
}

/* The guard is held, and left. */
static ssize_t send_elsewhere(const struct sending *s, fd_word word)
{
	int errno_before = errno;
	uint64_t message = 0;
	ssize_t n;

	if (fdtable_kind_of(word) == FD_PIPE)
		message = channel_writing(thread_self(), fdtable_object(word), s->iov, s->iovcnt);
	errno = errno_before;
	guard_leave();
	n = s->plain(s);
	if (!message || n == (ssize_t)iov_total(s->iov, s->iovcnt))
		return n;
	OBSERVE(channel_not_written(fdtable_object(word), message));
	return n;
}

ssize_t engine_send(const struct sending *s)
{
	fd_word word = fdtable_word(s->fd);
	struct conn *c;
	ssize_t n;

	if (!guard_enter())
		return send_unwatched(s);
	if (fdtable_kind_of(word) != FD_CONNECTION) {
		woke_somebody();
		return send_elsewhere(s, word);
	}
	c = enter_to_send(s->fd, word);
	if (c && __builtin_expect(c->sending, 0))
		c = wait_for_sender(s->fd, word, c);
	if (!c) {
		guard_leave();
		return s->plain(s);
	}
	n = c->role == CONN_SERVER ? send_response(c, s, word) : send_request(c, s, word);
	guard_leave();
	return n;
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
		follow(c, SLICE_NONE, &ev);
	conn_leave(c);
}

void engine_sent_unseen(int fd, ssize_t n)
{
	if (engine_watches(fd))
		OBSERVE(sent_unseen(fd, n));
}
