/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/context.h"
#include "shim/label.h"
#include "shim/started.h"

/*
 * Whose work a Python thread, or a greenlet, does. It may be one that serves the requests that it reads; one that was started for a
 * request; or a worker, which fetches items from a queue: its own one, the first that it fetched from. Only the worker itself touches
 * its structure, inside the guard.
 *
 * What a queue gives is not always work: connections lie in queues until somebody borrows them, and results come back
 * through queues. So an item changes whose work a worker does only where it came out of the worker's own queue; one from
 * another queue can only make that unknown.
 */
enum worker_for {
	WORKER_NOTHING,
	WORKER_REQUEST, /* it read the request of label */
	WORKER_STARTED, /* greenlet: it was made by somebody with that label */
	WORKER_ITEM,    /* it fetched an item with that label, and may have read a request since: then it is of that */
};

#define WORKER_MADE 16

struct worker {
	uint8_t what;        /* enum worker_for */
	bool runs_item;      /* an executor's item: what is fetched before its end is not work */
	bool loops;          /* thread: reads requests before it has answered others */
	bool forked;         /* thread: it has left its process; what it was working for, it still may be, until it reads from a pipe */
	bool began_trace;    /* thread: what it inherited is over, and t->inherited is the trace of its detached work */
	bool said_it_runs;
	bool no_sleep;       /* the next wait that ends at its time does not show that it looks for work */
	uint8_t n_made;
	uint16_t in_queue;   /* calls of a queue's methods that are under way: what they wait for is their own affair */
	uint32_t window;     /* WORKER_REQUEST: window.seq then */
	struct handle served;   /* the request that it read last */
	struct handle arriving; /* greenlet: it has accepted this connection; the next greenlet that it makes is for that */
	struct label label;
	struct started started; /* greenlet; a thread's is in struct thread */
	const void *home;       /* its own queue */
	const void *candidate;  /* the first queue that gave it something else than what it was started for */
	const void *last_queue, *last_item; /* what it fetched last; last_item NULL: nothing that it could put back */
	const void *suspect;    /* the condition of another's making that it has entered last: it may have been left other work there */
	const void *made[WORKER_MADE]; /* the conditions that it made last, while what it was started for is all that is known of it */
	const void *context;    /* WORKER_ITEM: the Context it fetched the item in. In another one that one's label counts */
};

struct fetched {
	const void *queue, *item; /* item NULL: None, which is not work */
	bool known;               /* label is that of the item */
	bool returned;            /* as python_items.h */
	bool borrowed;            /* the way it was fetched is one in which things are borrowed */
	bool executors;           /* an item of an executor: work, and nothing else */
	struct label label;
};

/*
 * An item was fetched, in this Context. now: what the worker works for, as far as is known (else LABEL_UNKNOWN); serves: it does so
 * because it read an open request itself.
 */
void worker_fetched(struct worker *w, const struct fetched *f, const void *context, const struct label *now, bool serves);
/* It looked for an item, and there was none. */
void worker_missed(struct worker *w, const void *queue);
/* It puts this item into that queue: does it give back what it had fetched from there, or what it found missing? */
bool worker_returns(const struct worker *w, const void *queue, const void *item);
