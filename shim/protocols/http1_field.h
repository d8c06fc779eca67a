/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/protocols/http1.h"
#include "shim/protocols/http1_scan.h"

/* The fields that somebody asks for, by their names, and what their values say. */

/* Those of enum http1_field first; then those that are read at once, and kept by nobody. */
enum http1_known {
	HTTP1_CONTENT_LENGTH = HTTP1_N_KEPT,
	HTTP1_TRANSFER_ENCODING,
	HTTP1_AUTHORIZATION,
	HTTP1_SIGNATURE_INPUT,
	HTTP1_UNKNOWN,
};

/* Without surrounding blanks. There are no other control characters in a line. */
INLINE struct slice http1_trimmed(const uint8_t *p, const uint8_t *end)
{
	while (p < end && *p <= ' ')
		p++;
	while (end > p && end[-1] <= ' ')
		end--;
	return slice(p, (size_t)(end - p));
}

INLINE void http1_keep(struct http1_head *head, unsigned field, struct slice trimmed)
{
	if (head->n_kept[field] == 0)
		head->kept_values[field] = trimmed;
	if (head->n_kept[field] < UINT8_MAX)
		head->n_kept[field]++;
}

#define FIRST(letter) (1u << ((letter) & 31))

extern const uint32_t http1_first_letters[32];

/* Most fields are nobody's business, and this is all that they cost. False: unknown. */
INLINE bool http1_may_be_known(struct slice name)
{
	return http1_first_letters[name.len & 31] & FIRST(name.p[0]);
}

#define HTTP1_LENGTH_DIGITS 18

INLINE bool http1_is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* A Content-Length, trimmed. False: -EPROTO. */
INLINE bool http1_take_length(struct http1_head *head, struct slice value)
{
	int64_t n = 0;

	if (value.len == 0 || value.len > HTTP1_LENGTH_DIGITS)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		if (!http1_is_digit(value.p[i]))
			return false;
		n = n * 10 + (value.p[i] - '0');
	}
	if (head->content_length >= 0 && head->content_length != n)
		return false;
	head->content_length = n;
	return true;
}

enum http1_known http1_known_field(struct slice name);
/* Of another field that is not kept. value has its blanks still. False: -EPROTO. */
bool http1_take_value(struct http1_head *head, unsigned field, struct slice value);
