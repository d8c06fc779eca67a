/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Text built in a fixed buffer: what does not fit is cut off. Async-signal-safe. */
struct text {
	char *buf;
	size_t cap; /* the terminating NUL included, at least 1 */
	size_t len;
};

static inline void text_add(struct text *t, const char *bytes, size_t len)
{
	if (len > t->cap - 1 - t->len)
		len = t->cap - 1 - t->len;
	memcpy(t->buf + t->len, bytes, len);
	t->len += len;
	t->buf[t->len] = '\0';
}

static inline void text_add_string(struct text *t, const char *string)
{
	text_add(t, string, strlen(string));
}

/* At least min_digits digits. */
static inline void text_add_number(struct text *t, uint64_t value, unsigned base, unsigned min_digits)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0 || sizeof(digits) - at < min_digits);
	text_add(t, digits + at, sizeof(digits) - at);
}

static inline void text_add_unsigned(struct text *t, uint64_t value)
{
	text_add_number(t, value, 10, 1);
}
