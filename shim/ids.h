/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/context.h"

/*
 * Trace ids are random. Span ids are a handle, encrypted with a key of this process: as good as random to everybody else,
 * and recognisable to us without a table, which is how a stamp that comes back is known (rule 1).
 * Context: any thread, async-signal-safe.
 */

/* Draw the key. Also in a forked child, where the parent's key is kept to recognise inherited exchanges. */
void ids_start(void);
void ids_after_fork(void);
/* Before a fork in a sandbox: what the children are random by is not to be the same twice. */
void ids_before_fork(void);
/* From process_is_sandboxed() on, nobody is asked for randomness. Seeds the calling thread, and what later ones are seeded by. */
void ids_prepare_for_sandbox(void);

void ids_new_trace(uint8_t trace_id[16]);
void ids_new_span(uint8_t span_id[8], struct handle handle);

enum ids_origin {
	IDS_FOREIGN,   /* not made by this process */
	IDS_OURS,      /* made by this process image: *ret is the handle it was made for (generation cut to 16 bits) */
	IDS_INHERITED, /* made by the process that forked us, before it did */
};
enum ids_origin ids_recognise(const uint8_t span_id[8], struct handle *ret);
/* Do the 16 bits of generation that an id holds match? */
bool ids_same_generation(struct handle from_id, struct handle real);

uint64_t ids_random(void); /* 64 random bits from this thread's generator */
