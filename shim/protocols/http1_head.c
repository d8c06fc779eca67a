/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One whole head, in one pass. A line is found by looking for the next control character: in a legal head that is
 * the end of the line, so the same scan that finds the line also proves that nothing illegal hides in it.
 */
#include "shim/protocols/http1.h"

#include <errno.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define METHOD_MAX 32
#define CONTENT_LENGTH_DIGITS 18

/* Called once or twice for each line of each head. */
#define INLINE static inline __attribute__((always_inline))

static bool is_control(uint8_t c)
{
	return (c < 0x20 && c != '\t') || c == 0x7f;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* The bytes to parse. From last on, 16 cannot be loaded but as the end of the text; where all is shorter, it is start. */
struct text {
	const uint8_t *start, *end, *last;
};

static inline struct text text_of(struct slice s)
{
	return (struct text){s.p, s.p + s.len, s.len >= 16 ? s.p + s.len - 15 : s.p};
}

#ifdef __SSE2__
/* The sign bit of each byte that is below limit (0x21 at most) or above 0x7e: all that is special, and little that
 * is not. */
static inline __m128i suspects(__m128i v, char limit)
{
	__m128i one_more = _mm_add_epi8(v, _mm_set1_epi8(1)); /* as signed, 0x7f and above are now below all others */

	return _mm_subs_epi8(one_more, _mm_set1_epi8((char)(limit + 1)));
}

static inline unsigned sign_bits(__m128i v)
{
	return (unsigned)_mm_movemask_epi8(v);
}

static inline __m128i load(const uint8_t *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}
#endif

static inline bool is_special(uint8_t c, bool with_blanks)
{
	return c == '\r' || is_control(c) || (with_blanks && is_blank(c)); /* the one that is most likely first */
}

/* The first control character (with_blanks: or blank) from p on, or the end. Tab is a blank. */
INLINE const uint8_t *find_special(const uint8_t *p, struct text t, bool with_blanks)
{
#ifdef __SSE2__
	char limit = with_blanks ? 0x21 : 0x20;
	unsigned mask;

	for (; p < t.last; p += 16) {
		for (mask = sign_bits(suspects(load(p), limit)); mask; mask &= mask - 1)
			if (is_special(p[__builtin_ctz(mask)], with_blanks))
				return p + __builtin_ctz(mask);
	}
	if (t.last != t.start && p < t.end) {
		mask = sign_bits(suspects(load(t.end - 16), limit)) >> (16 - (t.end - p));
		for (; mask; mask &= mask - 1)
			if (is_special(p[__builtin_ctz(mask)], with_blanks))
				return p + __builtin_ctz(mask);
		return t.end;
	}
#endif
	while (p < t.end && !is_special(*p, with_blanks))
		p++;
	return p;
}

/* stop is what find_special() found. 0: the input ends before the line does; -EPROTO: a control character within. */
INLINE int end_line(const uint8_t *stop, const uint8_t *end, const uint8_t **ret_next)
{
	if (end - stop >= 2 && stop[0] == '\r' && stop[1] == '\n') {
		*ret_next = stop + 2;
		return 1;
	}
	if (stop == end || (*stop == '\r' && stop + 1 == end))
		return 0;
	if (*stop == '\r')
		stop++;
	if (*stop != '\n')
		return -EPROTO;
	*ret_next = stop + 1;
	return 1;
}

/* A line and where the next one begins. As end_line(). */
INLINE int take_line(const uint8_t **cursor, struct text t, struct slice *ret)
{
	const uint8_t *stop = find_special(*cursor, t, false);

	*ret = slice(*cursor, (size_t)(stop - *cursor));
	return end_line(stop, t.end, cursor);
}

/* ---- start lines ---- */

/* "HTTP/1.0" or "HTTP/1.1" */
static bool take_version(const uint8_t *p, uint8_t *ret_minor)
{
	if (memcmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1'))
		return false;
	*ret_minor = (uint8_t)(p[7] - '0');
	return true;
}

static bool is_token_char(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c > ' ' && c < 0x7f && !memchr("\"(),/:;<=>?@[\\]{}", c, 17));
}

static bool parse_request_line(struct slice line, struct http1_head *ret)
{
	size_t method = 0;

	while (method < line.len && method <= METHOD_MAX && is_token_char(line.p[method]))
		method++;
	if (method == 0 || method > METHOD_MAX || line.len < method + 11 || line.p[method] != ' ' ||
	    line.p[line.len - 9] != ' ' || !take_version(line.p + line.len - 8, &ret->minor))
		return false;
	ret->method = slice(line.p, method);
	ret->target = slice(line.p + method + 1, line.len - method - 10);
	/* No blank in the target: the first one is the one after it. */
	return find_special(ret->target.p, text_of(line), true) == line.p + line.len - 9;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool parse_status_line(struct slice line, struct http1_head *ret)
{
	const uint8_t *p = line.p;

	if (line.len < 12 || !take_version(p, &ret->minor) || p[8] != ' ' || !is_digit(p[9]) || !is_digit(p[10]) ||
	    !is_digit(p[11]) || (line.len > 12 && p[12] != ' '))
		return false;
	ret->status = (uint16_t)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
	return ret->status >= 100;
}

/* ---- fields ---- */

#define LOWER 0x2020202020202020u

/* text in lower case: letters, digits and hyphens, which the bit that lowers letters leaves alone, and which it
 * makes of nothing else that a name may hold. name.len is len already. */
INLINE bool name_is(const uint8_t *name, const char *text, size_t len)
{
	if (len >= 8) {
		uint64_t a, b, first, last;

		memcpy(&a, name, 8);
		memcpy(&b, name + len - 8, 8);
		memcpy(&first, text, 8);
		memcpy(&last, text + len - 8, 8);
		/* The longest has 17 letters: the two words leave one out. */
		return (a | LOWER) == first && (b | LOWER) == last && (len <= 16 || (name[8] | 0x20) == text[8]);
	}
	if (len >= 4) {
		uint32_t a, b, first, last;

		memcpy(&a, name, 4);
		memcpy(&b, name + len - 4, 4);
		memcpy(&first, text, 4);
		memcpy(&last, text + len - 4, 4);
		return (a | (uint32_t)LOWER) == first && (b | (uint32_t)LOWER) == last;
	}
	return (name[0] | 0x20) == text[0] && (name[1] | 0x20) == text[1];
}

#define IS(literal) name_is(name.p, literal, sizeof(literal) - 1)
/* A field's name, which a colon ends. 0: there is none, or a blank, control character or byte above 126 stands in
 * it. */
INLINE size_t name_length(const uint8_t *p, struct text t)
{
	const uint8_t *start = p;

#ifdef __SSE2__
	if (p < t.last) {
		__m128i v = load(p);
		unsigned mask = sign_bits(_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(':')), suspects(v, 0x21)));

		if (mask) {
			size_t n = (size_t)__builtin_ctz(mask);

			return p[n] == ':' ? n : 0;
		}
		p += 16;
	}
#endif
	while (p < t.end && *p > ' ' && *p < 0x7f && *p != ':')
		p++;
	return p < t.end && *p == ':' ? (size_t)(p - start) : 0;
}

/* Without surrounding blanks. There are no other control characters in a line. */
INLINE struct slice trimmed(const uint8_t *p, const uint8_t *end)
{
	while (p < end && *p <= ' ')
		p++;
	while (end > p && end[-1] <= ' ')
		end--;
	return slice(p, (size_t)(end - p));
}

static bool parse_content_length(struct http1_head *head, struct slice value)
{
	int64_t n = 0;

	if (value.len == 0 || value.len > CONTENT_LENGTH_DIGITS)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		if (!is_digit(value.p[i]))
			return false;
		n = n * 10 + (value.p[i] - '0');
	}
	if (head->content_length >= 0 && head->content_length != n)
		return false;
	head->content_length = n;
	return true;
}

/* The next element of a comma separated list, trimmed. False at the end. */
static bool next_element(struct slice *list, struct slice *ret)
{
	const uint8_t *comma;

	if (!list->p)
		return false;
	comma = memchr(list->p, ',', list->len);
	*ret = trimmed(list->p, comma ? comma : list->p + list->len);
	*list = comma ? slice(comma + 1, (size_t)(list->p + list->len - comma - 1)) : SLICE_NONE;
	return true;
}

/* chunked must be there once, and last of all fields' codings. */
static bool parse_transfer_encoding(struct http1_head *head, bool *coded, struct slice list)
{
	struct slice coding;

	while (next_element(&list, &coding)) {
		if (head->chunked || coding.len == 0)
			return false;
		head->chunked = slice_is_nocase(coding, "chunked", 7);
		*coded = true;
	}
	return true;
}

static void parse_connection(struct http1_head *head, struct slice list)
{
	struct slice name;

	while (next_element(&list, &name)) {
		if (name.len == 10)
			head->connection_keep_alive |= IS("keep-alive");
		else if (name.len == 5)
			head->connection_close |= IS("close");
		else if (name.len == 7)
			head->connection_upgrade |= IS("upgrade");
	}
}

/* One of the fields that we would add or change. */
static bool is_context_name(struct slice word)
{
	return slice_is_nocase(word, "traceparent", 11) || slice_is_nocase(word, "tracestate", 10) ||
	       slice_is_nocase(word, "baggage", 7) || slice_is_nocase(word, "b3", 2) ||
	       (word.len > 5 && slice_is_nocase(slice(word.p, 5), "x-b3-", 5));
}

/* Does the text, a list of signed fields among other things, name one as a word of its own? */
static bool names_context(struct slice text)
{
	size_t start = 0;

	for (size_t i = 0; i <= text.len; i++) {
		if (i < text.len && !memchr(" \t;,\"=&", text.p[i], 7))
			continue;
		if (is_context_name(slice(text.p + start, i - start)))
			return true;
		start = i + 1;
	}
	return false;
}

/* Credentials of these schemes say nothing about fields, and are long. */
static bool signs_nothing(struct slice credentials)
{
	return (credentials.len >= 7 && slice_is_nocase(slice(credentials.p, 7), "bearer ", 7)) ||
	       (credentials.len >= 6 && slice_is_nocase(slice(credentials.p, 6), "basic ", 6));
}

INLINE void keep(struct http1_head *head, enum http1_field field, struct slice value)
{
	if (head->n_kept[field] == 0)
		head->kept[field] = trimmed(value.p, value.p + value.len);
	if (head->n_kept[field] < UINT8_MAX)
		head->n_kept[field]++;
}

#define KEEP_IF(literal, field)                   \
	do {                                      \
		if (IS(literal))                  \
			keep(head, field, value); \
	} while (0)

/* Authorization, and the fields that frame and follow the message. False: -EPROTO. */
static bool take_long_field(struct http1_head *head, bool *coded, struct slice name, struct slice value)
{
	switch (name.len) {
	case 11:
		KEEP_IF("traceparent", HTTP1_TRACEPARENT);
		KEEP_IF("x-b3-spanid", HTTP1_X_B3_SPANID);
		return true;
	case 12:
		KEEP_IF("x-b3-traceid", HTTP1_X_B3_TRACEID);
		KEEP_IF("x-b3-sampled", HTTP1_X_B3_SAMPLED);
		return true;
	case 13:
		if (IS("authorization")) {
			keep(head, HTTP1_AUTHORIZATION, value);
			value = trimmed(value.p, value.p + value.len);
			head->signs_context |= !signs_nothing(value) && names_context(value);
		}
		return true;
	case 14:
		return !IS("content-length") || parse_content_length(head, trimmed(value.p, value.p + value.len));
	case 15:
		if (IS("signature-input")) {
			keep(head, HTTP1_SIGNATURE_INPUT, value);
			head->signs_context |= names_context(value);
		}
		KEEP_IF("x-forwarded-for", HTTP1_X_FORWARDED_FOR);
		return true;
	case 16:
		KEEP_IF("x-forwarded-host", HTTP1_X_FORWARDED_HOST);
		return true;
	case 17:
		KEEP_IF("x-forwarded-proto", HTTP1_X_FORWARDED_PROTO);
		return !IS("transfer-encoding") || parse_transfer_encoding(head, coded, value);
	default:
		return true;
	}
}

/* By length, so that fields nobody asks for cost a comparison or two. value has its blanks still. False: -EPROTO. */
static bool take_field(struct http1_head *head, bool *coded, struct slice name, struct slice value)
{
	switch (name.len) {
	case 2:
		KEEP_IF("b3", HTTP1_B3);
		return true;
	case 4:
		KEEP_IF("host", HTTP1_HOST);
		return true;
	case 6:
		if (IS("expect")) {
			value = trimmed(value.p, value.p + value.len);
			head->expect_continue |= slice_is_nocase(value, "100-continue", 12);
		}
		return true;
	case 7:
		KEEP_IF("baggage", HTTP1_BAGGAGE);
		head->upgrade |= IS("upgrade");
		return true;
	case 9:
		KEEP_IF("forwarded", HTTP1_FORWARDED);
		return true;
	case 10:
		if (IS("connection"))
			parse_connection(head, value);
		KEEP_IF("tracestate", HTTP1_TRACESTATE);
		KEEP_IF("user-agent", HTTP1_USER_AGENT);
		KEEP_IF("x-b3-flags", HTTP1_X_B3_FLAGS);
		return true;
	default:
		return take_long_field(head, coded, name, value);
	}
}

/* ---- the head ---- */

static long finish(struct http1_head *ret, bool coded, const uint8_t *start, const uint8_t *blank, const uint8_t *end)
{
	if (coded && (!ret->chunked || ret->content_length >= 0 || ret->minor == 0))
		return -EPROTO;
	ret->whole = slice(start, (size_t)(end - start));
	ret->blank = (size_t)(blank - start);
	return (long)ret->whole.len;
}

_Static_assert(HTTP1_N_KEPT % 4 == 0, "cleared by fours");

static void clear(struct http1_head *ret, enum http1_kind kind)
{
	ret->kind = kind;
	ret->minor = 0;
	ret->status = 0;
	ret->method = ret->target = ret->whole = SLICE_NONE;
	ret->blank = 0;
	ret->n_fields = 0;
	/* In pieces that compilers store as vectors: string instructions take long to start. */
	for (int i = 0; i < HTTP1_N_KEPT; i += 4)
		memset(&ret->kept[i], 0, 4 * sizeof(ret->kept[0]));
	memset(ret->n_kept, 0, sizeof(ret->n_kept));
	ret->content_length = -1;
	ret->chunked = ret->connection_close = ret->connection_keep_alive = ret->connection_upgrade = false;
	ret->upgrade = ret->expect_continue = ret->signs_context = false;
}

/*
 * From the first field on. What is wrong with a line is said when the line is complete, and a control character at
 * once: whoever has the head in pieces relies on that.
 */
static long parse_fields(struct text t, const uint8_t *p, struct http1_head *ret)
{
	unsigned n = 0;
	bool coded = false;

	for (;;) {
		size_t name = name_length(p, t);
		const uint8_t *value = p + name + (name > 0), *stop = find_special(value, t, false), *next;
		int got = end_line(stop, t.end, &next);

		if (got <= 0)
			return got;
		if (name == 0) {
			ret->n_fields = (uint16_t)n;
			return stop == p ? finish(ret, coded, t.start, p, next) : -EPROTO;
		}
		if (++n > HTTP1_MAX_FIELDS ||
		    !take_field(ret, &coded, slice(p, name), slice(value, (size_t)(stop - value))))
			return -EPROTO;
		p = next;
	}
}

long http1_parse_head(struct slice in, enum http1_kind kind, struct http1_head *ret)
{
	struct text t = text_of(slice(in.p, in.len < HTTP1_MAX_HEAD ? in.len : HTTP1_MAX_HEAD));
	const uint8_t *p = in.p;
	struct slice line;
	long len;

	clear(ret, kind);
	len = take_line(&p, t, &line);
	if (len > 0) {
		if (!(kind == HTTP1_REQUEST ? parse_request_line(line, ret) : parse_status_line(line, ret)))
			return -EPROTO;
		len = parse_fields(t, p, ret);
	}
	return len == 0 && in.len >= HTTP1_MAX_HEAD ? -EPROTO : len;
}

bool http1_next_field(const struct http1_head *head, size_t *cursor, struct slice *ret_name, struct slice *ret_value)
{
	struct text t = text_of(slice(head->whole.p, head->blank));
	const uint8_t *p = t.start + *cursor;
	struct slice line;
	size_t name;

	if (*cursor == 0 && take_line(&p, t, &line) <= 0)
		return false; /* the start line */
	if (p >= t.end || take_line(&p, t, &line) <= 0)
		return false;
	*cursor = (size_t)(p - t.start);
	name = name_length(line.p, text_of(line));
	if (name == 0)
		return false;
	*ret_name = slice(line.p, name);
	*ret_value = trimmed(line.p + name + 1, line.p + line.len);
	return true;
}

int http1_detect(struct slice in)
{
	size_t i = 0;

	while (i < in.len && i <= METHOD_MAX && is_token_char(in.p[i]))
		i++;
	if (i == in.len)
		return i <= METHOD_MAX ? 0 : -1;
	return i > 0 && i <= METHOD_MAX && in.p[i] == ' ' ? 1 : -1;
}
