/* SPDX-License-Identifier: Apache-2.0 */
#include "export/buffer.h"

#include <stdlib.h>

#define BUFFER_FIRST_BYTES 4096

bool buffer_grow(struct buffer *b, size_t more)
{
	size_t cap = b->cap ? b->cap : BUFFER_FIRST_BYTES;
	uint8_t *data;

	if (b->full || b->len > b->limit || more > b->limit - b->len) {
		b->full = true;
		return false;
	}
	while (cap - b->len < more)
		cap *= 2;
	if (cap > b->limit)
		cap = b->limit;
	data = realloc(b->data, cap);
	if (!data) {
		b->full = true;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

void buffer_free(struct buffer *b)
{
	free(b->data);
	*b = BUFFER(b->limit);
}
