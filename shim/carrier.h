/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/context.h"
#include "shim/label.h"

struct exchange;
struct thread;

/*
 * What the calling thread runs now: a runtime's task (rule 2), or a work item or coroutine that was captured when it was
 * made (rule 3). The first that is there answers; where there is none, the state is unknown and not final.
 */
struct carrier_answer {
	bool final;              /* unknown stays unknown: rules 4 to 7 know nothing of this runtime */
	enum evidence evidence;  /* EVIDENCE_RUNTIME or EVIDENCE_WORK_ITEM */
	enum label_state state;
	struct context context;  /* as label_resolve() */
};

struct conn;

void carrier_current(struct thread *t, struct carrier_answer *ret);
/* The same for bytes that leave on client connection c, which may have been handed over earlier, by another task. Entered. */
void carrier_of_sending(struct thread *t, const struct conn *c, struct carrier_answer *ret);

/*
 * The label for a work item, coroutine or message that this thread makes now: of its own carrier, or, where it runs none, by
 * rules 4 and 5. NONE where no request is open at all.
 */
void carrier_capture(struct thread *t, struct label *ret);

/*
 * What sends on c (a carrier, or the thread itself where it inherited a context) is detached and has begun a trace of its own: all that
 * it does from now on joins that. c is entered.
 */
void carrier_adopt(struct thread *t, struct conn *c, const struct context *trace);

/*
 * A work item begins on this thread, and ends: between the two its label answers rule 3. Nested ones restore the outer. Only
 * the thread itself. saved is filled by begin and handed to end.
 */
struct carrier_proof;
struct carrier_saved {
	struct label label;
	struct carrier_proof *proof;
	uint32_t stack;
	bool has_label;
};
void carrier_begin(struct thread *t, const struct label *label, struct carrier_saved *saved);
void carrier_end(struct thread *t, const struct carrier_saved *saved);

/*
 * How far to trust the labels of one kind of work items. An item that is shared by those who would have made another one is not the work of
 * the one that made it. So they are believed once such items have often enough answered the request of their label, and
 * never again after one has answered another. Zeroed at first; must live as long as the process.
 */
struct carrier_proof {
	_Atomic uint32_t answered;
	_Atomic bool revoked;
};
void carrier_begin_unproven(struct thread *t, const struct label *label, struct carrier_proof *proof, struct carrier_saved *saved);
/* Who does what such an item of that label is for begins to answer e. */
void carrier_prove(struct carrier_proof *proof, const struct label *label, const struct exchange *e);
/* This thread begins to answer e. */
void carrier_answers(struct thread *t, const struct exchange *e);

/*
 * As carrier_capture(), for what is put into a queue from a loop of one thread's, which others only reach through a descriptor that it
 * reads: where a request has just arrived and nothing else was handled since the wait, it is that request's, whatever else is open.
 */
void carrier_capture_queued(struct thread *t, struct label *ret);
