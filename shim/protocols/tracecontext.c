/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/protocols/tracecontext.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define TRACESTATE_MEMBERS 32
#define TRACESTATE_KEY 256
#define TRACESTATE_VALUE 256
#define BAGGAGE_MEMBERS 64
#define BAGGAGE_BYTES 8192

static const char digits[] = "0123456789abcdef";

/* Eight bytes at a time: ids are 8 or 16 long. False: a digit is none. */
#ifdef __SSE2__
static inline void format_eight(char *out, const uint8_t *bytes)
{
	__m128i v = _mm_loadl_epi64((const __m128i *)(const void *)bytes);
	__m128i high = _mm_srli_epi16(v, 4), nibbles = _mm_and_si128(_mm_unpacklo_epi8(high, v), _mm_set1_epi8(15));
	__m128i letters = _mm_and_si128(_mm_cmpgt_epi8(nibbles, _mm_set1_epi8(9)), _mm_set1_epi8('a' - '0' - 10));

	_mm_storeu_si128((__m128i *)(void *)out, _mm_add_epi8(_mm_add_epi8(nibbles, letters), _mm_set1_epi8('0')));
}

static inline bool parse_eight(uint8_t *out, const uint8_t *text)
{
	__m128i v = _mm_loadu_si128((const __m128i *)(const void *)text);
	__m128i digit = _mm_sub_epi8(v, _mm_set1_epi8('0')), letter = _mm_sub_epi8(v, _mm_set1_epi8('a'));
	__m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit);
	__m128i is_letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(5)), letter);
	__m128i values = _mm_or_si128(_mm_and_si128(digit, is_digit),
				      _mm_and_si128(_mm_add_epi8(letter, _mm_set1_epi8(10)), is_letter));
	/* The first digit of a pair is the low byte of a lane. */
	__m128i pairs = _mm_or_si128(_mm_slli_epi16(values, 4), _mm_srli_epi16(values, 8));

	pairs = _mm_and_si128(pairs, _mm_set1_epi16(0xff));
	_mm_storel_epi64((__m128i *)(void *)out, _mm_packus_epi16(pairs, pairs));
	return _mm_movemask_epi8(_mm_or_si128(is_digit, is_letter)) == 0xffff;
}
#endif

void hex_format(char *out, const uint8_t *bytes, size_t n)
{
#ifdef __SSE2__
	for (; n >= 8; n -= 8, out += 16, bytes += 8)
		format_eight(out, bytes);
#endif
	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_parse(uint8_t *out, const uint8_t *text, size_t n_bytes)
{
#ifdef __SSE2__
	for (; n_bytes >= 8; n_bytes -= 8, out += 8, text += 16)
		if (!parse_eight(out, text))
			return false;
#endif
	for (size_t i = 0; i < n_bytes; i++) {
		int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
	uint8_t any = 0;

	for (size_t i = 0; i < n; i++)
		any |= bytes[i];
	return any == 0;
}

static struct slice trimmed(struct slice s)
{
	while (s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = slice_from(s, 1);
	while (s.len > 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* ---- traceparent (W3C Trace Context Level 2, section 3.2) ---- */

bool traceparent_parse(struct slice value, struct trace_parent *ret)
{
	struct trace_parent p = {0};
	uint8_t version, flags;

	value = trimmed(value);
	if (value.len < TRACEPARENT_LEN || !hex_parse(&version, value.p, 1) || version == 0xff)
		return false;
	if (value.len > TRACEPARENT_LEN && (version == 0 || value.p[TRACEPARENT_LEN] != '-'))
		return false;
	if (value.p[2] != '-' || value.p[35] != '-' || value.p[52] != '-' || !hex_parse(p.trace_id, value.p + 3, 16) ||
	    !hex_parse(p.span_id, value.p + 36, 8) || !hex_parse(&flags, value.p + 53, 1))
		return false;
	if (is_zero(p.trace_id, 16) || is_zero(p.span_id, 8))
		return false;
	p.flags = flags & 0x03;
	*ret = p;
	return true;
}

void traceparent_format(uint8_t *out, const uint8_t trace_id[16], const uint8_t span_id[8], uint8_t flags)
{
	memcpy(out, "00-", 3);
	hex_format((char *)out + 3, trace_id, 16);
	out[35] = '-';
	hex_format((char *)out + 36, span_id, 8);
	out[52] = '-';
	out[53] = '0';
	out[54] = (uint8_t)digits[flags & 0x03];
}

/* ---- lists ---- */

static bool next_member(struct slice *list, struct slice *ret)
{
	const uint8_t *comma;

	if (!list->p)
		return false;
	comma = memchr(list->p, ',', list->len);
	*ret = trimmed(comma ? slice(list->p, (size_t)(comma - list->p)) : *list);
	*list = comma ? slice(comma + 1, (size_t)(list->p + list->len - comma - 1)) : SLICE_NONE;
	return true;
}

static bool is_key_char(uint8_t c, bool first)
{
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
		return true;
	return !first && c != '\0' && strchr("_-*/@", c) != NULL;
}

/* One key=value of a tracestate (section 3.3.1). */
static bool is_state_member(struct slice m)
{
	const uint8_t *equals = memchr(m.p, '=', m.len);
	size_t key = equals ? (size_t)(equals - m.p) : 0;
	struct slice value = slice_from(m, key + 1);

	if (key == 0 || key > TRACESTATE_KEY || value.len == 0 || value.len > TRACESTATE_VALUE)
		return false;
	for (size_t i = 0; i < key; i++)
		if (!is_key_char(m.p[i], i == 0))
			return false;
	for (size_t i = 0; i < value.len; i++)
		if (value.p[i] < 0x20 || value.p[i] > 0x7e || value.p[i] == '=')
			return false;
	return true;
}

bool tracestate_is_valid(struct slice list)
{
	struct slice member;
	unsigned n = 0;

	while (next_member(&list, &member)) {
		if (member.len == 0)
			continue; /* allowed, and means nothing */
		if (++n > TRACESTATE_MEMBERS || !is_state_member(member))
			return false;
	}
	return n > 0;
}

/* ---- baggage (W3C Baggage, section 3.3) ---- */

static bool is_token_char(uint8_t c)
{
	return c > ' ' && c < 0x7f && !memchr("\"(),/:;<=>?@[\\]{}", c, 17);
}

/* What stands between semicolons: a token, and a value of baggage-octets where there must or may be one. */
static bool is_baggage_part(struct slice part, bool value_wanted)
{
	size_t key = 0;

	part = trimmed(part);
	while (key < part.len && is_token_char(part.p[key]))
		key++;

	struct slice rest = trimmed(slice_from(part, key));

	if (key == 0 || (rest.len == 0 && value_wanted))
		return false;
	if (rest.len > 0 && rest.p[0] != '=')
		return false;
	rest = trimmed(slice_from(rest, 1));
	for (size_t i = 0; i < rest.len; i++)
		if (rest.p[i] <= ' ' || rest.p[i] > 0x7e || rest.p[i] == '"' || rest.p[i] == '\\')
			return false;
	return true;
}

static bool is_baggage_member(struct slice m)
{
	for (bool first = true; m.p; first = false) {
		const uint8_t *semicolon = memchr(m.p, ';', m.len);
		struct slice part = semicolon ? slice(m.p, (size_t)(semicolon - m.p)) : m;

		if (!is_baggage_part(part, first))
			return false;
		m = semicolon ? slice_from(m, part.len + 1) : SLICE_NONE;
	}
	return true;
}

bool baggage_is_valid(struct slice list)
{
	struct slice member;
	unsigned n = 0;

	if (list.len > BAGGAGE_BYTES)
		return false;
	while (next_member(&list, &member))
		if (++n > BAGGAGE_MEMBERS || !is_baggage_member(member))
			return false;
	return n > 0;
}

/* ---- B3 (openzipkin/b3-propagation) ---- */

static bool parse_b3_trace(struct slice s, uint8_t trace_id[16])
{
	memset(trace_id, 0, 16);
	if (s.len == 16)
		return hex_parse(trace_id + 8, s.p, 8) && !is_zero(trace_id, 16);
	return s.len == 32 && hex_parse(trace_id, s.p, 16) && !is_zero(trace_id, 16);
}

static bool parse_b3_state(struct slice s, struct trace_parent *p)
{
	if (s.len != 1)
		return false;
	p->debug = s.p[0] == 'd';
	p->flags = s.p[0] == '1' || p->debug ? 1 : 0;
	return s.p[0] == '0' || s.p[0] == '1' || p->debug;
}

static struct slice next_part(struct slice *s)
{
	const uint8_t *dash = s->p ? memchr(s->p, '-', s->len) : NULL;
	struct slice part = dash ? slice(s->p, (size_t)(dash - s->p)) : *s;

	*s = dash ? slice(dash + 1, (size_t)(s->p + s->len - dash - 1)) : SLICE_NONE;
	return part;
}

bool b3_parse(struct slice value, struct trace_parent *ret, bool *ret_only_state)
{
	struct trace_parent p = {0};
	struct slice rest = trimmed(value), trace, span, state, parent;
	uint8_t unused[8];

	if (rest.len == 1) {
		if (!parse_b3_state(rest, &p))
			return false;
		*ret = p;
		*ret_only_state = true;
		return true;
	}
	trace = next_part(&rest);
	span = next_part(&rest);
	if (!parse_b3_trace(trace, p.trace_id) || span.len != 16 || !hex_parse(p.span_id, span.p, 8) ||
	    is_zero(p.span_id, 8))
		return false;
	p.sampling_deferred = !rest.p;
	if (rest.p) {
		state = next_part(&rest);
		if (!parse_b3_state(state, &p))
			return false;
	}
	if (rest.p) {
		parent = next_part(&rest);
		if (rest.p || parent.len != 16 || !hex_parse(unused, parent.p, 8))
			return false;
	}
	if (p.sampling_deferred)
		p.flags = 1; /* the decision is left to us: record */
	*ret = p;
	*ret_only_state = false;
	return true;
}

bool b3_parse_multi(struct slice trace_id, struct slice span_id, struct slice sampled, struct slice flags,
		    struct trace_parent *ret)
{
	struct trace_parent p = {0};

	trace_id = trimmed(trace_id);
	span_id = trimmed(span_id);
	if (!trace_id.p || !span_id.p || !parse_b3_trace(trace_id, p.trace_id) || span_id.len != 16 ||
	    !hex_parse(p.span_id, span_id.p, 8) || is_zero(p.span_id, 8))
		return false;
	sampled = trimmed(sampled);
	p.debug = slice_is_nocase(trimmed(flags), "1", 1);
	p.sampling_deferred = sampled.len == 0 && !p.debug;
	p.flags = p.debug || p.sampling_deferred || slice_is_nocase(sampled, "1", 1) ||
		  slice_is_nocase(sampled, "true", 4);
	if (!p.flags && !slice_is_nocase(sampled, "0", 1) && !slice_is_nocase(sampled, "false", 5))
		return false;
	*ret = p;
	return true;
}

void b3_format(uint8_t *out, const uint8_t trace_id[16], const uint8_t span_id[8], bool sampled, bool debug)
{
	hex_format((char *)out, trace_id, 16);
	out[32] = '-';
	hex_format((char *)out + 33, span_id, 8);
	out[49] = '-';
	out[50] = debug ? 'd' : sampled ? '1' : '0';
}
