/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "shim/exchange.h"
#include "shim/protocols/http1.h"

/*
 * Is this program a forwarder (a proxy), that is, do the fields of a request head that it reads come out again in a head that it
 * sends? Only in a forwarder may a stamp be inserted into a head that had none, so that an application never sees a
 * field that nobody sent. Found out by watching the first exchanges; then the watching stops.
 */

/* Read INTERSPAN_STAMP from config. */
void forwarder_start(void);
/* Remember the end-to-end fields of a request head, while the question is open. */
void forwarder_look(struct exchange *server, const struct http1_head *head);
extern _Atomic bool forwarder_rests; /* it is not open, until a head is sent */

static inline void forwarder_note(struct exchange *server, const struct http1_head *head)
{
	if (!atomic_load_explicit(&forwarder_rests, memory_order_relaxed))
		forwarder_look(server, head);
}

/* A request head goes out: do all fields noted for `server` (NULL: for any open exchange) reappear in it? */
void forwarder_observe(const struct exchange *server, const struct http1_head *head);
/* May a stamp be inserted (INTERSPAN_STAMP, and what we have learnt)? May one be rewritten? */
bool forwarder_may_insert(void);
bool forwarder_may_rewrite(void);
/* Can it be one? Not when heads did not reappear, or stamps that were inserted by ourselves never came back. */
bool forwarder_is_possible(void);
/* It is one: heads reappeared, whole. */
bool forwarder_is_one(void);
/* A request into whose head a stamp was inserted is over. Those that wait in a queue of the program's say nothing yet. */
void forwarder_stamped_has_ended(void);
/* A stamp came back in an outgoing head; once that is the rule, its absence means something. */
void forwarder_stamp_returned(void);
bool forwarder_returns_stamps(void);

/*
 * The open exchange whose end-to-end fields all stand in this head, in a program that has shown itself a forwarder; none where
 * several do, or where one was not noted.
 */
struct handle forwarder_only_match(const struct http1_head *head);

/* ---- rule 7: equal heads ---- */
/* Of method, target and Host; never 0. */
uint32_t forwarder_content_hash(const struct http1_head *head);
/* Do all end-to-end fields noted for e, one at least, stand in this head? */
bool forwarder_matches(const struct exchange *e, const struct http1_head *head);
/* Was a head of this hash ever sent while no request was open? Then equality proves nothing. */
bool forwarder_sent_unasked(uint32_t content_hash);
