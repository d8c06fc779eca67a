/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * A context names one span and, through a handle, the exchange that the span belongs to. It is a
 * value: copied, never shared. Whoever holds a copy can ask exchange_is_open() about the handle.
 */

/* Slot and generation of a pooled object; slot 0 is never handed out, so {0, 0} is "none". */
struct handle {
	uint32_t slot;
	uint32_t gen;
};

#define HANDLE_NONE ((struct handle){0, 0})

static inline bool handle_is_none(struct handle h)
{
	return h.slot == 0;
}

static inline bool handle_equal(struct handle a, struct handle b)
{
	uint64_t x, y;

	__builtin_memcpy(&x, &a, sizeof(x));
	__builtin_memcpy(&y, &b, sizeof(y));
	return x == y;
}

#define TRACE_FLAG_SAMPLED 0x01
#define TRACE_FLAG_RANDOM 0x02

/* Ids are kept in wire order (big-endian bytes). All-zero ids mean "no span". */
struct context {
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint8_t flags; /* W3C trace flags, masked to SAMPLED | RANDOM */
	bool remote;   /* the span was made by another process */
	struct handle exchange; /* the server exchange it belongs to, or none */
};

static inline bool context_is_valid(const struct context *c)
{
	uint64_t w[3];

	__builtin_memcpy(w, c->trace_id, 16);
	__builtin_memcpy(&w[2], c->span_id, 8);
	return (w[0] | w[1]) != 0 && w[2] != 0;
}

/*
 * Why a span has the parent that it has: the rules of README "Who is the parent". The numbers are
 * part of the record format; the texts are the values of the attribute interspan.parent.evidence.
 */
enum evidence {
	EVIDENCE_ROOT = 0, /* known to have no parent */
	EVIDENCE_REMOTE,   /* the peer's traceparent (or b3) in a request that we received */
	EVIDENCE_STAMP,    /* rule 1: a traceparent in the bytes that the program sent */
	EVIDENCE_RUNTIME,  /* rule 2: the runtime's own task identity */
	EVIDENCE_WORK_ITEM,/* rule 3: captured when the work item or coroutine was made */
	EVIDENCE_STIMULUS, /* rule 4: the only thing that this loop was woken for */
	EVIDENCE_THREAD,   /* rule 5: the thread serves one request, or inherited a context */
	EVIDENCE_OPENER,   /* rule 6: the connection was opened for it */
	EVIDENCE_CONTENT,  /* rule 7: the same head; off by default */
	EVIDENCE_AMBIGUOUS,/* unknown: a new root with links to the candidates */
	EVIDENCE_N
};
