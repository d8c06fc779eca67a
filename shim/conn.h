/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/context.h"
#include "shim/endpoint.h"
#include "shim/exchange.h"
#include "shim/fdtable.h"
#include "shim/label.h"
#include "shim/protocols/http1.h"

/*
 * A connection: one open file description of a stream socket, reached through one or more descriptors. Its fields
 * belong to whoever holds it between conn_enter() and conn_leave(), short stretches that never span a system call that
 * could block. A second thread spins a bounded while for it, then gives the connection up: it becomes opaque, never wrong.
 */

#define CONN_HOST 60
#define CONN_METHOD 8
#define CONN_ITEMS 384

enum conn_role { CONN_SERVER = 1, CONN_CLIENT = 2 };

/* What happens to a request head that goes out: nothing; our headers go in; or what our own adapter put in is taken out. */
enum head_edit { HEAD_AS_IT_IS, HEAD_EDITED, HEAD_CLEANED };

struct conn {
	_Atomic uint32_t busy;
	_Atomic uint32_t descriptors;
	_Atomic bool missed;     /* bytes went by unseen: opaque at the next look */
	_Atomic bool pipelined;  /* server: a request arrived while another was open */
	_Atomic bool orphaned;   /* closed while somebody was in it for too long: the next sweep ends it */
	/* From here on of whoever has entered. A word of its own: compilers join loads of small neighbours. */
	_Alignas(8) uint8_t role;
	bool opaque;             /* given up: only closing it means anything */
	bool sending;            /* a thread is inside the real send */
	bool checked;            /* known to be a socket still: asked once, before the first mutation */
	bool preface_in, preface_out; /* past the place where a PROXY preface could stand */
	bool peer_gone;          /* end of file or reset was read */
	bool out_of_step;        /* server: which request its runtime hands over next is not known */
	bool tls;                /* the bytes that we see are those inside TLS */
	uint8_t http_major;      /* 0: as the heads say */
	const char *error;       /* why, as error.type */
	struct http1_stream in, out;
	struct exchange *oldest, *newest; /* its open exchanges, in order of their requests; NULL: none */
	struct handle finished;  /* server: the exchange that ended last */
	_Atomic uint64_t request; /* server, for conn_request(): generation and slot of the only open exchange, or one of these: */
#define CONN_NO_REQUEST 0
#define CONN_SEVERAL_REQUESTS UINT64_MAX
	struct context last;     /* server: the context of the exchange that ended last */
	int fd;                  /* a descriptor that led here; may be closed by now */
	struct endpoint peer, local, original; /* original: source from a PROXY preface */
	bool local_known, peer_known; /* asked for, whether there was one or not */
	size_t peeked;           /* coming bytes that the program has looked at with MSG_PEEK already */
	uint8_t peer_text_len;
	char peer_text[ENDPOINT_TEXT]; /* formatted once */

	/* Client: for whom it was opened (rule 6). */
	bool used;                 /* its first exchange has begun */
	bool holds_opener;         /* counted in the opener's outstanding */
	struct handle opener;      /* none: unknown */
	bool presumed;             /* the opener is a presumption: it counts as waiting, and decides nothing */
	uint32_t opener_started;   /* its clients_elsewhere at that time */
	uint32_t opened_window;    /* window.seq and loop of the thread that opened or accepted it */
	uint32_t opened_loop;
	bool opened_after_request; /* one was handled in that window */

	/* Of the runtime's adapter, where it sends and calls back outside of its tasks. */
	const void *callbacks;     /* server: the task that its callbacks run as */
	bool has_handed;           /* client: bytes were handed to the runtime that are not out yet: */
	struct label handed;       /* for whom */
	const void *handed_by;     /* by which task */

	/* Client: the request head under way (send.c). */
	uint32_t message_sent;     /* bytes of a head not yet complete that are out */
	uint32_t preface_left;     /* bytes of a PROXY preface still to go out before the first head */
	bool begun;                /* its exchange exists (and may even be over, if another thread read the response) */
	uint32_t pending;          /* slot of the exchange begun for a head that is not fully sent; 0: none */
	uint8_t edits_done;        /* bit per enum inject_field */
	uint8_t edit_this;         /* enum head_edit */
	/* The span's name and what says who talks to whom, and how, as record items: of the last plain request. n 0: there was none. */
	struct {
		uint16_t len;
		uint16_t agent, agent_len; /* its User-Agent in items; agent_len 0: it has none */
		uint8_t n, host_len, method_len;
		uint8_t tls, http_major; /* of the connection, then */
		uint8_t method[CONN_METHOD];
		uint8_t host[CONN_HOST]; /* its Host field */
		uint8_t items[CONN_ITEMS];
	} usual;
	uint8_t *owed;             /* bytes of ours that a short write cut off: they go before anything else */
	uint16_t owed_len, owed_sent;
};

int conn_start(void);
extern struct pool conns;
static inline struct conn *conn_at(uint32_t slot)
{
	return pool_at(&conns, slot);
}
static inline uint32_t conn_slot(const struct conn *c)
{
	return pool_slot(c);
}
/* A name for it that outlives it. */
static inline struct handle conn_handle(const struct conn *c)
{
	return (struct handle){conn_slot(c), pool_generation(&conns, conn_slot(c))};
}

/*
 * Which request is open on a server connection? Not entered, any thread. ret_open: it, for OPEN; ret_last: the context of the one that
 * ended last, for OVER.
 */
enum conn_request { CONN_REQUEST_GONE, CONN_REQUEST_NEVER, CONN_REQUEST_OPEN, CONN_REQUEST_SEVERAL, CONN_REQUEST_OVER };
enum conn_request conn_request(struct handle connection, struct handle *ret_open, struct context *ret_last);
/* Has this connection brought a request while another was open? False for one that is gone. Not entered, any thread. */
bool conn_has_pipelined(struct handle connection);
/*
 * The connection behind fd, entered; NULL when there is none, it is opaque, or it is busy for too long (then it is
 * opaque from now on). ret_word is for conn_reenter().
 */
struct conn *conn_enter(int fd, fd_word *ret_word);
/* The same for a descriptor that was just looked up, opaque ones included. */
static inline struct conn *conn_enter_as(int fd, fd_word word);
/* Enter it again after a real call. False: it was closed meanwhile. */
static inline bool conn_reenter(struct conn *c, int fd, fd_word word);
static inline void conn_leave(struct conn *c)
{
	atomic_store_explicit(&c->busy, 0, memory_order_release);
}
/*
 * Let another thread run, which the scheduler has put to sleep while it was busy with a connection. Not entered. False: a sandbox
 * may not allow it.
 */
#define CONN_YIELDS 16
bool conn_yield(void);
/* Enter the connection of an exchange that is perhaps another thread's. NULL, not entered: it is over, or the connection is busy. */
struct exchange *conn_enter_exchange(struct handle h);
/* The same, opaque ones included. */
struct conn *conn_enter_any(int fd, fd_word *ret_word);
/* One that no descriptor leads to, by its name; NULL when it is gone. */
struct conn *conn_enter_named(struct handle connection);
/* A new connection with one descriptor; 0 when there is no room (counted). Nobody else can see it yet. */
uint32_t conn_new(void);
/* A descriptor of it is closed; the last one ends it. Not entered. */
void conn_drop_descriptor(uint32_t slot);
/* Something went by that we could not look at (a signal handler's I/O, a busy connection). */
void conn_missed(int fd);

/* Stop following it: its exchanges end without error if they have a status, else as unknown. Entered. */
void conn_give_up(struct conn *c);
/*
 * Nothing more follows. A body that lasts until then ends here, and with it the oldest exchange: that is no failure.
 * Neither is an answer that was complete before its request was. Entered.
 */
void conn_finish_answered(struct conn *c);
/* End every open exchange: the peer left or we closed. error NULL: no failure. Entered. */
void conn_end_exchanges(struct conn *c, const char *error);

/* Another process owns them: forget them without a trace. Entered. */
void conn_forget_exchanges(struct conn *c);

/* Its exchanges, oldest first. Entered. */
void conn_push(struct conn *c, struct exchange *e);
static inline struct exchange *conn_oldest(const struct conn *c)
{
	return c->oldest;
}
void conn_pop(struct conn *c); /* takes the oldest off the list; the caller ends it */
/* The oldest whose request is not complete yet: the one that arriving body bytes belong to. */
static inline struct exchange *conn_newest(const struct conn *c)
{
	return c->newest;
}

/* The opener's call is no longer outstanding through this connection. Entered. */
void conn_release_opener(struct conn *c);
/* Our own address, asked once. Entered. */
const struct endpoint *conn_local(struct conn *c);
const struct endpoint *conn_peer(struct conn *c);
/* The peer's address as text; .len 0: not known. Valid as long as c. */
struct slice conn_peer_text(struct conn *c);
/* Before a mutation of its bytes: is fd really (still) a stream socket? In a sandbox that is never known. */
bool conn_is_socket(struct conn *c, int fd);

/* End all exchanges of this process: it exits. Those shared with another process end only if we are the last. */
void conn_end_all(uint64_t now_ns);
/* End exchanges older than max_age_ns; does work once a second at most. */
void conn_sweep(uint64_t now_ns);
/* This process runs another program now: it lets go of the exchanges that it shares with its parent. */
void conn_release_shared(void);
/* Before fork: mark every open exchange as shared with the child. */
void conn_share_all(void);
/* In a forked child: connections that other threads were busy with at that moment are given up. */
void conn_after_fork(void);

/* ---- inline: what every read and write does ---- */

/* Somebody else is busy with it: wait a little. False: in vain, and it is opaque at the next look. */
bool conn_contend(struct conn *c);

static inline bool conn_try(struct conn *c)
{
	uint32_t free = 0;

	return atomic_compare_exchange_strong_explicit(&c->busy, &free, 1, memory_order_acquire, memory_order_relaxed);
}

static inline bool conn_reenter(struct conn *c, int fd, fd_word word)
{
	if (__builtin_expect(!conn_try(c), 0) && !conn_contend(c))
		return false;
	if (__builtin_expect(fdtable_word_again(fd) == word, 1))
		return true;
	conn_leave(c);
	return false;
}

static inline struct conn *conn_enter_as(int fd, fd_word word)
{
	struct conn *c = conn_at(fdtable_object(word));

	if (!conn_reenter(c, fd, word))
		return NULL;
	if (__builtin_expect(atomic_load_explicit(&c->missed, memory_order_relaxed), 0))
		conn_give_up(c);
	return c;
}
