/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/context.h"

struct conn;
struct http1_head;
struct thread;

/*
 * Who is the parent? The rules of the README, in their order; the first that answers wins, and what contradicts proof is
 * switched off where it did. A wrong parent is the worst answer, so each rule gives none when its state may be incomplete.
 */

#define RULES_MAX_LINKS 4

/* What the outgoing request head says by itself. */
struct request_evidence {
	bool has_traceparent;  /* a valid one */
	struct context named;  /* what it names */
	const struct http1_head *head;
};

struct decision {
	enum evidence evidence;
	struct context parent;   /* unless root or ambiguous */
	struct handle exchange;  /* the server exchange it is made for, if one is known */
	bool detached;           /* that exchange has ended */
	bool origin_named;       /* ... and the head names it: */
	struct context origin;
	bool keep_head;          /* the program's own traceparent must stay as it is */
	uint64_t now_ns;         /* when it was decided; 0: the clock was not asked */
	unsigned n_links;
	struct context links[RULES_MAX_LINKS]; /* last: only so many as there are mean anything */
};

/* A client exchange is about to begin on c. */
void rules_decide(struct thread *t, struct conn *c, const struct request_evidence *evidence, struct decision *ret);

/* The context that is current on this thread for anything but a request head (a thread made, a program run, a connection
 * opened). False: none, or not known. */
bool rules_current(struct thread *t, struct context *ret);
/* The same for a connect(): which open exchange is it for, by which rule? */
bool rules_opener(struct thread *t, struct handle *ret, enum evidence *ret_rule);

/*
 * Whose work has this thread done since its last wait returned? Asked after the fact: what a runtime's current task says is about now,
 * and is not asked. Rules 4 and 5 know; or, of two signs that agree, it is the only one that this thread was woken for, whatever else
 * is parked, and the first that it does something for after that work: answered, whose response begins or ends now (none: nobody).
 */
bool rules_blocker(struct thread *t, struct handle answered, struct handle *ret);

/*
 * Whom a call of unknown parent is most likely for: the request that alone has arrived in this window and has made no call yet. This
 * decides no parent. It keeps that request from counting as parked, which would make all later calls unknown too; and the
 * oracle ends it where it proves wrong.
 */
struct handle rules_presumed(const struct thread *t);
/* The same where the call's head is known: a forwarder copies into it what its request came with. */
struct handle rules_presumed_of(const struct thread *t, const struct http1_head *head, struct handle opener);

/* Is fd a descriptor that a thread serving its request synchronously would wait for: its own request's connection, or a
 * connection that it is a client on? */
bool rules_is_own_descriptor(const struct thread *t, int fd);
