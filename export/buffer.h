/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * A growing byte buffer with a ceiling. What does not fit (the limit, or no memory) sets `full`, and from then on
 * nothing is written: writers need not check each step, their caller asks once at the end.
 * Context: one thread; allocates with malloc, so exporter and agent only.
 */
struct buffer {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t limit; /* len never passes this */
	bool full;    /* something was left out: the content is not whole */
};

#define BUFFER(max)                                                                                                    \
	((struct buffer){                                                                                              \
	    .limit = (max),                                                                                            \
	})

/* Make room for more bytes. Returns false, and sets full, when that cannot be. */
bool buffer_grow(struct buffer *b, size_t more);
void buffer_free(struct buffer *b);

static inline void buffer_reset(struct buffer *b)
{
	b->len = 0;
	b->full = false;
}

/* n writable bytes at the end, counted as written; NULL when full. */
static inline uint8_t *buffer_take(struct buffer *b, size_t n)
{
	uint8_t *at;

	if (__builtin_expect(b->full || b->cap - b->len < n, 0) && !buffer_grow(b, n))
		return NULL;
	at = b->data + b->len;
	b->len += n;
	return at;
}

static inline void buffer_put(struct buffer *b, const void *bytes, size_t n)
{
	uint8_t *at = buffer_take(b, n);

	if (at && n)
		memcpy(at, bytes, n);
}
