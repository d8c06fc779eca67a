/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/conn.h"

#include <errno.h>
#include <string.h>

#include "shim/blocks.h"
#include "shim/clock.h"
#include "shim/config.h"
#include "shim/http_attributes.h"
#include "shim/ownership.h"
#include "shim/pool.h"
#include "shim/process.h"
#include "shim/stats.h"
#include "shim/sys_socket.h"

#define CONNS 262144u
#define SPINS 5000 /* some microseconds: far longer than anybody holds one, far shorter than a time slice */
#define SWEEP_INTERVAL_NS 1000000000u

struct pool conns;

int conn_start(void)
{
	return pool_start(&conns, sizeof(struct conn), CONNS);
}

uint32_t conn_new(void)
{
	uint32_t slot = pool_take(&conns);

	if (!slot) {
		stats_count(STAT_CONNECTIONS_UNTRACKED);
		return 0;
	}

	struct conn *c = conn_at(slot);

	memset((char *)c + sizeof(c->busy), 0, sizeof(*c) - sizeof(c->busy));
	atomic_store(&c->descriptors, 1);
	stats_count(STAT_CONNECTIONS);
	return slot;
}

/* ---- entering ---- */

static void pause_briefly(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

bool conn_yield(void)
{
	return !process_is_sandboxed() && sys_call3(SYS_sched_yield, 0, 0, 0) == 0;
}

static bool spin_for(struct conn *c)
{
	for (int i = 0; i < SPINS; i++) {
		if (conn_try(c))
			return true;
		pause_briefly();
	}
	return false;
}

/* A holder that does not leave has been put to sleep in the middle: it is let run before the connection is given up. */
static bool lock(struct conn *c)
{
	bool locked = spin_for(c);

	for (int i = 0; !locked && i < CONN_YIELDS && conn_yield(); i++)
		locked = spin_for(c);
	return locked;
}

bool conn_contend(struct conn *c)
{
	if (lock(c))
		return true;
	stats_count(STAT_CONTENDED);
	atomic_store(&c->missed, true);
	return false;
}

struct conn *conn_enter_any(int fd, fd_word *ret_word)
{
	*ret_word = fdtable_word(fd);
	return fdtable_kind_of(*ret_word) == FD_CONNECTION ? conn_enter_as(fd, *ret_word) : NULL;
}

struct conn *conn_enter_named(struct handle connection)
{
	struct conn *c = connection.slot && connection.slot <= atomic_load(&conns.used) ? conn_at(connection.slot) : NULL;

	if (!c || !lock(c))
		return NULL;
	if (pool_generation(&conns, connection.slot) == connection.gen)
		return c;
	conn_leave(c);
	return NULL;
}

struct conn *conn_enter(int fd, fd_word *ret_word)
{
	struct conn *c = conn_enter_any(fd, ret_word);

	if (c && c->opaque) {
		conn_leave(c);
		return NULL;
	}
	return c;
}

EXCHANGE_GLIMPSE struct exchange *conn_enter_exchange(struct handle h)
{
	struct exchange *e = exchange_of(h);
	uint32_t slot = e ? e->connection : 0;

	if (!slot || !lock(conn_at(slot)))
		return NULL;
	if (exchange_is_open(h) && e->connection == slot)
		return e;
	conn_leave(conn_at(slot));
	return NULL;
}

void conn_missed(int fd)
{
	fd_word word = fdtable_word(fd);

	if ((word & 0xff) == FD_CONNECTION)
		atomic_store(&conn_at(fdtable_object(word))->missed, true);
}

/* ---- exchanges ---- */

static uint64_t packed(struct handle h)
{
	return (uint64_t)h.gen << 32 | h.slot;
}

/* What conn_request() tells the others. After each change of the list. */
static void publish_request(struct conn *c)
{
	uint64_t word = CONN_NO_REQUEST;

	if (c->oldest)
		word = c->oldest == c->newest ? packed(exchange_handle(c->oldest)) : CONN_SEVERAL_REQUESTS;
	atomic_store_explicit(&c->request, word, memory_order_release);
}

EXCHANGE_GLIMPSE enum conn_request conn_request(struct handle connection, struct handle *ret_open,
						struct context *ret_last)
{
	struct conn *c = connection.slot ? conn_at(connection.slot) : NULL;
	uint64_t word = c ? atomic_load_explicit(&c->request, memory_order_acquire) : 0;

	if (!c || pool_generation(&conns, connection.slot) != connection.gen)
		return CONN_REQUEST_GONE;
	if (word == CONN_SEVERAL_REQUESTS)
		return CONN_REQUEST_SEVERAL;
	if (word != CONN_NO_REQUEST) {
		*ret_open = (struct handle){(uint32_t)word, (uint32_t)(word >> 32)};
		return CONN_REQUEST_OPEN;
	}
	*ret_last = c->last;
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&c->request, memory_order_relaxed) != word ||
	    pool_generation(&conns, connection.slot) != connection.gen)
		return CONN_REQUEST_GONE; /* it was changing: who asks has no part in it */
	return context_is_valid(ret_last) ? CONN_REQUEST_OVER : CONN_REQUEST_NEVER;
}

bool conn_has_pipelined(struct handle connection)
{
	return !handle_is_none(connection) && pool_generation(&conns, connection.slot) == connection.gen &&
	       atomic_load_explicit(&conn_at(connection.slot)->pipelined, memory_order_relaxed);
}

void conn_push(struct conn *c, struct exchange *e)
{
	e->connection = conn_slot(c);
	e->next = NULL;
	if (c->oldest)
		atomic_store_explicit(&c->pipelined, true, memory_order_relaxed);
	if (c->newest)
		c->newest->next = e;
	else
		c->oldest = e;
	c->newest = e;
	publish_request(c);
}

void conn_pop(struct conn *c)
{
	const struct exchange *e = c->oldest;

	if (c->role == CONN_SERVER)
		c->last = e->context;
	c->oldest = e->next;
	if (!c->oldest)
		c->newest = NULL;
	publish_request(c);
}

/* A copy left over from a fork ends only here if nobody else holds one, or if we have claimed it. */
static bool is_ours_to_end(const struct exchange *e)
{
	return !e->shared || ownership_release(e->ownership);
}

static const char no_response[] = "no_response";

/* We closed without a word, or in the middle of one. */
static const char *error_of(const struct exchange *e, const char *of_connection)
{
	return of_connection == no_response && e->answered_head ? "response_incomplete" : of_connection;
}

void conn_end_exchanges(struct conn *c, const char *error)
{
	uint64_t now = c->oldest ? clock_monotonic_ns() : 0;

	c->pending = 0;
	for (struct exchange *e = conn_oldest(c); e; e = conn_oldest(c)) {
		conn_pop(c);
		if (e->role == EXCHANGE_CLIENT)
			exchange_outstanding(e->waiter, -1);
		if (is_ours_to_end(e))
			exchange_end(e, now, error_of(e, error));
		else
			exchange_discard(e);
	}
}

void conn_forget_exchanges(struct conn *c)
{
	c->pending = 0;
	for (struct exchange *e = conn_oldest(c); e; e = conn_oldest(c)) {
		conn_pop(c);
		if (e->role == EXCHANGE_CLIENT)
			exchange_outstanding(e->waiter, -1);
		exchange_discard(e);
	}
}

static void give_back_memory(struct conn *c)
{
	block_give(c->in.carry);
	block_give(c->out.carry);
	c->in.carry = c->out.carry = NULL;
	c->in.carry_len = c->out.carry_len = 0;
}

void conn_give_up(struct conn *c)
{
	if (c->opaque)
		return;
	c->opaque = true;
	stats_count(STAT_CONNECTIONS_OPAQUE);
	conn_end_exchanges(c, NULL);
	conn_release_opener(c);
	give_back_memory(c);
}

void conn_release_opener(struct conn *c)
{
	if (!c->holds_opener)
		return;
	c->holds_opener = false;
	exchange_outstanding(c->opener, -1);
}

/* ---- the end of a descriptor ---- */

static const char *error_of_close(const struct conn *c)
{
	if (c->error)
		return c->error;
	if (c->role == CONN_SERVER)
		return c->peer_gone ? "client_disconnected" : no_response;
	return c->peer_gone ? "connection_closed" : "cancelled";
}

void conn_finish_answered(struct conn *c)
{
	struct exchange *e = conn_oldest(c);
	struct http1_event event;

	if (!e || !e->answered_head)
		return;

	struct http1_stream *response = c->role == CONN_SERVER ? &c->out : &c->in;

	if (e->response_done || response->framing == HTTP1_TUNNEL ||
	    (http1_eof(response, &event) == 0 && event.type == HTTP1_END)) {
		conn_pop(c);
		if (e->role == EXCHANGE_CLIENT)
			exchange_outstanding(e->waiter, -1);
		if (!e->response_done)
			e->response_bytes = response->body_bytes;
		http_describe_sizes(e);
		if (is_ours_to_end(e))
			exchange_end(e, clock_monotonic_ns(), c->error);
		else
			exchange_discard(e);
	}
}

static void end_entered(struct conn *c)
{
	if (!c->opaque) {
		conn_finish_answered(c);
		conn_end_exchanges(c, error_of_close(c));
		conn_release_opener(c);
	}
	give_back_memory(c);
	block_give(c->owed);
	c->owed = NULL;
	c->opaque = true;
	conn_leave(c);
	pool_give(&conns, conn_slot(c));
}

void conn_drop_descriptor(uint32_t slot)
{
	struct conn *c = conn_at(slot);

	if (atomic_fetch_sub(&c->descriptors, 1) != 1)
		return;
	if (lock(c))
		end_entered(c);
	else /* its holder has been put to sleep by the scheduler, or hangs */
		atomic_store(&c->orphaned, true);
}

/* ---- addresses ---- */

const struct endpoint *conn_local(struct conn *c)
{
	if (!c->local_known && !process_is_sandboxed()) {
		struct sockaddr_storage addr;
		socklen_t len = sizeof(addr);

		c->local_known = true;
		if (sys_getsockname(c->fd, (struct sockaddr *)&addr, &len) == 0)
			endpoint_from(&c->local, (const struct sockaddr *)&addr, len);
	}
	return &c->local;
}

const struct endpoint *conn_peer(struct conn *c)
{
	if (c->peer.family == 0 && !c->peer_known && !process_is_sandboxed()) {
		struct sockaddr_storage addr;
		socklen_t len = sizeof(addr);

		c->peer_known = true;
		if (sys_getpeername(c->fd, (struct sockaddr *)&addr, &len) == 0)
			endpoint_from(&c->peer, (const struct sockaddr *)&addr, len);
	}
	return &c->peer;
}

struct slice conn_peer_text(struct conn *c)
{
	if (c->peer_text_len == 0)
		c->peer_text_len = (uint8_t)endpoint_text(conn_peer(c), c->peer_text);
	return slice(c->peer_text, c->peer_text_len);
}

bool conn_is_socket(struct conn *c, int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	/* It cannot be asked, and an edit goes out by another system call than the program's. */
	if (process_is_sandboxed())
		return false;
	if (!c->checked) {
		if (sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_STREAM) {
			/* A close that we never saw: this number is something else by now. */
			conn_give_up(c);
			return false;
		}
		c->checked = true;
	}
	return true;
}

/* ---- all of them ---- */

static void for_each_open(void (*act)(struct exchange *e, uint64_t arg), uint64_t arg)
{
	uint32_t last = exchange_high_water();

	for (uint32_t slot = 1; slot <= last; slot++)
		if (exchange_open_generation(slot))
			act(exchange_at(slot), arg);
}

static void end_connection_of(struct exchange *e, uint64_t now_ns)
{
	struct conn *c = conn_at(e->connection);

	(void)now_ns;
	if (!e->connection || !lock(c))
		return;
	conn_finish_answered(c);
	conn_end_exchanges(c, error_of_close(c));
	conn_leave(c);
}

void conn_end_all(uint64_t now_ns)
{
	for_each_open(end_connection_of, now_ns);
}

EXCHANGE_GLIMPSE static void give_up_if_older(struct exchange *e, uint64_t born_before)
{
	struct conn *c = conn_at(e->connection);
	bool orphan = e->connection && atomic_load(&c->orphaned);

	if ((e->start_ns >= born_before && !orphan) || !e->connection || !lock(c))
		return;
	if (orphan && atomic_exchange(&c->orphaned, false)) {
		end_entered(c);
		return;
	}
	if (exchange_is_open(exchange_handle(e)) && e->connection == conn_slot(c) && e->start_ns < born_before) {
		conn_end_exchanges(c, "timeout");
		conn_give_up(c);
	}
	conn_leave(c);
}

void conn_sweep(uint64_t now_ns)
{
	static _Atomic uint64_t next_ns;
	uint64_t due = atomic_load_explicit(&next_ns, memory_order_relaxed);
	uint64_t age_ns = (uint64_t)config.max_exchange_age_ms * 1000000u;

	if (now_ns < due || !atomic_compare_exchange_strong(&next_ns, &due, now_ns + SWEEP_INTERVAL_NS))
		return;
	if (due != 0)
		for_each_open(give_up_if_older, now_ns > age_ns ? now_ns - age_ns : 0);
}

static void share(struct exchange *e, uint64_t unused)
{
	(void)unused;
	if (e->shared && e->ownership)
		ownership_hold(e->ownership);
	else
		e->ownership = ownership_share();
	e->shared = e->ownership != 0;
}

void conn_share_all(void)
{
	for_each_open(share, 0);
}

static void release_if_shared(struct exchange *e, uint64_t unused)
{
	struct conn *c = conn_at(e->connection);

	(void)unused;
	if (!e->shared || !e->connection || !lock(c))
		return;
	if (e->shared)
		conn_end_exchanges(c, error_of_close(c));
	c->opaque = true;
	conn_leave(c);
}

void conn_release_shared(void)
{
	for_each_open(release_if_shared, 0);
}

void conn_after_fork(void)
{
	uint32_t last = atomic_load(&conns.used);

	for (uint32_t slot = 1; slot <= last; slot++) {
		struct conn *c = conn_at(slot);

		if (!atomic_load_explicit(&c->busy, memory_order_relaxed) && !c->sending)
			continue;
		/* Whoever was busy with it is a thread that does not exist here: how far it got is not known. */
		c->sending = false;
		atomic_store(&c->missed, true);
		atomic_store(&c->busy, 0);
	}
}
