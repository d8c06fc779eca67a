/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shim/protocols/proxy_preface.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

/* What a copy that ends where its memory does is parsed as; the same with a request behind it; and all that is
 * shorter says 0. */
static long parse(const void *bytes, size_t len, struct proxy_preface *ret)
{
	static const char request[] = "GET / HTTP/1.1\r\n\r\n";
	uint8_t *copy = malloc(len + sizeof(request));
	struct proxy_preface again;
	long n, with_more;

	memcpy(copy, bytes, len);
	memcpy(copy + len, request, sizeof(request));
	with_more = proxy_preface_parse(slice(copy, len + sizeof(request)), &again);
	copy = realloc(copy, len ? len : 1);
	memset(ret, 0, sizeof(*ret));
	memset(&again, 0, sizeof(again));
	n = proxy_preface_parse(slice(copy, len), ret);
	if (n > 0) {
		assert_int_equal(with_more, n);
		for (size_t shorter = 0; shorter < (size_t)n; shorter++) {
			copy = realloc(copy, shorter ? shorter : 1);
			memcpy(copy, bytes, shorter);
			assert_int_equal(proxy_preface_parse(slice(copy, shorter), &again), 0);
		}
	}
	free(copy);
	return n;
}

static long parse_text(const char *text, struct proxy_preface *ret)
{
	return parse(text, strlen(text), ret);
}

/* ---- version 1 ---- */

static void test_text_ipv4(void **state)
{
	static const char line[] = "PROXY TCP4 255.255.255.255 192.0.2.1 65535 443\r\n";
	struct proxy_preface p;
	(void)state;

	assert_int_equal(parse_text(line, &p), sizeof(line) - 1);
	assert_false(p.local);
	assert_int_equal(p.family, 4);
	assert_memory_equal(p.source, "\xff\xff\xff\xff", 4);
	assert_memory_equal(p.destination, "\xc0\x00\x02\x01", 4);
	assert_int_equal(p.source_port, 65535);
	assert_int_equal(p.destination_port, 443);
	assert_true(parse_text("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", &p) > 0);
}

/* libc's own reading of an address is the reference. */
static void test_text_ipv6(void **state)
{
	static const char *const addresses[] = {
		"::", "::1", "1::", "2001:db8::1", "2001:DB8::aBcD", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::",
		"::2:3:4:5:6:7:8", "1::8", "1:2::7:8",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "0001::0008", "::ffff:192.0.2.1", "::192.0.2.1",
		"64:ff9b::192.0.2.33",
		"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5::1.2.3.4", "::2:3:4:5:6:255.0.0.1",
		":", ":::", "1", "1:", ":1", "1:::2", "::1::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
		"1:2:3:4:5:6:7:8::", "12345::", "::g",
		"::1.2.3", "::1.2.3.4.5", "1.2.3.4", "1.2.3.4::", "::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4",
		"1:2:3:4:5:1.2.3.4", "::01.2.3.4", "::1.2.3.256",
		":1.2.3.4", "1:2:3:4:5:6:7::8", "::1:2:3:4:5:6:7:8", "::ffff:1.2.3.4 ", "::%1", "[::1]", "",
	};
	(void)state;

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		struct proxy_preface p;
		uint8_t expected[16];
		char line[128];
		bool legal = inet_pton(AF_INET6, addresses[i], expected) == 1;

		snprintf(line, sizeof(line), "PROXY TCP6 %s ::1 1 2\r\n", addresses[i]);
		if ((parse_text(line, &p) > 0) != legal)
			fail_msg("%s should be %s", addresses[i], legal ? "legal" : "refused");
		if (!legal)
			continue;
		assert_int_equal(p.family, 6);
		assert_memory_equal(p.source, expected, 16);
	}
}

static void test_text_unknown(void **state)
{
	struct proxy_preface p;
	(void)state;

	assert_int_equal(parse_text("PROXY UNKNOWN\r\n", &p), 15);
	assert_true(p.local);
	assert_int_equal(p.family, 0);
	assert_true(parse_text("PROXY UNKNOWN ffff:f...f:ffff whatever 65535 65535\r\n", &p) > 0);
	assert_true(p.local);
}

static void test_text_refused(void **state)
{
	static const char *const lines[] = {
		"PROXY\r\n", "PROXY \r\n", "PROXY \n", "PROXY\tTCP4 1.2.3.4 1.2.3.4 1 2\r\n",
		"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4\r\n", "PROXY TCP4 1.2.3.4\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
		"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4.5 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n", "PROXY TCP4 1..3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
		"PROXY TCP4 1.2.3.-4 1.2.3.4 1 2\r\n", "PROXY TCP6 1.2.3.4 ::1 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 4294967297 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2a\r\n", "PROXY UNKNOWNS\r\n",
		"PROXYTCP4 1.2.3.4 1.2.3.4 1 2\r\n",
		"GET / HTTP/1.1\r\n", "PUT / HTTP/1.1\r\n", "PROPFIND / HTTP/1.1\r\n",
	};
	struct proxy_preface p;
	char line[200];
	(void)state;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (parse_text(lines[i], &p) != -EPROTO)
			fail_msg("not refused: %s", lines[i]);
	assert_int_equal(parse("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n", 33, &p), -EPROTO);

	/* 107 bytes at most, the line end among them. */
	snprintf(line, sizeof(line), "PROXY UNKNOWN %0*d\r\n", 107 - 16, 0);
	assert_int_equal(parse_text(line, &p), 107);
	snprintf(line, sizeof(line), "PROXY UNKNOWN %0*d\r\n", 108 - 16, 0);
	assert_int_equal(parse_text(line, &p), -EPROTO);
}

/* ---- version 2 ---- */

/* A preface of the command and family bytes, with as many zeros as len says after the address. */
static size_t binary(uint8_t *out, uint8_t command, uint8_t family, unsigned len, const void *address,
	size_t address_len)
{
	memcpy(out, SIGNATURE, 12);
	out[12] = command;
	out[13] = family;
	out[14] = (uint8_t)(len >> 8);
	out[15] = (uint8_t)len;
	memset(out + 16, 0, 536 - 16);
	memcpy(out + 16, address, address_len);
	return 16 + len;
}

static void test_binary(void **state)
{
	static const uint8_t ipv4[] = {192, 0, 2, 1, 192, 0, 2, 2, 0x1f, 0x90, 0x00, 0x50};
	static const uint8_t ipv6[36] = {[0] = 0x20, [15] = 1, [16] = 0x21, [31] = 2, [32] = 0xff, 0xfe, 0x01, 0xbb};
	struct proxy_preface p;
	uint8_t bytes[600];
	(void)state;

	assert_int_equal(parse(bytes, binary(bytes, 0x21, 0x11, 12, ipv4, 12), &p), 28);
	assert_false(p.local);
	assert_int_equal(p.family, 4);
	assert_memory_equal(p.source, ipv4, 4);
	assert_memory_equal(p.destination, ipv4 + 4, 4);
	assert_int_equal(p.source_port, 8080);
	assert_int_equal(p.destination_port, 80);
	assert_int_equal(parse(bytes, binary(bytes, 0x21, 0x12, 40, ipv4, 12), &p),
		56); /* datagrams; options after it */
	assert_int_equal(p.family, 4);
	assert_int_equal(parse(bytes, binary(bytes, 0x21, 0x21, 36, ipv6, 36), &p), 52);
	assert_int_equal(p.family, 6);
	assert_memory_equal(p.source, ipv6, 16);
	assert_memory_equal(p.destination, ipv6 + 16, 16);
	assert_int_equal(p.source_port, 0xfffe);
	assert_int_equal(p.destination_port, 443);
}

static void test_binary_without_address(void **state)
{
	static const uint8_t ipv4[12] = {192, 0, 2, 1};
	struct proxy_preface p;
	uint8_t bytes[600];
	(void)state;

	assert_int_equal(parse(bytes, binary(bytes, 0x20, 0x00, 0, "", 0), &p), 16);
	assert_true(p.local && p.family == 0);
	assert_int_equal(parse(bytes, binary(bytes, 0x20, 0x11, 12, ipv4, 12), &p), 28);
	assert_true(p.local && p.family == 0);
	assert_int_equal(parse(bytes, binary(bytes, 0x21, 0x00, 0, "", 0), &p), 16); /* unspecified */
	assert_true(!p.local && p.family == 0);
	assert_int_equal(parse(bytes, binary(bytes, 0x21, 0x31, 216, "/a", 2), &p), 232); /* UNIX */
	assert_true(!p.local && p.family == 0);
	assert_int_equal(parse(bytes, binary(bytes, 0x21, 0x11, 11, ipv4, 11), &p), 27); /* too short for its family */
	assert_int_equal(p.family, 0);
	assert_int_equal(parse(bytes, binary(bytes, 0x21, 0x21, 35, ipv4, 12), &p), 51);
	assert_int_equal(p.family, 0);
	assert_int_equal(parse(bytes, binary(bytes, 0x21, 0x21, 0, "", 0), &p), 16);
	assert_int_equal(p.family, 0);
}

static void test_binary_refused(void **state)
{
	struct proxy_preface p;
	uint8_t bytes[600];
	(void)state;

	assert_int_equal(parse(bytes, binary(bytes, 0x20, 0, 520, "", 0), &p), 536);
	binary(bytes, 0x20, 0, 521, "", 0);
	assert_int_equal(parse(bytes, 16, &p), -EPROTO);
	binary(bytes, 0x20, 0, 65535, "", 0);
	assert_int_equal(parse(bytes, 16, &p), -EPROTO);
	for (unsigned command = 0; command < 256; command++) {
		size_t len = binary(bytes, (uint8_t)command, 0, 0, "", 0);

		assert_int_equal(parse(bytes, len, &p), command == 0x20 || command == 0x21 ? 16 : -EPROTO);
	}
	for (size_t at = 0; at < 12; at++) {
		size_t len = binary(bytes, 0x20, 0, 0, "", 0);

		bytes[at] ^= 0x40;
		assert_int_equal(parse(bytes, len, &p), -EPROTO);
		assert_int_equal(parse(bytes, at + 1, &p), -EPROTO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_ipv4),
		cmocka_unit_test(test_text_ipv6),
		cmocka_unit_test(test_text_unknown),
		cmocka_unit_test(test_text_refused),
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_binary_without_address),
		cmocka_unit_test(test_binary_refused),
	};

	return cmocka_run_group_tests_name("proxy_preface", tests, NULL, NULL);
}
