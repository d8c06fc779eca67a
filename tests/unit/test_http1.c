/* SPDX-License-Identifier: Apache-2.0 */
/* What transcripts cannot say: parts of a head, first bytes, skipped bodies, tunnels, what a signature covers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shim/protocols/http1.h"

static struct slice text(const char *s)
{
	return slice(s, strlen(s));
}

/* A copy that ends where its memory does, so that reading on is seen. */
static struct slice exact(const char *s)
{
	static uint8_t *copy;
	size_t len = strlen(s);

	free(copy);
	copy = malloc(len ? len : 1);
	return slice(memcpy(copy, s, len), len);
}

static void assert_slice(struct slice s, const char *expected)
{
	assert_int_equal(s.len, strlen(expected));
	assert_memory_equal(s.p, expected, s.len);
}

static void test_parse_head(void **state)
{
	static const char head[] =
		"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
	struct slice in = exact(head);
	struct http1_head h;
	(void)state;

	memset(&h, 0xa5, sizeof(h));
	assert_int_equal(http1_parse_head(in, HTTP1_REQUEST, NULL, &h), in.len);
	assert_slice(h.method, "POST");
	assert_slice(h.target, "/a");
	assert_slice(http1_kept(&h, HTTP1_HOST), "h");
	assert_int_equal(h.minor, 1);
	assert_int_equal(h.n_fields, 3);
	assert_int_equal(h.content_length, -1);
	assert_true(h.chunked);
	assert_false(h.signs_context);
	assert_ptr_equal(h.whole.p, in.p);
	assert_int_equal(h.whole.len, in.len);
	assert_int_equal(h.blank, in.len - 2);
	for (enum http1_field i = 1; i < HTTP1_N_KEPT; i++)
		assert_true(http1_kept(&h, i).p == NULL && h.n_kept[i] == 0);
	for (size_t n = 0; n < in.len; n++)
		assert_int_equal(http1_parse_head(slice(in.p, n), HTTP1_REQUEST, NULL, &h), 0);
}

static void test_parse_stops_at_the_blank_line(void **state)
{
	struct http1_head h;
	(void)state;

	assert_int_equal(http1_parse_head(exact("HTTP/1.0 302 Found\nX: y\n\nHTTP/1.1\x01"), HTTP1_RESPONSE, NULL, &h), 25);
	assert_int_equal(h.status, 302);
	assert_int_equal(h.minor, 0);
	assert_int_equal(h.blank, 24);
}

/* The head with each character but a line feed at each place from first on, in a copy that ends where its memory does. */
static void try_characters(const char *head, size_t first, size_t last, bool (*is_legal)(unsigned c))
{
	size_t len = strlen(head);
	struct http1_head h;

	for (size_t at = first; at < last; at++) {
		for (unsigned c = 0; c < 256; c++) {
			struct slice in = exact(head);

			if (c == '\n')
				continue;
			((uint8_t *)(uintptr_t)in.p)[at] = (uint8_t)c;
			assert_int_equal(http1_parse_head(in, HTTP1_REQUEST, NULL, &h), is_legal(c) ? (long)len : -EPROTO);
		}
	}
}

static bool is_text(unsigned c)
{
	return (c >= 0x20 && c != 0x7f) || c == '\t';
}

static bool is_name(unsigned c)
{
	return c > 0x20 && c < 0x7f;
}

/* A control character is refused at every place of a line, whatever it is aligned to, and a tab or high byte in none. */
static void test_control_characters(void **state)
{
	(void)state;
	try_characters("GET / HTTP/1.1\r\nX: 0123456789abcdef0123456789abcdef0123456789\r\n\r\n", 19, 60, is_text);
}

/* Each character in a name, before and beyond the 16th byte. */
static void test_names(void **state)
{
	(void)state;
	try_characters("GET / HTTP/1.1\r\nx-0123456789abcdefghijk: v\r\n\r\n", 17, 39, is_name);
}

static void test_next_field(void **state)
{
	struct slice in = exact("GET / HTTP/1.1\r\nA: 1\r\nB:\nc-long-name-of-some-kind:  x y \t\r\n\r\n"), name, value;
	struct http1_head h;
	size_t cursor = 0;
	(void)state;

	assert_true(http1_parse_head(in, HTTP1_REQUEST, NULL, &h) > 0);
	assert_true(http1_next_field(&h, &cursor, &name, &value));
	assert_slice(name, "A");
	assert_slice(value, "1");
	assert_true(http1_next_field(&h, &cursor, &name, &value));
	assert_slice(name, "B");
	assert_slice(value, "");
	assert_true(http1_next_field(&h, &cursor, &name, &value));
	assert_slice(name, "c-long-name-of-some-kind");
	assert_slice(value, "x y");
	assert_false(http1_next_field(&h, &cursor, &name, &value));
	assert_false(http1_next_field(&h, &cursor, &name, &value));

	cursor = 0;
	assert_true(http1_parse_head(exact("GET / HTTP/1.1\r\n\r\n"), HTTP1_REQUEST, NULL, &h) > 0);
	assert_false(http1_next_field(&h, &cursor, &name, &value));
}

static void test_detect(void **state)
{
	(void)state;
	assert_int_equal(http1_detect(exact("")), 0);
	assert_int_equal(http1_detect(exact("G")), 0);
	assert_int_equal(http1_detect(exact("GET")), 0);
	assert_int_equal(http1_detect(exact("GET ")), 1);
	assert_int_equal(http1_detect(exact("x-y!z /")), 1);
	assert_int_equal(http1_detect(exact(" GET /")), -1);
	assert_int_equal(http1_detect(exact("\r\nGET /")), -1);
	assert_int_equal(http1_detect(exact("GET\t/")), -1);
	assert_int_equal(http1_detect(exact("GET:")), -1);
	assert_int_equal(http1_detect(exact("\x16\x03\x01")), -1);
	assert_int_equal(http1_detect(exact("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF")), 0);
	assert_int_equal(http1_detect(exact("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF ")), 1);
	assert_int_equal(http1_detect(exact("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG")), -1);
}

/* ---- what a signature covers ---- */

static bool signs(const char *field)
{
	char head[1024];
	struct http1_head h;

	snprintf(head, sizeof(head), "GET / HTTP/1.1\r\n%s\r\n\r\n", field);
	assert_true(http1_parse_head(exact(head), HTTP1_REQUEST, NULL, &h) > 0);
	return h.signs_context;
}

#define SIGV4 "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "

static void test_sigv4(void **state)
{
	(void)state;
	assert_false(signs(SIGV4 "SignedHeaders=content-type;host;x-amz-date, Signature=5d67"));
	assert_true(signs(SIGV4 "SignedHeaders=content-type;host;traceparent;x-amz-date, Signature=5d67"));
	assert_true(signs(SIGV4 "SignedHeaders=traceparent, Signature=5d67"));
	assert_true(signs(SIGV4 "SignedHeaders=host;tracestate, Signature=5d67"));
	assert_true(signs(SIGV4 "SignedHeaders=baggage;host,Signature=5d67"));
	assert_true(signs(SIGV4 "SignedHeaders=b3;host,Signature=5d67"));
	assert_true(signs(SIGV4 "SignedHeaders=host;x-b3-traceid;x,Signature=5d67"));
	assert_true(signs(SIGV4 "SignedHeaders=host;x-b3-flags,Signature=5d67"));
	assert_true(signs(SIGV4 "Signature=5d67, SignedHeaders=host;x-b3-sampled"));
	assert_true(signs(SIGV4 "SignedHeaders=host;TraceParent"));
	assert_false(signs(SIGV4 "SignedHeaders=host;x-traceparent;traceparent-x;b33;baggage2, Signature=b3b3"));
	assert_false(signs("Authorization: Bearer traceparent;b3"));
	assert_false(signs("Authorization: basic baggage"));
	assert_false(signs("X-Authorized-By: SignedHeaders=traceparent"));
	assert_true(signs("Authorization: Signature keyId=\"a\",headers=\"(request-target) traceparent\""));
}

static void test_signature_input(void **state)
{
	(void)state;
	assert_false(signs("Signature-Input: sig1=(\"@method\" \"@authority\");created=1618884473;keyid=\"k\""));
	assert_true(signs("Signature-Input: sig1=(\"@method\" \"traceparent\");created=1618884473"));
	assert_true(signs("signature-input: sig1=(\"tracestate\";sf \"@path\")"));
	assert_true(signs("Signature-Input: sig1=(\"baggage\")"));
	assert_true(signs("Signature-Input: a=(\"host\"), b=(\"b3\")"));
	assert_true(signs("Signature-Input: sig1=(\"x-b3-spanid\")"));
	assert_false(signs("Signature-Input: sig1=(\"my-traceparent\" \"x-b3\")"));
	assert_true(signs("Signature-Input: a=(\"host\")\r\nSignature-Input: b=(\"traceparent\")"));
}

/* ---- the stream ---- */

static void feed(struct http1_stream *s, const char *bytes, enum http1_event_type type, size_t used)
{
	struct http1_event ev;

	assert_int_equal(http1_feed(s, text(bytes), &ev), 0);
	assert_int_equal(ev.type, type);
	assert_int_equal(ev.used, used);
}

static void test_size(void **state)
{
	(void)state;
	assert_true(sizeof(struct http1_stream) <= 96);
}

static void test_carrying(void **state)
{
	struct http1_stream s;
	struct http1_event ev;
	uint8_t small[8], large[64];
	(void)state;

	http1_start(&s, HTTP1_REQUEST);
	assert_true(http1_is_idle(&s));
	assert_null(http1_take_back(&s));
	assert_int_equal(http1_feed(&s, text("GET /"), &ev), -ENOBUFS);
	assert_true(http1_is_idle(&s));
	http1_lend(&s, small, sizeof(small));
	feed(&s, "GET /", HTTP1_MORE, 5);
	assert_false(http1_is_idle(&s));
	assert_null(http1_take_back(&s));
	assert_int_equal(http1_feed(&s, text(" HTTP/1.1\r\nA"), &ev), -ENOBUFS);
	http1_lend(&s, large, sizeof(large));
	feed(&s, " HTTP/1.1\r\nA", HTTP1_MORE, 12);
	assert_int_equal(http1_feed(&s, text(": b\r\n\r\nGET"), &ev), 0);
	assert_int_equal(ev.type, HTTP1_HEAD);
	assert_int_equal(ev.used, 7);
	assert_int_equal(ev.head_tail, 7);
	assert_false(ev.head_in_input);
	assert_slice(ev.head.whole, "GET / HTTP/1.1\r\nA: b\r\n\r\n");
	assert_ptr_equal(http1_take_back(&s), large);
	assert_null(http1_take_back(&s));
	feed(&s, "GET", HTTP1_END, 0);
}

/* Lent memory is asked for after empty lines: they are not counted twice. */
static void test_empty_lines_and_carrying(void **state)
{
	struct http1_stream s;
	struct http1_event ev;
	uint8_t buffer[64];
	(void)state;

	http1_start(&s, HTTP1_REQUEST);
	assert_int_equal(http1_feed(&s, text("\r\n\r\n\r\nGE"), &ev), -ENOBUFS);
	http1_lend(&s, buffer, sizeof(buffer));
	feed(&s, "\r\n\r\n\r\nGE", HTTP1_MORE, 8);
	assert_int_equal(http1_feed(&s, text("T / HTTP/1.1\r\n\r\n"), &ev), 0);
	assert_int_equal(ev.type, HTTP1_HEAD);
	assert_slice(ev.head.whole, "GET / HTTP/1.1\r\n\r\n");
}

static void test_skip(void **state)
{
	struct http1_stream s;
	struct http1_event ev;
	(void)state;

	http1_start(&s, HTTP1_RESPONSE);
	feed(&s, "HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n", HTTP1_HEAD, 47);
	feed(&s, "abc", HTTP1_BODY, 3);
	assert_int_equal(http1_skip(&s, 0, &ev), 0);
	assert_int_equal(ev.type, HTTP1_MORE);
	assert_int_equal(http1_skip(&s, 4999999990, &ev), 0);
	assert_int_equal(ev.type, HTTP1_BODY);
	assert_int_equal(ev.payload, 4999999990);
	assert_int_equal(http1_skip(&s, 7, &ev), 0);
	assert_int_equal(s.body_bytes, 5000000000);
	feed(&s, "", HTTP1_END, 0);
	assert_true(http1_is_idle(&s));
	assert_int_equal(http1_skip(&s, 0, &ev), 0);
	assert_int_equal(http1_skip(&s, 1, &ev), -EPROTO);
	assert_int_equal(http1_feed(&s, text("HTTP/1.1"), &ev), -EPROTO);
	assert_int_equal(http1_skip(&s, 0, &ev), -EPROTO);
	assert_int_equal(http1_eof(&s, &ev), -EPROTO);
}

static void test_skip_too_much(void **state)
{
	struct http1_stream s;
	struct http1_event ev;
	(void)state;

	http1_start(&s, HTTP1_RESPONSE);
	feed(&s, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP1_HEAD, 38);
	assert_int_equal(http1_skip(&s, 6, &ev), -EPROTO);
}

static void test_skip_chunk_data_only(void **state)
{
	struct http1_stream s;
	struct http1_event ev;
	(void)state;

	http1_start(&s, HTTP1_RESPONSE);
	feed(&s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP1_HEAD, 47);
	feed(&s, "10\r\n", HTTP1_MORE, 4);
	assert_int_equal(http1_skip(&s, 16, &ev), 0);
	feed(&s, "\r\n0\r\n\r\n", HTTP1_BODY, 7);
	feed(&s, "", HTTP1_END, 0);
	assert_int_equal(s.body_bytes, 16);
	feed(&s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP1_HEAD, 47);
	feed(&s, "10\r", HTTP1_MORE, 3);
	assert_int_equal(http1_skip(&s, 16, &ev), -EPROTO);
}

static void test_skip_until_close(void **state)
{
	struct http1_stream s;
	struct http1_event ev;
	(void)state;

	http1_start(&s, HTTP1_RESPONSE);
	feed(&s, "HTTP/1.1 200 OK\r\n\r\n", HTTP1_HEAD, 19);
	assert_int_equal(http1_skip(&s, 1ull << 40, &ev), 0);
	assert_int_equal(http1_eof(&s, &ev), 0);
	assert_int_equal(ev.type, HTTP1_END);
	assert_int_equal(s.body_bytes, 1ull << 40);
}

static void test_eof(void **state)
{
	struct http1_stream s;
	struct http1_event ev;
	(void)state;

	http1_start(&s, HTTP1_REQUEST);
	assert_int_equal(http1_eof(&s, &ev), 0);
	assert_int_equal(ev.type, HTTP1_MORE);
	feed(&s, "GET / HTTP/1.1\r\n\r\n", HTTP1_HEAD, 18);
	assert_int_equal(http1_eof(&s, &ev), 0);
	assert_int_equal(ev.type, HTTP1_END);
	feed(&s, "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n", HTTP1_HEAD, 38);
	assert_int_equal(http1_eof(&s, &ev), -EPROTO);
}

static void test_tunnel(void **state)
{
	struct http1_stream s;
	struct http1_event ev;
	(void)state;

	http1_start(&s, HTTP1_REQUEST);
	feed(&s, "GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n", HTTP1_HEAD, 30);
	feed(&s, "", HTTP1_END, 0);
	http1_tunnel(&s);
	assert_int_equal(s.framing, HTTP1_TUNNEL);
	assert_false(http1_is_idle(&s));
	feed(&s, "\x01\x02\r\n\r\nGET", HTTP1_MORE, 9);
	assert_int_equal(http1_skip(&s, 1000, &ev), 0);
	assert_int_equal(ev.type, HTTP1_MORE);
	assert_int_equal(http1_eof(&s, &ev), 0);
	assert_int_equal(ev.type, HTTP1_MORE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_head),
		cmocka_unit_test(test_parse_stops_at_the_blank_line),
		cmocka_unit_test(test_control_characters),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_next_field),
		cmocka_unit_test(test_detect),
		cmocka_unit_test(test_sigv4),
		cmocka_unit_test(test_signature_input),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_carrying),
		cmocka_unit_test(test_empty_lines_and_carrying),
		cmocka_unit_test(test_skip),
		cmocka_unit_test(test_skip_too_much),
		cmocka_unit_test(test_skip_chunk_data_only),
		cmocka_unit_test(test_skip_until_close),
		cmocka_unit_test(test_eof),
		cmocka_unit_test(test_tunnel),
	};

	return cmocka_run_group_tests_name("http1", tests, NULL, NULL);
}
