/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/exchange.h"
#include "shim/protocols/http1.h"

/* OTEL_PROPAGATORS: what is taken from heads that come in, and what is put into heads that go out. */

enum { PROPAGATE_TRACECONTEXT = 1, PROPAGATE_BAGGAGE = 2, PROPAGATE_B3 = 4, PROPAGATE_B3MULTI = 8 };

/* Read the list from config; returns NULL or what was not understood (ignored). */
const char *propagation_start(void);
bool propagation_has(unsigned format);

/* The caller's span as the head names it. False: none, or not valid. */
bool propagation_extract(const struct http1_head *head, struct context *ret);
/* The W3C traceparent alone, whatever the propagators are: the program's own bytes as evidence (rule 1). */
bool propagation_traceparent(const struct http1_head *head, struct context *ret);
/*
 * Did an adapter of ours write the head's traceparent, to say whose request it is? It names an exchange, as a stamp does, and has a
 * flag that no other has (TRACE_FLAG_MINTED). It must not leave as it is.
 */
#define TRACE_FLAG_MINTED 0x80
bool propagation_is_minted(const struct http1_head *head);
/* Keep tracestate and baggage of the head with the exchange, to be passed on. */
void propagation_keep(struct exchange *e, const struct http1_head *head);

/* One change to an outgoing head: del bytes at pos of the head are replaced by text. */
struct edit {
	uint32_t pos, del;
	const uint8_t *text;
	uint32_t len;
};
#define EDITS_MAX 8
#define EDIT_TEXT_MAX 2048

/*
 * The edits that make head carry e's context, ascending by pos; text is written to `text` (EDIT_TEXT_MAX bytes). Existing fields are
 * rewritten, never doubled; the others go before the blank line. Returns their number.
 */
unsigned propagation_clean(const struct http1_head *head, struct edit edits[EDITS_MAX]); /* only take out what is minted */
unsigned propagation_edits(const struct exchange *e, const struct http1_head *head, struct edit edits[EDITS_MAX],
			   uint8_t text[EDIT_TEXT_MAX]);
