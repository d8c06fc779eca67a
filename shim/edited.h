/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/conn.h"
#include "shim/engine.h"

/*
 * A send with bytes of ours in it: a request head that gets our headers, or what a short write cut off them. The program
 * is told about its own bytes only; bytes of ours that a short write cut off are owed, and go before anything else.
 *
 * In this order, for one real send: edited_plan(), edited_plan_owed(), both entered; edited_transmit(), not entered;
 * edited_outcome(); edited_drop(). A plan starts with all zero but the pieces and the head; n still 0 after
 * planning: send as it is.
 */

#define EDITED_PIECES_MAX 33 /* the program's 16 vectors, cut by 8 edits, these, and what is owed */

/* An edited send: the pieces that go out, in order, and how each counts towards what the program is told. */
struct piece {
	const uint8_t *p;
	size_t len;
	uint32_t told;   /* program bytes that a fully sent piece stands for: len for its own, what it replaces for ours */
	bool ours;
	uint8_t edit;    /* ours: index of the edit + 1; 0: owed bytes */
};

struct plan {
	struct piece piece[EDITED_PIECES_MAX];
	unsigned n;
	size_t total, told; /* of the pieces: bytes, and program bytes that they stand for */
	uint8_t edits;      /* bit per edit that is among them */
	uint8_t *block;    /* text of the edits, and room to join small sends */
	uint32_t block_cap;
	uint8_t *gathered; /* the head, where it is not contiguous in the program's memory */
	const uint8_t *flat; /* all of the program's bytes, where they were gathered as a whole; else NULL */
	struct http1_head head;
	size_t head_end;   /* where it ends in the program's bytes, if it is whole in the first of its iovecs; 0: it is not */
	uint8_t *owed;     /* the connection's, while they are being sent: it may be closed meanwhile */
	uint16_t owed_len, owed_sent;
};

/* Look at what is about to be sent; fill in pieces if it is to be edited. Begins the exchange of a complete head. */
void edited_plan(struct conn *c, const struct sending *s, struct plan *p);
/* Owed bytes go first; if nothing else is edited, the program's follow as they are. */
void edited_plan_owed(struct conn *c, const struct sending *s, struct plan *p);
/* The real call. Returns the bytes of all pieces that are out, or -1 with errno. */
ssize_t edited_transmit(const struct sending *s, const struct plan *p);
/*
 * What the program is told when n bytes of the pieces are out (or -1 with errno). *ret_again: nothing of the program's
 * is, try on. c is entered, or NULL when it was closed meanwhile.
 */
ssize_t edited_outcome(struct conn *c, const struct sending *s, struct plan *p, ssize_t n, bool *ret_again);
void edited_drop(struct plan *p);
