/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/clock.h"
#include "shim/context.h"
#include "shim/pool.h"
#include "shim/record.h"

/*
 * An exchange: one request and its response on one connection. Server exchanges are what client exchanges have as
 * parents. Fields are written by whoever holds the connection's lock; those marked atomic are read by anybody who
 * holds a handle, and a handle is only believed while exchange_is_open().
 *
 * Life: begin, any number of facts, end. Ending writes the record (when it is recorded), takes the exchange
 * out of every count and frees the slot; the handle is dead from then on.
 */

#define EXCHANGE_RECORD_BYTES 4096
#define EXCHANGE_BAGGAGE_BYTES 1024
#define EXCHANGE_TRACESTATE_BYTES 512
#define EXCHANGE_FIELDS 12 /* hashes of end-to-end fields kept, to see whether this process is a forwarder */

struct thread;

enum exchange_role { EXCHANGE_SERVER, EXCHANGE_CLIENT };

struct exchange {
	_Atomic uint32_t open_generation; /* the generation of the handle while open, else 0 */
	uint8_t role;
	bool recorded;         /* sampled and not excluded: it becomes a span */
	bool counted;          /* started was counted: the end must be, too */
	bool stamped;          /* the program saw our span id in this request's head */
	bool inserted;         /* server: in a field that nobody had sent */
	bool answered_head;    /* the final response head has gone by */
	bool handed_over;      /* server: a runtime's adapter has found the task that serves it */
	bool expects;          /* server: its head has an expectation other than 100-continue; servers may refuse it unseen */
	bool sizes_unknown;    /* its bodies were not seen */
	bool request_done, response_done;
	bool has_stack;        /* of its error */
	bool error_status;     /* error.type has been set from the status code */
	bool shared;           /* open at a fork: ownership is decided by ownership_claim() */
	uint8_t method;        /* enum exchange_method: what the response's framing depends on */
	uint8_t rule;          /* client: enum evidence of its parent */
	uint16_t status;
	struct context context;
	struct context incoming;  /* server: the parent that the peer named; all zero: none */
	struct handle parent;     /* client: the server exchange it was made for, or none */
	struct handle waiter;     /* client: the one that counts it as outstanding: the parent, or whom it is presumed to be for */
	struct exchange *next;    /* the next (younger) one on the connection */
	uint32_t connection;      /* slot */
	uint32_t loop;            /* server: slot of the loop that read it; 0: none */
	_Atomic bool asked;       /* server: a thread has said that it begins to serve it (ruby.c) */
	_Atomic bool queued;      /* server: it was put into a queue of jobs (job_queue.c) */
	uint32_t coroutine;       /* server: the coroutine on whose stack its request was read; 0: none */
	uint32_t ownership;       /* cell shared with forked children; 0: none */
	_Atomic uint32_t under_way; /* server: client exchanges and connects for it, and EXCHANGE_HANDED */
	_Atomic uint32_t calls;   /* server: client exchanges under way that have it as parent */
	_Atomic uint32_t openings; /* server: connections ever opened for it, or presumed to be */
	_Atomic uint32_t clients_elsewhere; /* server: calls ever made for it over connections that it had not opened */
	struct context detached;  /* server, kept for work that outlives it: see rules.c */
	uint64_t start_ns;
	uint64_t request_bytes, response_bytes;
	bool noted;               /* forwarder.c has looked at its head: */
	uint32_t fields[EXCHANGE_FIELDS]; /* hashes of end-to-end fields */
	uint8_t n_fields;
	uint32_t request_hash; /* method and target, where an adapter wants it; see server.h */
	uint32_t content_hash; /* rule 7: method, target and Host */
	uint16_t baggage_len, tracestate_len;
	char baggage[EXCHANGE_BAGGAGE_BYTES];
	char tracestate[EXCHANGE_TRACESTATE_BYTES];
	uint32_t n_attributes, n_links, n_events, events_dropped;
	struct record_builder record;
	_Alignas(8) uint8_t record_memory[EXCHANGE_RECORD_BYTES];
};

/* In under_way: its thread woke another one while handling it. In one word with the count, so that both change as one. */
#define EXCHANGE_HANDED 0x80000000u

enum exchange_method { METHOD_OTHER, METHOD_HEAD, METHOD_CONNECT };

int exchange_start(void);

extern struct pool exchanges;

static inline struct exchange *exchange_at(uint32_t slot)
{
	return pool_at(&exchanges, slot);
}

/* Slots 1 to this have ever been used: for the bounded scans of rules.c. */
static inline uint32_t exchange_high_water(void)
{
	return atomic_load_explicit(&exchanges.used, memory_order_acquire);
}

/* The open exchange in a slot, whatever number that is; NULL: none. */
static inline struct exchange *exchange_open_at(uint32_t slot, uint32_t *ret_open)
{
	if (slot - 1 >= exchange_high_water()) /* 0, too */
		return NULL;
	*ret_open = atomic_load_explicit(&exchange_at(slot)->open_generation, memory_order_acquire);
	return *ret_open ? exchange_at(slot) : NULL;
}

static inline uint32_t exchange_open_generation(uint32_t slot)
{
	uint32_t open;

	return exchange_open_at(slot, &open) ? open : 0;
}

/* The exchange of a handle if it is still open, else NULL. The answer may be outdated at once. */
static inline struct exchange *exchange_of(struct handle h)
{
	uint32_t open;
	struct exchange *e = exchange_open_at(h.slot, &open);

	return e && open == h.gen + 1 ? e : NULL;
}

static inline bool exchange_is_open(struct handle h)
{
	return exchange_of(h) != NULL;
}

/* The time, for an exchange whose sampling is decided: of one that is not recorded nobody is told, and the last tick's will do. */
static inline uint64_t exchange_now(const struct exchange *e)
{
	return e->recorded ? clock_monotonic_ns() : clock_coarse_ns();
}

/* A fresh exchange with zeroed bookkeeping, open; NULL when there are too many (counted). */
struct exchange *exchange_begin(enum exchange_role role);
/* Give it its context: the parent's trace (NULL: a new one), an id of its own, the sampler's decision. */
void exchange_identify(struct exchange *e, const struct context *parent);
static inline struct handle exchange_handle(const struct exchange *e)
{
	return e->context.exchange;
}
/* The open exchange that a span id of ours names, or NULL: generation, id and trace must match. */
struct exchange *exchange_named(struct handle from_id, const struct context *named);
/*
 * A copy of the context of a handle's exchange, whole: another thread may end it, and begin another one in its place, while it is
 * read. False: it is not open.
 */
bool exchange_context(struct handle h, struct context *ret);
/* On functions that look at exchanges of other threads, and do not mind what they see in one that is just ending. */
#define EXCHANGE_GLIMPSE __attribute__((no_sanitize("thread")))

/*
 * End it: close the counts, write the record with end_ns (of one that is recorded), free the slot. error: the value of error.type, or NULL.
 */
void exchange_end(struct exchange *e, uint64_t end_ns, const char *error);
/* This thread ends: its spare slot is everybody's. */
void exchange_thread_ends(struct thread *t);
/* Forget it without a trace: another process owns it, or it never began. */
void exchange_discard(struct exchange *e);

/* A client exchange or a connect for server exchange h began (+1) or is over (-1). */
void exchange_outstanding(struct handle h, int change);
/* Put a server exchange into the counts of a loop (0: none). */
void exchange_join_loop(struct exchange *e, uint32_t loop);
static inline uint32_t exchange_outstanding_count(const struct exchange *e)
{
	return atomic_load_explicit(&e->under_way, memory_order_relaxed) & ~EXCHANGE_HANDED;
}
/* A client exchange of known parent begins; it ends with the exchange. */
void exchange_call_begins(struct exchange *server);
/* Has any request ever had two such at a time? */
bool exchange_fan_out_seen(void);
/* Its thread woke another while working on it: its continuation may run anywhere. */
void exchange_handed_off(struct handle h);

/* Open ones but `except` whose thread woke another one; without those that wait for a call or connect, or with them. */
uint32_t exchange_handed(struct handle except, bool waiting_too);
/* How many requests have begun; it may wrap. */
uint32_t exchange_requests(void);
/* It was put into a queue of jobs. */
void exchange_queued(struct handle h);
/* Are there open ones that were not? */
bool exchange_has_unqueued(void);
/* Server exchanges open in this process. */
uint32_t exchange_open_count(void);
/*
 * Open ones that neither are `except` nor wait for a client exchange or connect of their own: on loop, or (0) anywhere.
 * One handed off by another loop is not among those of this one.
 */
uint32_t exchange_parked(uint32_t loop, struct handle except);
