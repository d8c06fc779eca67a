/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/protocols/http1.h"

/*
 * What the heads of one direction of a connection have in common. Peers send the same lines again and again, but for a target, a
 * date, an id. A memo holds copies of lines that were parsed before, in runs of lines that followed one another. Where the next
 * head has the very bytes of a run, their meaning is known: the parser takes all of its lines at once. A run may end within a line,
 * after the name: there the value varies, or means something only together with other lines (framing, signatures), and is read as
 * ever. Which values vary shows; and when a few heads in a row were of another kind, the memo is made anew.
 *
 * A memo never changes what a head means, only what it costs to find out: it is a copy of bytes, compared with all of them. So it
 * stays true for ever, for whichever connection. All zero is an empty one. One user at a time; a signal handler that leaves by a
 * jump may leave it emptied.
 */
#define HTTP1_MEMO_BYTES 512
#define HTTP1_MEMO_RUNS 7
#define HTTP1_MEMO_KEPT 8
#define HTTP1_MEMO_RUN_MIN 24 /* a shorter run costs what its lines do */
#define HTTP1_MEMO_NO_RUN UINT16_MAX /* as lines_before: more lines than any head has */
#define HTTP1_MEMO_CLOSED UINT8_MAX

struct http1_run {
	uint16_t at, len;             /* in bytes */
	uint16_t lines_before, lines; /* to be parsed between the run before and this one; whole ones in it */
	uint8_t kept, kept_end;       /* the values in them: kept[kept] to kept[kept_end - 1] */
	uint8_t open;                 /* enum http1_known of a line after whose colon the run ends; or HTTP1_MEMO_CLOSED: with a line */
};

struct http1_memo_value {
	uint16_t at, len;
	uint32_t field;               /* enum http1_field */
};

struct http1_memo {
	uint8_t n_runs, n_kept;
	uint8_t misses;               /* heads of another kind, in a row */
	bool useful;                  /* it has known one, since it was made */
	uint8_t patience;             /* after so many misses it is made anew */
	struct http1_run runs[HTTP1_MEMO_RUNS + 1]; /* n_runs, and one with HTTP1_MEMO_NO_RUN; but n_runs 0: none */
	struct http1_memo_value kept[HTTP1_MEMO_KEPT];
	uint8_t bytes[HTTP1_MEMO_BYTES];
};

/* Where a head was expected to go on with the bytes of run i, it goes on with those at p. */
void http1_memo_differs(struct http1_memo *memo, unsigned i, struct slice text);
/* It did not know a head. */
void http1_memo_missed(struct http1_memo *memo, const struct http1_head *head);

/* A head has been parsed. known: its runs were all there. */
static inline void http1_memo_served(struct http1_memo *memo, const struct http1_head *head, bool known)
{
	if (__builtin_expect(!known, 0)) {
		http1_memo_missed(memo, head);
		return;
	}
	memo->misses = 0;
	memo->useful = true;
}
