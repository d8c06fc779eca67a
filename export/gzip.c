/* SPDX-License-Identifier: Apache-2.0 */
#include "export/gzip.h"

#include <stdlib.h>
#include <zlib.h>

/* zlib: 15 bits of window, plus 16 for a gzip header instead of zlib's own. */
#define GZIP_WINDOW (15 + 16)
#define GZIP_MEMORY 8

struct gzip {
	z_stream stream;
};

struct gzip *gzip_open(void)
{
	struct gzip *gzip = calloc(1, sizeof(*gzip));

	/* Level 1: the CPU that it takes is the traced program's, and spans are so alike that more gains little. */
	if (gzip && deflateInit2(&gzip->stream, 1, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(gzip);
		gzip = NULL;
	}
	return gzip;
}

void gzip_close(struct gzip *gzip)
{
	if (gzip)
		deflateEnd(&gzip->stream);
	free(gzip);
}

bool gzip_pack(struct gzip *gzip, struct buffer *ret, const uint8_t *bytes, size_t len)
{
	z_stream *stream = &gzip->stream;
	uLong bound;
	uint8_t *at;

	if (deflateReset(stream) != Z_OK)
		return false;
	bound = deflateBound(stream, len);
	at = buffer_take(ret, bound);
	if (!at)
		return false;
	stream->next_in = (Bytef *)bytes;
	stream->avail_in = (uInt)len;
	stream->next_out = at;
	stream->avail_out = (uInt)bound;
	if (deflate(stream, Z_FINISH) != Z_STREAM_END)
		return false;
	ret->len -= stream->avail_out;
	return true;
}
