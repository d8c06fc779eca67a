/* SPDX-License-Identifier: Apache-2.0 */
/* The life of descriptors, as hooks report it: what each number stands for, and when a connection is really closed. */
#include <errno.h>
#include <limits.h>

#include "shim/channel.h"
#include "shim/conn.h"
#include "shim/engine.h"
#include "shim/loop.h"
#include "shim/process.h"
#include "shim/rules.h"
#include "shim/runtime.h"
#include "shim/stats.h"
#include "shim/stream.h"
#include "shim/thread.h"

/* What the word stood for is gone. */
static void drop(fd_word word)
{
	enum fd_kind kind = (enum fd_kind)(word & 0xff);

	if (word == (fd_word)-1)
		return;
	if (kind == FD_CONNECTION && fdtable_object(word))
		conn_drop_descriptor(fdtable_object(word));
	else if (kind == FD_EPOLL)
		loop_closed(fdtable_object(word));
	else if (kind == FD_PIPE || kind == FD_TIMER)
		channel_closed(fdtable_object(word));
}

void engine_opened(int fd, enum fd_kind kind)
{
	if (fd >= 0)
		OBSERVE(drop(fdtable_set(fd, kind, 0)));
}

void engine_bound(int fd)
{
	/* Only a socket that is neither connected nor listening can be bound: anything else has been closed out of our sight. */
	if (fdtable_kind(fd) != FD_SOCKET)
		engine_opened(fd, FD_UNKNOWN);
}

static void listening(int fd)
{
	drop(fdtable_set(fd, FD_LISTENER, 0));
	process_listening();
}

void engine_listening(int fd)
{
	OBSERVE(listening(fd));
}

static struct conn *new_conn(int fd, enum conn_role role)
{
	uint32_t slot = conn_new();

	if (!slot)
		return NULL;

	struct conn *c = conn_at(slot);

	c->role = (uint8_t)role;
	c->fd = fd;
	stream_start(c);
	return c;
}

static void accepted(int fd, const struct sockaddr *peer, socklen_t peer_len)
{
	struct thread *t = thread_self();
	struct conn *c = new_conn(fd, CONN_SERVER);

	/* A thread that takes a new connection before it has answered does not serve one at a time. */
	t->has_inherited = false;
	t->has_accepted = true;
	if (exchange_is_open(t->sync))
		thread_class_revoke(thread_class_of(t));
	if (!c)
		return;
	c->opened_window = t->window.seq;
	c->opened_loop = t->loop;
	if (peer && peer_len > sizeof(sa_family_t))
		endpoint_from(&c->peer, peer, peer_len);
	drop(fdtable_set(fd, FD_CONNECTION, conn_slot(c)));
	runtime_accepted(t, conn_handle(c));
}

void engine_accepted(int listener, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
	(void)listener;
	if (fd >= 0)
		OBSERVE(accepted(fd, peer, peer_len));
}

static void label_opener(struct conn *c, struct thread *t)
{
	struct handle opener;
	enum evidence rule;

	c->opened_window = t->window.seq;
	c->opened_loop = t->loop;
	c->opened_after_request = t->window.n != 0;
	if (!rules_opener(t, &opener, &rule)) {
		opener = rules_presumed(t);
		c->presumed = true;
	}

	struct exchange *e = exchange_of(opener);

	if (!e)
		return;
	c->opener = opener;
	atomic_fetch_add_explicit(&e->openings, 1, memory_order_relaxed);
	c->opener_started = atomic_load_explicit(&e->clients_elsewhere, memory_order_relaxed);
	c->holds_opener = true;
	exchange_outstanding(opener, 1);
}

static void connecting(int fd, const struct sockaddr *peer, socklen_t peer_len)
{
	fd_word word;
	struct conn *c = conn_enter_any(fd, &word);

	if (c) { /* asked again: the usual way to learn how a non-blocking connect went */
		conn_leave(c);
		return;
	}
	if (fdtable_kind(fd) != FD_SOCKET || !peer || peer->sa_family == AF_UNSPEC)
		return; /* a datagram socket, or one dissolved */
	c = new_conn(fd, CONN_CLIENT);
	if (!c)
		return;
	endpoint_from(&c->peer, peer, peer_len);
	label_opener(c, thread_self());
	drop(fdtable_set(fd, FD_CONNECTION, conn_slot(c)));
}

/* A failed connect leaves a socket that may be tried again. */
static void connect_failed(int fd)
{
	fd_word word = fdtable_word(fd);

	if ((word & 0xff) == FD_CONNECTION && fdtable_replace(fd, word, FD_SOCKET, 0))
		conn_drop_descriptor(fdtable_object(word));
}

void engine_connecting(int fd, const struct sockaddr *peer, socklen_t peer_len, int result, int error)
{
	if (result == 0 || error == EINPROGRESS || error == EINTR || error == EALREADY || error == EISCONN)
		OBSERVE(connecting(fd, peer, peer_len));
	else if (error != EAGAIN)
		OBSERVE(connect_failed(fd));
}

static void paired(int fd_a, int fd_b)
{
	uint32_t channel = channel_new(2);

	drop(fdtable_set(fd_a, FD_PIPE, channel));
	drop(fdtable_set(fd_b, FD_PIPE, channel));
}

void engine_paired(int fd_a, int fd_b)
{
	OBSERVE(paired(fd_a, fd_b));
}

static void asked(int fd, void (*tell)(struct thread *t, struct handle connection))
{
	fd_word word = fdtable_word(fd);
	const struct conn *c = (word & 0xff) == FD_CONNECTION ? conn_at(fdtable_object(word)) : NULL;

	if (c && c->role == CONN_SERVER)
		tell(thread_self(), conn_handle(c));
}

void engine_peer_asked(int fd)
{
	if (engine_watches(fd))
		OBSERVE(asked(fd, runtime_peer_asked));
}

void engine_state_asked(int fd)
{
	if (engine_watches(fd))
		OBSERVE(asked(fd, runtime_state_asked));
}

static void forget(int fd)
{
	drop(fdtable_set(fd, FD_UNKNOWN, 0));
}

void engine_closing(int fd)
{
	if (!engine_watches(fd))
		return;
	if (!guard_is_on() || guard_is_away() || thread_is_borrowed())
		return; /* the child of vfork closes its own copy of the descriptor; the table is its parent's */
	if (guard_depth != 0) {
		/* In a signal handler that interrupted us: the number changes hands, its connection is left alone. */
		(void)fdtable_set(fd, FD_UNKNOWN, 0);
		stats_count(STAT_REENTERED);
		return;
	}
	OBSERVE(forget(fd));
}

void engine_closing_range(unsigned first, unsigned last)
{
	if (!guard_is_on() || guard_is_away() || thread_is_borrowed())
		return;
	for (int fd = fdtable_next(first, last); fd >= 0; fd = fdtable_next((unsigned)fd + 1, last)) {
		engine_closing(fd);
		if (fd == INT_MAX || (unsigned)fd == last)
			return;
	}
}

static void duplicated(int old_fd, int new_fd)
{
	fd_word word = fdtable_word(old_fd);
	enum fd_kind kind = (enum fd_kind)(word & 0xff);

	if (kind == FD_CONNECTION)
		atomic_fetch_add(&conn_at(fdtable_object(word))->descriptors, 1);
	if (kind == FD_PIPE || kind == FD_TIMER)
		channel_duplicated(fdtable_object(word));
	if (kind == FD_EPOLL)
		word &= 0xffffffffu; /* a copy starts a loop of its own: two waits on one epoll are two windows anyway */
	drop(fdtable_set(new_fd, kind, fdtable_object(word)));
}

void engine_duplicated(int old_fd, int new_fd)
{
	if (old_fd == new_fd || new_fd < 0 || (!engine_watches(old_fd) && !engine_watches(new_fd)))
		return;
	if (!thread_is_borrowed())
		OBSERVE(duplicated(old_fd, new_fd));
}

static void shut_down(int fd, int how)
{
	fd_word word;
	struct conn *c = how == SHUT_RD ? NULL : conn_enter(fd, &word);
	struct exchange *e;

	if (!c)
		return;
	/* A response that lasts until the connection closes is complete once we say that nothing follows. */
	e = conn_oldest(c);
	if (c->role == CONN_SERVER && e && e->answered_head && !e->shared && c->out.framing == HTTP1_UNTIL_CLOSE)
		conn_finish_answered(c);
	conn_leave(c);
}

/* Its channel is made when it is first armed. */
static void timer_arming(int fd)
{
	fd_word word = fdtable_word(fd);
	uint32_t channel = fdtable_object(word);

	if (fdtable_kind_of(word) != FD_TIMER)
		return;
	if (!channel) {
		channel = channel_new(1);
		if (!fdtable_replace(fd, word, FD_TIMER, channel)) {
			channel_closed(channel);
			return;
		}
	}
	channel_timer_arming(thread_self(), channel);
}

void engine_timer_arming(int fd)
{
	OBSERVE(timer_arming(fd));
}

void engine_shutdown(int fd, int how)
{
	if (engine_watches(fd))
		OBSERVE(shut_down(fd, how));
}
