/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the test programs need of HTTP/1.1 (RFC 9112), and no more. It is written apart from the library's own parser,
 * so that a mistake in the one is not hidden by the same mistake in the other. Peers are trusted; sizes are bounded.
 */

#define TRUTH_HEADER "X-Truth"
#define TRUTH_MAX 64 /* bytes of a truth id, NUL included */

/* Bytes of the head at the start of buf, its blank line included; 0: not complete yet. */
size_t head_length(const char *buf, size_t len);

/*
 * Copy the value of the first header called name, without the blanks around it, to out (NUL-terminated, cut at
 * cap - 1). Returns false and an empty out when there is none.
 */
bool head_value(const char *head, size_t head_len, const char *name, char *out, size_t cap);

/* The status code of a response head; -1 when it is not one. */
int head_status(const char *head, size_t head_len);

/* Does the peer close the connection after this message? */
bool head_closes(const char *head, size_t head_len);

enum framing { BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE };

/* Where we are in one message's body. */
struct body {
	enum framing framing;
	uint64_t left;    /* bytes of the length, or of this chunk, still to come */
	int chunk_state;  /* enum chunk_state of http.c */
	bool line_empty;  /* no byte of the current trailer line was seen */
	bool done;
};

void body_begin_request(struct body *body, const char *head, size_t head_len);
/* no_body: the response is to HEAD, or is a 204 or 304. */
void body_begin_response(struct body *body, const char *head, size_t head_len, bool no_body);

/*
 * Take bytes of the body from p (n of them). Returns how many belong to it; of those, ret_data and ret_data_len
 * are content (at most one run a call: call again until done or 0 is returned).
 */
size_t body_take(struct body *body, const char *p, size_t n, const char **ret_data, size_t *ret_data_len);

/* xorshift64*: seeded, so that a run can be repeated. state must not be 0. */
static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 2685821657736338717ull;
}

/* Uniform enough for a test: 0 to limit, inclusive. */
static inline uint32_t random_below_or_at(uint64_t *state, uint32_t limit)
{
	return (uint32_t)((random_next(state) >> 16) % ((uint64_t)limit + 1));
}
