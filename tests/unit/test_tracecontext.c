/* SPDX-License-Identifier: Apache-2.0 */
/* W3C Trace Context Level 2 (with the cases of its test suite), W3C Baggage, B3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shim/protocols/tracecontext.h"

#define T "12345678901234567890123456789012"
#define P "1234567890123456"
#define ZERO "0000000000000000"

/* A copy that ends where its memory does. */
static struct slice exact(const char *s)
{
	static uint8_t *copies[4];
	static unsigned n;
	uint8_t **copy = &copies[n++ % 4];
	size_t len = strlen(s);

	free(*copy);
	*copy = malloc(len ? len : 1);
	return slice(memcpy(*copy, s, len), len);
}

static void assert_ids(const struct trace_parent *p)
{
	static const uint8_t trace[16] = {0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56,
		0x78, 0x90, 0x12};
	static const uint8_t span[8] = {0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56};

	assert_memory_equal(p->trace_id, trace, 16);
	assert_memory_equal(p->span_id, span, 8);
}

/* ---- traceparent ---- */

static void test_traceparent_kept(void **state)
{
	static const struct {
		const char *value;
		uint8_t flags;
	} cases[] = {
		{"00-" T "-" P "-01", 1},
		{"00-" T "-" P "-00", 0},
		{"00-" T "-" P "-02", 2},
		{"00-" T "-" P "-03", 3},
		{"00-" T "-" P "-ff", 3},
		{"00-" T "-" P "-fc", 0},
		{" 00-" T "-" P "-01", 1},
		{"\t00-" T "-" P "-01", 1},
		{"00-" T "-" P "-01 ", 1},
		{"00-" T "-" P "-01\t", 1},
		{"\t 00-" T "-" P "-01 \t", 1},
		{"cc-" T "-" P "-01", 1},
		{"cc-" T "-" P "-01-what-the-future-will-be-like", 1},
		{"cc-" T "-" P "-01-", 1},
		{"01-" T "-" P "-fe", 2},
		{"fe-" T "-" P "-01", 1},
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct trace_parent p;

		memset(&p, 0xa5, sizeof(p));
		if (!traceparent_parse(exact(cases[i].value), &p))
			fail_msg("refused: %s", cases[i].value);
		assert_ids(&p);
		assert_int_equal(p.flags, cases[i].flags);
		assert_false(p.sampling_deferred || p.debug);
	}
}

static void test_traceparent_refused(void **state)
{
	static const char *const cases[] = {
		"", " ", "00", "-", "00-" T "-" P,
		"00-" T "-" P "-", "00-" T "-" P "-01.", "00-" T "-" P "-01-",
		"00-" T "-" P "-01-what-the-future-will-be-like",
		"cc-" T "-" P "-01.what-the-future-will-be-like", "cc-" T "-" P "-011", "cc-" T "-" P "-0",
		"ff-" T "-" P "-01", "ff-" T "-" P "-01-x",
		".0-" T "-" P "-01", "0.-" T "-" P "-01", "000-" T "-" P "-01", "0000-" T "-" P "-01",
		"0-" T "-" P "-01", "-" T "-" P "-01",
		"00-" ZERO ZERO "-" P "-01", "00-.2345678901234567890123456789012-" P "-01",
		"00-1234567890123456789012345678901.-" P "-01",
		"00-1234567890123456789012345678901-" P "-01", "00-" T "3-" P "-01",
		"00-" T "-" ZERO "-01", "00-" T "-.234567890123456-01", "00-" T "-123456789012345.-01",
		"00-" T "-123456789012345-01",
		"00-" T "-" P "7-01",
		"00-" T "-" P "-.0", "00-" T "-" P "-0.", "00-" T "-" P "-001", "00-" T "-" P "-1",
		"00-1234567890123456789012345678901A-" P "-01", "00-" T "-123456789012345F-01", "00-" T "-" P "-0A",
		"CC-" T "-" P "-01",
		"00-1234567890123456789012345678901g-" P "-01", "00_" T "-" P "-01", "00-" T "_" P "-01",
		"00-" T "-" P "_01",
		"00 -" T "-" P "-01", "00-" T "-" P "-01,00-" T "-" P "-01", "\"00-" T "-" P "-01\"",
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct trace_parent p, before;

		memset(&p, 0xa5, sizeof(p));
		before = p;
		if (traceparent_parse(exact(cases[i]), &p))
			fail_msg("kept: %s", cases[i]);
		assert_memory_equal(&p, &before, sizeof(p));
	}
}

static void test_traceparent_format(void **state)
{
	uint8_t out[TRACEPARENT_LEN + 1];
	struct trace_parent p;
	(void)state;

	memset(out, '#', sizeof(out));
	assert_true(traceparent_parse(exact("cc-" T "-" P "-07-x"), &p));
	traceparent_format(out, p.trace_id, p.span_id, p.flags);
	assert_memory_equal(out, "00-" T "-" P "-03#", sizeof(out));
	traceparent_format(out, p.trace_id, p.span_id, 0xfd);
	assert_memory_equal(out, "00-" T "-" P "-01#", sizeof(out));
}

/* ---- lists ---- */

/* n times the member, with commas, then end. */
static const char *repeat(const char *member, unsigned n, const char *end)
{
	static char text[20000];
	size_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += (size_t)sprintf(text + len, "%s%s", i ? "," : "", member);
	strcpy(text + len, end);
	return text;
}

static const char *of(char c, size_t n, const char *before, const char *after)
{
	static char text[20000];
	size_t len = strlen(before);

	memcpy(text, before, len);
	memset(text + len, c, n);
	strcpy(text + len + n, after);
	return text;
}

static void test_tracestate(void **state)
{
	static const char *const kept[] = {
		"foo=1", "foo=1,bar=2", "foo=1 , bar=2", "foo=1\t,\tbar=2", " foo=1", "foo=1 ", "\tfoo=1\t",
		"foo=1,,bar=2", ",foo=1", "foo=1,",
		"foo=1, ,bar=2", "foo=1,foo=1", "foo=1,foo=2", "foo@=1", "foo@@bar=1", "foo@bar@baz=1", "0foo=1",
		"f_-*/@9=1",
		"foo= 1", "foo=a b", "foo=!\"#$%&'()*+-./:;<>?@[\\]^_`{|}~", "a=" "\x20\x21",
	}, *const refused[] = {
		"", " ", ",", ", ,", "foo", "foo=", "foo= ", "=1", "foo =1", "FOO=1", "foo.bar=1", "@foo=1,bar=2",
		"_a=1", "-a=1", "*a=1", "/a=1",
		"foo=bar=baz", "foo=,bar=3", "foo=1,bar", "foo=\x01", "foo=a\tb", "foo=\x7f", "foo=\xc3\xa4",
		"f\xc3o=1", "fo\to=1", "foo=1;bar=2=",
	};
	(void)state;

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (!tracestate_is_valid(exact(kept[i])))
			fail_msg("refused: %s", kept[i]);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (tracestate_is_valid(exact(refused[i])))
			fail_msg("kept: %s", refused[i]);
	assert_false(tracestate_is_valid(SLICE_NONE));
	assert_false(tracestate_is_valid(slice("foo=\0", 5)));
	assert_false(tracestate_is_valid(slice("f\0o=1", 5)));
}

static void test_tracestate_limits(void **state)
{
	(void)state;
	assert_true(tracestate_is_valid(exact(of('k', 256, "", "=1"))));
	assert_false(tracestate_is_valid(exact(of('k', 257, "", "=1"))));
	assert_true(tracestate_is_valid(exact(of('v', 256, "foo=", ""))));
	assert_false(tracestate_is_valid(exact(of('v', 257, "foo=", ""))));
	assert_true(tracestate_is_valid(exact(repeat("a=1", 32, ""))));
	assert_true(tracestate_is_valid(exact(repeat("a=1", 32, ",,"))));
	assert_false(tracestate_is_valid(exact(repeat("a=1", 33, ""))));
}

static void test_baggage(void **state)
{
	static const char *const kept[] = {
		"k=v", "k=", "k=v,k2=v2", "k = v", " k=v ; prop ; pk=pv , k2=v2", "k=v;p", "k=v;p=",
		"K!#$%&'*+-.^_`|~9=v", "k=a=b==", "k=%20%zz",
		"k=!#$%&'()*+-./:<=>?@[]^_`{|}~",
	}, *const refused[] = {
		"", " ", "k", "=v", "k=v,", ",k=v", "k=v,,k2=v", "k v=1", "k=a b", "k=\"v\"", "k=a\\b", "k=\xc3\xa4",
		"k=\x01", "k=\x7f", "k=a\tb",
		"k(=v", "k=v;", "k=v;;p", "k=v;p q", "k=v;=q", "k=v;p=\"q\"", "k;p=v", "k@=v", "k=v;p=a b",
	};
	(void)state;

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (!baggage_is_valid(exact(kept[i])))
			fail_msg("refused: %s", kept[i]);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (baggage_is_valid(exact(refused[i])))
			fail_msg("kept: %s", refused[i]);
	assert_false(baggage_is_valid(SLICE_NONE));
	assert_true(baggage_is_valid(exact(repeat("k=v", 64, ""))));
	assert_false(baggage_is_valid(exact(repeat("k=v", 65, ""))));
	assert_true(baggage_is_valid(exact(of('v', 8190, "k=", ""))));
	assert_false(baggage_is_valid(exact(of('v', 8191, "k=", ""))));
}

/* ---- B3 ---- */

static void test_b3_kept(void **state)
{
	static const struct {
		const char *value;
		uint8_t flags;
		bool deferred, debug;
	} cases[] = {
		{T "-" P "-1", 1, false, false},
		{T "-" P "-0", 0, false, false},
		{T "-" P "-d", 1, false, true},
		{T "-" P, 1, true, false},
		{T "-" P "-1-0000000000000001", 1, false, false},
		{" " T "-" P "-0-0000000000000001\t", 0, false, false},
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool only_state = true;
		struct trace_parent p;

		memset(&p, 0xa5, sizeof(p));
		if (!b3_parse(exact(cases[i].value), &p, &only_state))
			fail_msg("refused: %s", cases[i].value);
		assert_ids(&p);
		assert_false(only_state);
		assert_int_equal(p.flags, cases[i].flags);
		assert_int_equal(p.sampling_deferred, cases[i].deferred);
		assert_int_equal(p.debug, cases[i].debug);
	}
}

static void test_b3_short_trace_id(void **state)
{
	static const uint8_t trace[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56};
	struct trace_parent p;
	bool only_state;
	(void)state;

	assert_true(b3_parse(exact(P "-" P "-1"), &p, &only_state));
	assert_memory_equal(p.trace_id, trace, 16);
	assert_true(b3_parse_multi(exact(P), exact(P), SLICE_NONE, SLICE_NONE, &p));
	assert_memory_equal(p.trace_id, trace, 16);
}

static void test_b3_only_state(void **state)
{
	static const uint8_t zero[16];
	(void)state;

	for (const char *c = "01d"; *c; c++) {
		char value[2] = {*c, '\0'};
		struct trace_parent p;
		bool only_state = false;

		memset(&p, 0xa5, sizeof(p));
		assert_true(b3_parse(exact(value), &p, &only_state));
		assert_true(only_state);
		assert_memory_equal(p.trace_id, zero, 16);
		assert_memory_equal(p.span_id, zero, 8);
		assert_int_equal(p.flags, *c != '0');
		assert_int_equal(p.debug, *c == 'd');
	}
}

static void test_b3_refused(void **state)
{
	static const char *const cases[] = {
		"", " ", "2", "D", "x", "-", "--", "---", T, P, T "-", T "-" P "-", T "-" P "-1-", T "-" P "-" P,
		T "-" P "-2", T "-" P "-11",
		T "-" P "-true", T "-" P "-1-" P "-", T "-" P "-1-" P "-1", T "-" P "-1-123",
			T "-" P "-1-123456789012345g", T "1-" P "-1",
		"123456789012345678901234567890-" P "-1", ZERO "-" P "-1", ZERO ZERO "-" P "-1", T "-" ZERO "-1",
		T "-12345678901234-1",
		"1234567890123456789012345678901A-" P "-1", T "-123456789012345A-1", "-" P "-1", T "--1", T " -" P "-1",
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct trace_parent p;
		bool only_state;

		if (b3_parse(exact(cases[i]), &p, &only_state))
			fail_msg("kept: %s", cases[i]);
	}
}

static bool multi(const char *sampled, const char *flags, struct trace_parent *ret)
{
	return b3_parse_multi(exact(T), exact(P), sampled ? exact(sampled) : SLICE_NONE,
		flags ? exact(flags) : SLICE_NONE, ret);
}

static void test_b3_multi(void **state)
{
	struct trace_parent p;
	(void)state;

	assert_true(multi("1", NULL, &p));
	assert_ids(&p);
	assert_true(p.flags == 1 && !p.debug && !p.sampling_deferred);
	assert_true(multi("0", NULL, &p) && p.flags == 0 && !p.debug && !p.sampling_deferred);
	assert_true(multi("true", NULL, &p) && p.flags == 1 && !p.sampling_deferred);
	assert_true(multi(" False ", NULL, &p) && p.flags == 0 && !p.sampling_deferred);
	assert_true(multi(NULL, NULL, &p) && p.flags == 1 && p.sampling_deferred && !p.debug);
	assert_true(multi("", "", &p) && p.flags == 1 && p.sampling_deferred && !p.debug);
	assert_true(multi(NULL, "1", &p) && p.flags == 1 && p.debug && !p.sampling_deferred);
	assert_true(multi("0", "1", &p) && p.flags == 1 && p.debug && !p.sampling_deferred);
	assert_true(multi("0", "0", &p) && p.flags == 0 && !p.debug);
	assert_false(multi("2", NULL, &p));
	assert_false(multi("yes", "0", &p));
	assert_false(b3_parse_multi(SLICE_NONE, exact(P), exact("1"), SLICE_NONE, &p));
	assert_false(b3_parse_multi(exact(T), SLICE_NONE, exact("1"), SLICE_NONE, &p));
	assert_false(b3_parse_multi(SLICE_NONE, SLICE_NONE, exact("0"), exact("1"), &p));
	assert_false(b3_parse_multi(exact(ZERO), exact(P), exact("1"), SLICE_NONE, &p));
	assert_false(b3_parse_multi(exact(T), exact(ZERO), exact("1"), SLICE_NONE, &p));
	assert_false(b3_parse_multi(exact(""), exact(P), exact("1"), SLICE_NONE, &p));
	assert_false(b3_parse_multi(exact(T), exact(P "0"), exact("1"), SLICE_NONE, &p));
}

static void test_b3_format(void **state)
{
	uint8_t out[B3_LEN + 1];
	struct trace_parent p;
	(void)state;

	memset(out, '#', sizeof(out));
	assert_true(traceparent_parse(exact("00-" T "-" P "-01"), &p));
	b3_format(out, p.trace_id, p.span_id, true, false);
	assert_memory_equal(out, T "-" P "-1#", sizeof(out));
	b3_format(out, p.trace_id, p.span_id, false, false);
	assert_memory_equal(out, T "-" P "-0#", sizeof(out));
	b3_format(out, p.trace_id, p.span_id, false, true);
	assert_memory_equal(out, T "-" P "-d#", sizeof(out));
}

static void test_hex(void **state)
{
	uint8_t bytes[4];
	char text[9] = "########";
	(void)state;

	assert_true(hex_parse(bytes, (const uint8_t *)"09afff00", 4));
	hex_format(text, bytes, 4);
	assert_string_equal(text, "09afff00");
	for (unsigned c = 0; c < 256; c++) {
		uint8_t pair[2] = {(uint8_t)c, '0'}, riap[2] = {'0', (uint8_t)c};
		bool legal = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');

		assert_int_equal(hex_parse(bytes, pair, 1), legal);
		assert_int_equal(hex_parse(bytes, riap, 1), legal);
	}
}

/* Ids: each byte, and each character, at each place. */
static void test_hex_of_ids(void **state)
{
	char digits[33], expected[33];
	uint8_t id[16], back[16];
	(void)state;

	for (size_t at = 0; at < 16; at++) {
		for (unsigned c = 0; c < 256; c++) {
			for (size_t i = 0; i < 16; i++) {
				id[i] = (uint8_t)(i == at ? c : 0x9a + i * 7);
				sprintf(expected + 2 * i, "%02x", id[i]);
			}
			hex_format(digits, id, 16);
			assert_memory_equal(digits, expected, 32);
			assert_true(hex_parse(back, (const uint8_t *)digits, 16));
			assert_memory_equal(back, id, 16);
		}
	}
	for (size_t at = 0; at < 32; at++) {
		for (unsigned c = 0; c < 256; c++) {
			bool legal = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');

			memcpy(digits, "0123456789abcdef0123456789abcdef", 32);
			digits[at] = (char)c;
			assert_int_equal(hex_parse(back, (const uint8_t *)digits, 16), legal);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_traceparent_kept),
		cmocka_unit_test(test_traceparent_refused),
		cmocka_unit_test(test_traceparent_format),
		cmocka_unit_test(test_tracestate),
		cmocka_unit_test(test_tracestate_limits),
		cmocka_unit_test(test_baggage),
		cmocka_unit_test(test_b3_kept),
		cmocka_unit_test(test_b3_short_trace_id),
		cmocka_unit_test(test_b3_only_state),
		cmocka_unit_test(test_b3_refused),
		cmocka_unit_test(test_b3_multi),
		cmocka_unit_test(test_b3_format),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_hex_of_ids),
	};

	return cmocka_run_group_tests_name("tracecontext", tests, NULL, NULL);
}
