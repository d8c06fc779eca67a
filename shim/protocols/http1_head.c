/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One whole head, in one pass. A line is found by looking for the next control character: in a legal head that is the end of the
 * line, so the same scan that finds the line also proves that nothing illegal hides in it.
 */
#include "shim/protocols/http1.h"

#include <errno.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define METHOD_MAX 32
#define CONTENT_LENGTH_DIGITS 18

static bool is_control(uint8_t c)
{
	return (c < 0x20 && c != '\t') || c == 0x7f;
}

/* The first control character (tab is none) in [p, end), or end. */
static const uint8_t *find_control(const uint8_t *p, const uint8_t *end)
{
#ifdef __SSE2__
	const __m128i low = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f);

	for (; end - p >= 16; p += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		__m128i control = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(v, tab),
								_mm_cmpeq_epi8(_mm_min_epu8(v, low), v)),
					       _mm_cmpeq_epi8(v, del));
		int mask = _mm_movemask_epi8(control);

		if (mask)
			return p + __builtin_ctz((unsigned)mask);
	}
#endif
	while (p < end && !is_control(*p))
		p++;
	return p;
}

/* A line and where the next one begins. 0: the input ends first; -EPROTO: a control character within. */
static int take_line(const uint8_t **cursor, const uint8_t *end, struct slice *ret)
{
	const uint8_t *stop = find_control(*cursor, end);

	*ret = slice(*cursor, (size_t)(stop - *cursor));
	if (stop == end || (*stop == '\r' && stop + 1 == end))
		return 0;
	if (*stop == '\r')
		stop++;
	if (*stop != '\n')
		return -EPROTO;
	*cursor = stop + 1;
	return 1;
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
	return !memchr(ret->target.p, ' ', ret->target.len) && !memchr(ret->target.p, '\t', ret->target.len);
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

/* Where the name ends: the colon, or line.len when there is none or the name is not a name. */
static size_t name_length(struct slice line)
{
	const uint8_t *colon = memchr(line.p, ':', line.len);
	size_t n = colon ? (size_t)(colon - line.p) : 0;

	/* A space or tab in the name, before the colon or at the line's start (obs-fold) is read differently by different
	 * parsers. */
	if (n == 0 || memchr(line.p, ' ', n) || memchr(line.p, '\t', n))
		return line.len;
	return n;
}

static struct slice trimmed(const uint8_t *p, const uint8_t *end)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
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

/* chunked must be there once, and last. */
static bool parse_transfer_encoding(struct http1_head *head, struct slice list)
{
	struct slice coding;

	while (next_element(&list, &coding)) {
		if (head->chunked)
			return false;
		head->chunked = slice_is_nocase(coding, "chunked", 7);
	}
	return head->chunked;
}

static bool parse_connection(struct http1_head *head, struct slice list)
{
	struct slice option;

	while (next_element(&list, &option)) {
		head->connection_close |= slice_is_nocase(option, "close", 5);
		head->connection_keep_alive |= slice_is_nocase(option, "keep-alive", 10);
		head->connection_upgrade |= slice_is_nocase(option, "upgrade", 7);
	}
	return true;
}

static bool parse_upgrade(struct http1_head *head, struct slice value)
{
	(void)value;
	head->upgrade = true;
	return true;
}

static bool parse_expect(struct http1_head *head, struct slice value)
{
	head->expect_continue |= slice_is_nocase(value, "100-continue", 12);
	return true;
}

/* Does the text name one of the fields that we would add or change, as a word of its own? */
static bool names_context(struct slice text)
{
	static const char *const names[] = {"traceparent", "tracestate", "baggage", "b3", "x-b3-traceid", "x-b3-spanid",
					    "x-b3-sampled"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t len = strlen(names[i]);

		for (size_t at = 0; at + len <= text.len; at++) {
			bool begins = at == 0 || text.p[at - 1] == ';' || text.p[at - 1] == '"' || text.p[at - 1] == '=';
			bool ends = at + len == text.len || text.p[at + len] == ';' || text.p[at + len] == '"' ||
				    text.p[at + len] == ',' || text.p[at + len] == ' ';

			if (begins && ends && slice_is_nocase(slice(text.p + at, len), names[i], len))
				return true;
		}
	}
	return false;
}

/* AWS Signature Version 4 lists what it signs in the Authorization field; HTTP Message Signatures (RFC 9421) in Signature-Input. */
static bool parse_signature(struct http1_head *head, struct slice value)
{
	head->signs_context |= names_context(value);
	return true;
}

struct known_field {
	const char *name;
	int8_t kept; /* enum http1_field, or -1 */
	bool (*parse)(struct http1_head *head, struct slice value);
};

static bool take(struct http1_head *head, const struct known_field *f, struct slice name, struct slice value)
{
	if (!slice_is_nocase(name, f->name, strlen(f->name)))
		return true;
	if (f->kept >= 0) {
		if (head->n_kept[f->kept] == 0)
			head->kept[f->kept] = value;
		head->n_kept[f->kept] = (uint8_t)(head->n_kept[f->kept] + (head->n_kept[f->kept] < UINT8_MAX));
	}
	return !f->parse || f->parse(head, value);
}

#define KEEP(name, id) (&(const struct known_field){name, id, NULL})
#define PARSE(name, id, parse) (&(const struct known_field){name, id, parse})

/* By length and first letter, so that fields nobody asks for cost one comparison. False: -EPROTO. */
static bool take_field(struct http1_head *head, struct slice name, struct slice value)
{
	uint8_t first = ascii_lower(name.p[0]), second = name.len > 1 ? ascii_lower(name.p[1]) : 0;

	switch (name.len << 8 | first) {
	case 2 << 8 | 'b':
		return take(head, KEEP("b3", HTTP1_B3), name, value);
	case 4 << 8 | 'h':
		return take(head, KEEP("host", HTTP1_HOST), name, value);
	case 6 << 8 | 'e':
		return take(head, PARSE("expect", -1, parse_expect), name, value);
	case 7 << 8 | 'b':
		return take(head, KEEP("baggage", HTTP1_BAGGAGE), name, value);
	case 7 << 8 | 'u':
		return take(head, PARSE("upgrade", -1, parse_upgrade), name, value);
	case 9 << 8 | 'f':
		return take(head, KEEP("forwarded", HTTP1_FORWARDED), name, value);
	case 10 << 8 | 'c':
		return take(head, PARSE("connection", -1, parse_connection), name, value);
	case 10 << 8 | 't':
		return take(head, KEEP("tracestate", HTTP1_TRACESTATE), name, value);
	case 10 << 8 | 'u':
		return take(head, KEEP("user-agent", HTTP1_USER_AGENT), name, value);
	case 10 << 8 | 'x':
		return take(head, KEEP("x-b3-flags", HTTP1_X_B3_FLAGS), name, value);
	case 11 << 8 | 't':
		return take(head, KEEP("traceparent", HTTP1_TRACEPARENT), name, value);
	case 11 << 8 | 'x':
		return take(head, KEEP("x-b3-spanid", HTTP1_X_B3_SPANID), name, value);
	case 12 << 8 | 'x':
		return take(head, KEEP("x-b3-traceid", HTTP1_X_B3_TRACEID), name, value) &&
		       take(head, KEEP("x-b3-sampled", HTTP1_X_B3_SAMPLED), name, value);
	case 13 << 8 | 'a':
		return take(head, PARSE("authorization", HTTP1_AUTHORIZATION, parse_signature), name, value);
	case 14 << 8 | 'c':
		return take(head, PARSE("content-length", -1, parse_content_length), name, value);
	case 15 << 8 | 's':
		return take(head, PARSE("signature-input", HTTP1_SIGNATURE_INPUT, parse_signature), name, value);
	case 15 << 8 | 'x':
		return second != '-' || take(head, KEEP("x-forwarded-for", HTTP1_X_FORWARDED_FOR), name, value);
	case 16 << 8 | 'x':
		return take(head, KEEP("x-forwarded-host", HTTP1_X_FORWARDED_HOST), name, value);
	case 17 << 8 | 't':
		return take(head, PARSE("transfer-encoding", -1, parse_transfer_encoding), name, value);
	case 17 << 8 | 'x':
		return take(head, KEEP("x-forwarded-proto", HTTP1_X_FORWARDED_PROTO), name, value);
	default:
		return true;
	}
}

/* ---- the head ---- */

static long finish(struct http1_head *ret, const uint8_t *start, const uint8_t *blank, const uint8_t *end)
{
	if (ret->chunked && (ret->content_length >= 0 || ret->minor == 0))
		return -EPROTO;
	ret->whole = slice(start, (size_t)(end - start));
	ret->blank = (size_t)(blank - start);
	return (long)ret->whole.len;
}

long http1_parse_head(struct slice in, enum http1_kind kind, struct http1_head *ret)
{
	const uint8_t *p = in.p, *end = in.p + (in.len < HTTP1_MAX_HEAD ? in.len : HTTP1_MAX_HEAD), *line_start;
	long incomplete = in.len >= HTTP1_MAX_HEAD ? -EPROTO : 0;
	struct slice line;
	int got;

	*ret = (struct http1_head){.kind = kind, .content_length = -1};
	got = take_line(&p, end, &line);
	if (got <= 0)
		return got < 0 ? got : incomplete;
	if (!(kind == HTTP1_REQUEST ? parse_request_line(line, ret) : parse_status_line(line, ret)))
		return -EPROTO;
	for (;;) {
		size_t name;

		line_start = p;
		got = take_line(&p, end, &line);
		if (got <= 0)
			return got < 0 ? got : incomplete;
		if (line.len == 0)
			return finish(ret, in.p, line_start, p);
		name = name_length(line);
		if (name == line.len || ret->n_fields == HTTP1_MAX_FIELDS)
			return -EPROTO;
		ret->n_fields++;
		if (!take_field(ret, slice(line.p, name), trimmed(line.p + name + 1, line.p + line.len)))
			return -EPROTO;
	}
}

bool http1_next_field(const struct http1_head *head, size_t *cursor, struct slice *ret_name, struct slice *ret_value)
{
	const uint8_t *p = head->whole.p + *cursor, *end = head->whole.p + head->blank;
	struct slice line;
	size_t name;

	if (*cursor == 0 && take_line(&p, end, &line) <= 0)
		return false; /* the start line */
	if (p >= end || take_line(&p, end, &line) <= 0)
		return false;
	*cursor = (size_t)(p - head->whole.p);
	name = name_length(line);
	if (name == line.len)
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
