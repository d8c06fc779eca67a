/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes: valid as long as the buffer that they were cut from. */
struct slice {
	const uint8_t *p;
	size_t len;
};

#define SLICE_NONE ((struct slice){NULL, 0})

static inline struct slice slice(const void *p, size_t len)
{
	return (struct slice){p, len};
}

static inline struct slice slice_from(struct slice s, size_t offset)
{
	return offset > s.len ? SLICE_NONE : slice(s.p + offset, s.len - offset);
}

/* What stands before, and what after, the byte at `at`, which lies in s. */
static inline struct slice slice_before(struct slice s, const uint8_t *at)
{
	return slice(s.p, (size_t)(at - s.p));
}

static inline struct slice slice_after(struct slice s, const uint8_t *at)
{
	return slice(at + 1, s.len - (size_t)(at - s.p) - 1);
}

static inline bool slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline uint8_t ascii_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* text is lower case already. */
static inline bool slice_is_nocase(struct slice s, const char *text, size_t len)
{
	if (s.len != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (ascii_lower(s.p[i]) != (uint8_t)text[i])
			return false;
	return true;
}
