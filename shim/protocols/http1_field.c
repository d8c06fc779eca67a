/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/protocols/http1_field.h"

/* ---- names ---- */

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

/*
 * By the length of a name, the first letters of those that http1_known_field() knows.
 */
const uint32_t http1_first_letters[32] = {
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

#define IF(literal, field)             \
	do {                           \
		if (IS(literal))       \
			return (enum http1_known)(field); \
	} while (0)

enum http1_known http1_known_field(struct slice name)
{
	switch (name.len) {
	case 2:
		IF("b3", HTTP1_B3);
		break;
	case 4:
		IF("host", HTTP1_HOST);
		break;
	case 6:
		IF("expect", HTTP1_EXPECT);
		break;
	case 7:
		IF("baggage", HTTP1_BAGGAGE);
		break;
	case 9:
		IF("forwarded", HTTP1_FORWARDED);
		break;
	case 10:
		IF("user-agent", HTTP1_USER_AGENT);
		IF("tracestate", HTTP1_TRACESTATE);
		IF("x-b3-flags", HTTP1_X_B3_FLAGS);
		break;
	case 11:
		IF("traceparent", HTTP1_TRACEPARENT);
		IF("x-b3-spanid", HTTP1_X_B3_SPANID);
		break;
	case 12:
		IF("x-b3-traceid", HTTP1_X_B3_TRACEID);
		IF("x-b3-sampled", HTTP1_X_B3_SAMPLED);
		break;
	case 13:
		IF("authorization", HTTP1_AUTHORIZATION);
		break;
	case 14:
		IF("content-length", HTTP1_CONTENT_LENGTH);
		break;
	case 15:
		IF("x-forwarded-for", HTTP1_X_FORWARDED_FOR);
		IF("signature-input", HTTP1_SIGNATURE_INPUT);
		break;
	case 16:
		IF("x-forwarded-host", HTTP1_X_FORWARDED_HOST);
		break;
	case 17:
		IF("x-forwarded-proto", HTTP1_X_FORWARDED_PROTO);
		IF("transfer-encoding", HTTP1_TRANSFER_ENCODING);
		break;
	default:
		break;
	}
	return HTTP1_UNKNOWN;
}

/* ---- values ---- */

/* The next element of a comma separated list, trimmed. False at the end. */
static bool next_element(struct slice *list, struct slice *ret)
{
	const uint8_t *comma;

	if (!list->p)
		return false;
	comma = memchr(list->p, ',', list->len);
	*ret = http1_trimmed(list->p, comma ? comma : list->p + list->len);
	*list = comma ? slice(comma + 1, (size_t)(list->p + list->len - comma - 1)) : SLICE_NONE;
	return true;
}

/* chunked must be there once, and last of all fields' codings. */
static bool parse_transfer_encoding(struct http1_head *head, struct slice list)
{
	struct slice coding;

	while (next_element(&list, &coding)) {
		if (head->chunked || coding.len == 0)
			return false;
		head->chunked = slice_is_nocase(coding, "chunked", 7);
		head->coded = true;
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

static void take_authorization(struct http1_head *head, struct slice value)
{
	value = http1_trimmed(value.p, value.p + value.len);
	head->signs_context |= !signs_nothing(value) && names_context(value);
}

bool http1_take_value(struct http1_head *head, unsigned field, struct slice value)
{
	switch (field) {
	case HTTP1_TRANSFER_ENCODING:
		return parse_transfer_encoding(head, value);
	case HTTP1_AUTHORIZATION:
		take_authorization(head, value);
		return true;
	case HTTP1_SIGNATURE_INPUT:
		head->signs_context |= names_context(value);
		return true;
	default:
		return true;
	}
}
