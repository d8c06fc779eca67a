/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <errno.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "shim/protocols/bytes.h"

/*
 * The places in a head that matter: control characters, which end its lines, and the colons behind its names. Vectors
 * look for suspects: all bytes that are wanted, and a few that are not (tabs, bytes above 126), which are looked at one by one.
 * Nothing is read beyond the text.
 */

/* Called for each line of each head. */
#define INLINE static inline __attribute__((always_inline))

/* What is to be parsed. */
struct text {
	const uint8_t *start, *end;
};

static inline struct text text_of(struct slice s)
{
	return (struct text){s.p, s.p + s.len};
}

/* Are there 16 bytes from p on, and one more? */
INLINE bool scan_fits(const uint8_t *p, struct text t)
{
	return (uintptr_t)p + 16 < (uintptr_t)t.end;
}

/* Are there bytes from p on, and 16 before the end? */
INLINE bool scan_fits_at_end(const uint8_t *p, struct text t)
{
	return p < t.end && t.end - t.start >= 16;
}

#ifdef __SSE2__
/* A bit for each byte that is below limit (0x21 at most) or above 126. */
INLINE unsigned scan_suspects(const uint8_t *p, char limit, char also)
{
	__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
	__m128i one_more = _mm_add_epi8(v, _mm_set1_epi8(1)); /* as signed, 0x7f and above are now below all others */
	__m128i found = _mm_subs_epi8(one_more, _mm_set1_epi8((char)(limit + 1)));

	if (also)
		found = _mm_or_si128(found, _mm_cmpeq_epi8(v, _mm_set1_epi8(also)));
	return (unsigned)_mm_movemask_epi8(found);
}
#else
INLINE unsigned scan_suspects(const uint8_t *p, char limit, char also)
{
	unsigned found = 0;

	for (int i = 15; i >= 0; i--)
		found = found << 1 | (p[i] < limit || p[i] > 126 || (also && p[i] == also));
	return found;
}
#endif

INLINE bool is_control(uint8_t c)
{
	return (c < 0x20 && c != '\t') || c == 0x7f;
}

/* The same for the bytes from p on where scan_fits() does not hold, and scan_fits_at_end() does. */
INLINE unsigned scan_last_suspects(const uint8_t *p, struct text t, char limit, char also)
{
	return scan_suspects(t.end - 16, limit, also) >> (16 - (t.end - p));
}

/* Where a line stops, and where the next one begins. next NULL: it does not stop properly; stop is the end of the text, or has a reason. */
struct line_end {
	const uint8_t *stop, *next;
};

/* The long way: from p on, where no vector fits or the line's end is not an ordinary one. */
static __attribute__((noinline)) struct line_end scan_odd_line(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *lf;

	while (p < end && !is_control(*p))
		p++;
	lf = p < end && *p == '\r' ? p + 1 : p;
	if (lf == end)
		return (struct line_end){end, NULL};
	return (struct line_end){p, *lf == '\n' ? lf + 1 : NULL};
}

/* The end of the line that p lies in. */
INLINE struct line_end scan_line(const uint8_t *p, struct text t)
{
	unsigned found = 0;

	while (scan_fits(p, t) && (found = scan_suspects(p, 0x20, 0)) == 0)
		p += 16;
	if (found == 0 && scan_fits_at_end(p, t))
		found = scan_last_suspects(p, t, 0x20, 0);
	if (found) {
		p += (unsigned)__builtin_ctz(found);
		if (p + 1 < t.end && memcmp(p, "\r\n", 2) == 0)
			return (struct line_end){p, p + 2};
	}
	return scan_odd_line(p, t.end);
}

/* Why it does not stop. 0: the text ends before; -EPROTO: at a control character. */
static inline int scan_problem(struct line_end line, struct text t)
{
	return line.stop == t.end ? 0 : -EPROTO;
}

/* A name that is long, or in a short text. */
static __attribute__((noinline)) size_t scan_odd_name(const uint8_t *p, struct text t)
{
	const uint8_t *start = p;

	for (; scan_fits(p, t); p += 16) {
		unsigned found = scan_suspects(p, 0x21, ':');

		if (found) {
			p += __builtin_ctz(found);
			return *p == ':' ? (size_t)(p - start) : 0;
		}
	}
	while (p < t.end && *p > ' ' && *p < 0x7f && *p != ':')
		p++;
	return p < t.end && *p == ':' ? (size_t)(p - start) : 0;
}

/* The length of a field's name, which a colon ends. 0: there is none, or a blank, control character or byte above 126 stands in it. */
INLINE size_t scan_name(const uint8_t *p, struct text t)
{
	unsigned found = 0;

	if (scan_fits(p, t)) {
		found = scan_suspects(p, 0x21, ':');
	} else if (p < t.end) {
		if (*p <= ' ')
			return 0; /* the blank line, most often */
		if (scan_fits_at_end(p, t))
			found = scan_last_suspects(p, t, 0x21, ':');
	}
	if (found) {
		size_t len = (unsigned)__builtin_ctz(found);

		return p[len] == ':' ? len : 0;
	}
	return scan_odd_name(p, t);
}

/* The first byte from p on that is not above the blank, or is above 126, where 16 bytes and more follow each that is looked at. Else NULL. */
INLINE const uint8_t *scan_word_end(const uint8_t *p, struct text t)
{
	for (; scan_fits(p, t); p += 16) {
		unsigned found = scan_suspects(p, 0x21, 0);

		if (found)
			return p + (unsigned)__builtin_ctz(found);
	}
	return NULL;
}

/* Is there a blank, with no control characters about? */
static inline bool scan_has_blank(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] <= ' ')
			return true;
	return false;
}
