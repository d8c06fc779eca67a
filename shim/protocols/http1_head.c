/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One whole head, in one pass. A line is found by looking for the next control character: in a legal head that is
 * the end of the line, so the same scan that finds the line also proves that nothing illegal hides in it.
 */
#include "shim/protocols/http1.h"

#include <errno.h>

#include "shim/protocols/http1_scan.h"

#define METHOD_MAX 32
#define CONTENT_LENGTH_DIGITS 18

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
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       (c > ' ' && c < 0x7f && !memchr("\"(),/:;<=>?@[\\]{}", c, 17));
}

static bool parse_request_line(struct slice line, struct text t, struct http1_head *ret)
{
	size_t method = 0;

	while (method < line.len && line.p[method] >= 'A' && line.p[method] <= 'Z')
		method++;
	while (method < line.len && method <= METHOD_MAX && is_token_char(line.p[method]))
		method++; /* there are others, which nobody has seen */
	if (method == 0 || method > METHOD_MAX || line.len < method + 11 || line.p[method] != ' ' ||
	    line.p[line.len - 9] != ' ' || !take_version(line.p + line.len - 8, &ret->minor))
		return false;
	ret->method = slice(line.p, method);
	ret->target = slice(line.p + method + 1, line.len - method - 10);
	return !scan_has_blank(ret->target, t);
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
		head->kept_values[field] = trimmed(value.p, value.p + value.len);
	if (head->n_kept[field] < UINT8_MAX)
		head->n_kept[field]++;
}

static void take_authorization(struct http1_head *head, struct slice value)
{
	value = trimmed(value.p, value.p + value.len);
	head->signs_context |= !signs_nothing(value) && names_context(value);
}

#define KEEP_IF(literal, field)                   \
	do {                                      \
		if (IS(literal))                  \
			keep(head, field, value); \
	} while (0)

#define FIRST(letter) (1u << ((letter) & 31))

/*
 * By the length of a name, the first letters of those that take_field() knows. Most fields are nobody's business, and this
 * is all that they cost.
 */
static const uint32_t asked_for[32] = {
	[2] = FIRST('b'),
	[4] = FIRST('h'),
	[6] = FIRST('e'),
	[7] = FIRST('b'),
	[9] = FIRST('f'),
	[10] = FIRST('t') | FIRST('u') | FIRST('x'),
	[11] = FIRST('t') | FIRST('x'),
	[12] = FIRST('x'),
	[13] = FIRST('a'),
	[14] = FIRST('c'),
	[15] = FIRST('s') | FIRST('x'),
	[16] = FIRST('x'),
	[17] = FIRST('t') | FIRST('x'),
};

static inline bool is_asked_for(struct slice name)
{
	return asked_for[name.len & 31] & FIRST(name.p[0]);
}

/* value has its blanks still. False: -EPROTO. */
static bool take_field(struct http1_head *head, bool *coded, struct slice name, struct slice value)
{
	switch (name.len) {
	case 2:
		KEEP_IF("b3", HTTP1_B3);
		break;
	case 4:
		KEEP_IF("host", HTTP1_HOST);
		break;
	case 6:
		KEEP_IF("expect", HTTP1_EXPECT);
		break;
	case 7:
		KEEP_IF("baggage", HTTP1_BAGGAGE);
		break;
	case 9:
		KEEP_IF("forwarded", HTTP1_FORWARDED);
		break;
	case 10:
		KEEP_IF("user-agent", HTTP1_USER_AGENT);
		KEEP_IF("tracestate", HTTP1_TRACESTATE);
		KEEP_IF("x-b3-flags", HTTP1_X_B3_FLAGS);
		break;
	case 11:
		KEEP_IF("traceparent", HTTP1_TRACEPARENT);
		KEEP_IF("x-b3-spanid", HTTP1_X_B3_SPANID);
		break;
	case 12:
		KEEP_IF("x-b3-traceid", HTTP1_X_B3_TRACEID);
		KEEP_IF("x-b3-sampled", HTTP1_X_B3_SAMPLED);
		break;
	case 13:
		if (IS("authorization"))
			take_authorization(head, value);
		break;
	case 14:
		return !IS("content-length") || parse_content_length(head, trimmed(value.p, value.p + value.len));
	case 15:
		head->signs_context |= IS("signature-input") && names_context(value);
		KEEP_IF("x-forwarded-for", HTTP1_X_FORWARDED_FOR);
		break;
	case 16:
		KEEP_IF("x-forwarded-host", HTTP1_X_FORWARDED_HOST);
		break;
	case 17:
		KEEP_IF("x-forwarded-proto", HTTP1_X_FORWARDED_PROTO);
		return !IS("transfer-encoding") || parse_transfer_encoding(head, coded, value);
	default:
		break;
	}
	return true;
}

/* ---- the head ---- */

/* Where no field begins at p: that is to be the blank line. */
static long finish(struct text t, const uint8_t *p, bool coded, struct http1_head *ret)
{
	struct line_end line = {p, p + 2};

	if (t.end - p < 2 || memcmp(p, "\r\n", 2) != 0)
		line = scan_line(p, t);
	if (!line.next)
		return scan_problem(line, t);
	if (line.stop != p || ret->n_fields > HTTP1_MAX_FIELDS ||
	    (coded && (!ret->chunked || ret->content_length >= 0 || ret->minor == 0)))
		return -EPROTO;
	ret->whole = slice(t.start, (size_t)(line.next - t.start));
	ret->blank = (size_t)(p - t.start);
	return (long)ret->whole.len;
}

static void clear(struct http1_head *ret, enum http1_kind kind)
{
	ret->kind = kind;
	ret->minor = 0;
	ret->status = 0;
	ret->method = ret->target = ret->whole = SLICE_NONE;
	ret->blank = 0;
	ret->n_fields = 0;
	memset(ret->n_kept, 0, sizeof(ret->n_kept));
	ret->content_length = -1;
	ret->chunked = ret->signs_context = false;
}

/*
 * From the first field on. What is wrong with a line is said when the line is complete, and a control character at
 * once: whoever has the head in pieces relies on that.
 */
static long parse_fields(struct text t, const uint8_t *p, struct http1_head *ret)
{
	struct slice name;
	bool coded = false;
	unsigned n = 0;

	for (; name = slice(p, scan_name(p, t)), name.len > 0; n++) {
		struct line_end line = scan_line(p + name.len, t);

		if (!line.next)
			return n > HTTP1_MAX_FIELDS ? -EPROTO : scan_problem(line, t);
		p += name.len + 1;
		if (is_asked_for(name) && !take_field(ret, &coded, name, slice(p, (size_t)(line.stop - p))))
			return -EPROTO;
		p = line.next;
	}
	ret->n_fields = (uint16_t)n;
	return finish(t, p, coded, ret);
}

static long parse_text(struct text t, struct http1_head *ret)
{
	struct line_end line = scan_line(t.start, t);
	struct slice start = slice(t.start, (size_t)(line.stop - t.start));

	if (!line.next)
		return scan_problem(line, t);
	if (!(ret->kind == HTTP1_REQUEST ? parse_request_line(start, t, ret) : parse_status_line(start, ret)))
		return -EPROTO;
	return parse_fields(t, line.next, ret);
}

long http1_parse_head(struct slice in, enum http1_kind kind, struct http1_head *ret)
{
	struct text t = text_of(slice(in.p, in.len < HTTP1_MAX_HEAD ? in.len : HTTP1_MAX_HEAD));
	long len;

	clear(ret, kind);
	len = parse_text(t, ret);
	return len == 0 && in.len >= HTTP1_MAX_HEAD ? -EPROTO : len;
}

/* The head has been parsed: a line ends at its LF, and a name at the first colon. */
bool http1_next_field(const struct http1_head *head, size_t *cursor, struct slice *ret_name, struct slice *ret_value)
{
	const uint8_t *p = head->whole.p, *blank = p + head->blank, *stop, *colon;

	if (*cursor == 0)
		*cursor = (size_t)((const uint8_t *)memchr(p, '\n', head->whole.len) + 1 - p);
	p += *cursor;
	if (p >= blank)
		return false;
	stop = memchr(p, '\n', (size_t)(blank - p));
	colon = memchr(p, ':', (size_t)(stop - p));
	*cursor = (size_t)(stop + 1 - head->whole.p);
	*ret_name = slice(p, (size_t)(colon - p));
	*ret_value = trimmed(colon + 1, stop);
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
