/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "export/buffer.h"

/*
 * Writing protobuf's wire format (protobuf.dev/programming-guides/encoding) straight into a buffer. Spans are by far
 * the most of what we send, and a message tree built first and packed by descriptors afterwards costs several times
 * as much; everything rare goes through protobuf-c instead.
 */

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_LEN = 2, PB_FIXED32 = 5 };

static inline size_t pb_varint_size(uint64_t v)
{
	return (size_t)(63 - __builtin_clzll(v | 1)) / 7 + 1;
}

/* Writes v at p, which has room for pb_varint_size(v) bytes. Returns the end. */
static inline uint8_t *pb_store_varint(uint8_t *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*p++ = (uint8_t)v;
	return p;
}

static inline uint64_t pb_key(unsigned field, enum pb_wire wire)
{
	return (uint64_t)field << 3 | wire;
}

static inline void pb_put_varint(struct buffer *b, uint64_t v)
{
	uint8_t *p = buffer_take(b, pb_varint_size(v));

	if (p)
		pb_store_varint(p, v);
}

static inline void pb_put_uint(struct buffer *b, unsigned field, uint64_t v)
{
	pb_put_varint(b, pb_key(field, PB_VARINT));
	pb_put_varint(b, v);
}

static inline void pb_put_bytes(struct buffer *b, unsigned field, const void *bytes, size_t len)
{
	pb_put_varint(b, pb_key(field, PB_LEN));
	pb_put_varint(b, len);
	buffer_put(b, bytes, len);
}

static inline void pb_put_fixed64(struct buffer *b, unsigned field, uint64_t v)
{
	pb_put_varint(b, pb_key(field, PB_FIXED64));
	buffer_put(b, &v, sizeof(v));
}

static inline void pb_put_fixed32(struct buffer *b, unsigned field, uint32_t v)
{
	pb_put_varint(b, pb_key(field, PB_FIXED32));
	buffer_put(b, &v, sizeof(v));
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fixed-width fields are stored as they lie in memory");

/*
 * A nested message whose length is known only at its end: begin leaves room for a length of `hole` bytes, end writes
 * it, moving the content where the length takes another size. 2 fits 128 to 16,383 bytes, 3 up to two million.
 */
struct pb_mark {
	size_t start;
	unsigned hole;
};

static inline struct pb_mark pb_begin(struct buffer *b, unsigned field, unsigned hole)
{
	pb_put_varint(b, pb_key(field, PB_LEN));
	buffer_take(b, hole);
	return (struct pb_mark){b->len, hole};
}

static inline void pb_end(struct buffer *b, struct pb_mark mark)
{
	size_t len = b->len - mark.start;
	size_t need = pb_varint_size(len);

	if (b->full || (need > mark.hole && !buffer_take(b, need - mark.hole)))
		return;
	if (need != mark.hole) {
		memmove(b->data + mark.start - mark.hole + need, b->data + mark.start, len);
		b->len = mark.start - mark.hole + need + len;
	}
	pb_store_varint(b->data + mark.start - mark.hole, len);
}
