/* SPDX-License-Identifier: Apache-2.0 */
/* What a memo comes to hold, and that it is used. That it changes no event is shown by the transcripts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shim/protocols/http1_field.h"
#include "shim/protocols/http1_memo.h"

static struct http1_head head;

static long parse(struct http1_memo *memo, enum http1_kind kind, const char *text)
{
	return http1_parse_head(slice(text, strlen(text)), kind, memo, &head);
}

static void assert_run(const struct http1_memo *memo, unsigned i, const char *bytes)
{
	assert_true(i < memo->n_runs);
	assert_int_equal(memo->runs[i].len, strlen(bytes));
	assert_memory_equal(memo->bytes + memo->runs[i].at, bytes, strlen(bytes));
}

static void learn(struct http1_memo *memo, enum http1_kind kind, const char *text)
{
	*memo = (struct http1_memo){.n_runs = 0};
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(memo->n_runs, 0);
		assert_true(parse(memo, kind, text) > 0);
	}
	assert_true(memo->n_runs > 0);
}

#define FIRST_LINES "Host: shop.example\r\nUser-Agent: probe/1.0\r\n"
#define OTHER_LINES "Accept: text/html, */*\r\nAccept-Language: en-GB\r\n"
#define TRACE_A "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define TRACE_B "00-11111111111111111111111111111111-2222222222222222-01"

static void test_learns_from_the_third(void **state)
{
	struct http1_memo memo;
	(void)state;

	learn(&memo, HTTP1_REQUEST, "GET /a HTTP/1.1\r\n" FIRST_LINES "traceparent: " TRACE_A "\r\n" OTHER_LINES "\r\n");
	assert_int_equal(memo.n_runs, 2);
	assert_run(&memo, 0, FIRST_LINES "traceparent:");
	assert_int_equal(memo.runs[0].open, HTTP1_TRACEPARENT);
	assert_run(&memo, 1, OTHER_LINES);
	assert_int_equal(memo.runs[1].open, HTTP1_MEMO_CLOSED);
	assert_int_equal(memo.runs[1].lines_before, 0);
	assert_int_equal(memo.runs[2].lines_before, HTTP1_MEMO_NO_RUN);
}

/* What the memo says of Host is believed: so it is the memo that was asked. */
static void test_is_used(void **state)
{
	struct http1_memo memo;
	(void)state;

	learn(&memo, HTTP1_REQUEST, "GET /a HTTP/1.1\r\n" FIRST_LINES "traceparent: " TRACE_A "\r\n" OTHER_LINES "\r\n");
	memo.kept[0].len = 4;
	assert_true(parse(&memo, HTTP1_REQUEST,
			  "GET /b/c HTTP/1.1\r\n" FIRST_LINES "traceparent: " TRACE_B "\r\n" OTHER_LINES "\r\n") > 0);
	assert_int_equal(head.n_fields, 5);
	assert_int_equal(head.kept_values[HTTP1_HOST].len, 4);
	assert_memory_equal(head.kept_values[HTTP1_HOST].p, "shop", 4);
	assert_int_equal(head.kept_values[HTTP1_TRACEPARENT].len, strlen(TRACE_B));
	assert_memory_equal(head.kept_values[HTTP1_TRACEPARENT].p, TRACE_B, strlen(TRACE_B));
}

static void test_leaves_out_what_varies(void **state)
{
	struct http1_memo memo;
	(void)state;

	learn(&memo, HTTP1_RESPONSE,
	      "HTTP/1.1 200 OK\r\nServer: something/1.0\r\nDate: Sat, 21 Nov 2026 08:40:30 GMT\r\nContent-Length: 5\r\n" OTHER_LINES
	      "\r\n");
	assert_run(&memo, 0, "Server: something/1.0\r\nDate: Sat, 21 Nov 2026 08:40:30 GMT\r\nContent-Length:");
	assert_int_equal(memo.runs[0].open, HTTP1_CONTENT_LENGTH);
	assert_true(parse(&memo, HTTP1_RESPONSE,
			  "HTTP/1.1 200 OK\r\nServer: something/1.0\r\nDate: Sat, 21 Nov 2026 08:40:31 GMT\r\n"
			  "Content-Length: 17\r\n" OTHER_LINES "\r\n") > 0);
	assert_int_equal(head.content_length, 17);
	assert_run(&memo, 0, "Server: something/1.0\r\nDate:");
	assert_int_equal(memo.runs[0].open, HTTP1_UNKNOWN);
	/* The name of the length alone is too short for a run. */
	assert_run(&memo, 1, OTHER_LINES);
	assert_int_equal(memo.runs[1].lines_before, 1);
	assert_true(parse(&memo, HTTP1_RESPONSE,
			  "HTTP/1.1 404 Gone\r\nServer: something/1.0\r\nDate: now\r\nContent-Length: 9\r\n" OTHER_LINES "\r\n") > 0);
	assert_int_equal(head.content_length, 9);
	assert_int_equal(head.n_fields, 5);
	assert_int_equal(memo.misses, 0);
}

/* A length in one answer, chunks in the next: they are of one kind. */
static void test_framing_alternates(void **state)
{
	static const char length[] = "HTTP/1.1 200 OK\r\nServer: something/1.0\r\nContent-Length: 5\r\n" OTHER_LINES "\r\n";
	static const char chunks[] = "HTTP/1.1 200 OK\r\nServer: something/1.0\r\nTransfer-Encoding: chunked\r\n" OTHER_LINES
				     "\r\n";
	struct http1_memo memo;
	(void)state;

	learn(&memo, HTTP1_RESPONSE, length);
	assert_run(&memo, 0, "Server: something/1.0\r\nContent-Length:");
	for (unsigned i = 0; i < 6; i++) {
		assert_true(parse(&memo, HTTP1_RESPONSE, i % 2 ? length : chunks) > 0);
		assert_int_equal(head.chunked, i % 2 == 0);
		assert_int_equal(head.content_length, i % 2 ? 5 : -1);
		assert_int_equal(memo.misses, i == 0);
		assert_run(&memo, memo.n_runs - 1u, OTHER_LINES);
	}
}

/* Heads of another kind, now and then, are none of its business; several in a row are the new rule. */
static void test_is_made_anew(void **state)
{
	static const char one[] = "GET / HTTP/1.1\r\n" FIRST_LINES OTHER_LINES "\r\n";
	static const char another[] = "GET / HTTP/1.1\r\n" OTHER_LINES FIRST_LINES "\r\n";
	struct http1_memo memo;
	(void)state;

	learn(&memo, HTTP1_REQUEST, one);
	for (unsigned i = 0; i < 10; i++) {
		assert_true(parse(&memo, HTTP1_REQUEST, i % 2 ? one : another) > 0);
		assert_run(&memo, 0, FIRST_LINES OTHER_LINES);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_true(parse(&memo, HTTP1_REQUEST, another) > 0);
	assert_run(&memo, 0, OTHER_LINES FIRST_LINES);
}

/* Heads that are never of one kind twice are learnt ever more rarely; one that comes to stay is learnt in the end. */
static void test_has_patience_with_a_mixture(void **state)
{
	static char text[16][256];
	struct http1_memo memo = {.n_runs = 0};
	unsigned learnt = 0;
	(void)state;

	for (unsigned i = 0; i < 16; i++)
		snprintf(text[i], sizeof(text[i]), "GET / HTTP/1.1\r\nX-%u: here\r\n" FIRST_LINES OTHER_LINES "\r\n", i);
	for (unsigned i = 0; i < 3000; i++) {
		assert_true(parse(&memo, HTTP1_REQUEST, text[i % 13]) > 0);
		learnt += memo.n_runs > 0 && memo.misses == 0 && !memo.useful;
	}
	assert_in_range(learnt, 2, 100);
	for (unsigned i = 0; i < 200; i++)
		assert_true(parse(&memo, HTTP1_REQUEST, text[14]) > 0);
	assert_run(&memo, 0, "X-14: here\r\n" FIRST_LINES OTHER_LINES);
}

/* A field more is none of another kind's: it comes after all runs, and is seen. */
static void test_lines_after_the_runs(void **state)
{
	struct http1_memo memo;
	(void)state;

	learn(&memo, HTTP1_REQUEST, "POST / HTTP/1.1\r\n" FIRST_LINES OTHER_LINES "\r\n");
	assert_true(parse(&memo, HTTP1_REQUEST, "POST / HTTP/1.1\r\n" FIRST_LINES OTHER_LINES "Content-Length: 3\r\n\r\n") > 0);
	assert_int_equal(head.content_length, 3);
	assert_true(parse(&memo, HTTP1_REQUEST,
			  "POST / HTTP/1.1\r\n" FIRST_LINES OTHER_LINES "Transfer-Encoding: chunked\r\nHost: b\r\n\r\n") > 0);
	assert_true(head.chunked);
	assert_int_equal(head.n_kept[HTTP1_HOST], 2);
}

/* A head that does not fit is known as far as it does. */
static void test_long_heads(void **state)
{
	static char text[4096];
	struct http1_memo memo;
	(void)state;

	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" FIRST_LINES "Cookie: %0*d\r\n" OTHER_LINES "\r\n", HTTP1_MEMO_BYTES, 0);
	learn(&memo, HTTP1_REQUEST, text);
	assert_run(&memo, 0, FIRST_LINES "Cookie:");
	assert_run(&memo, 1, OTHER_LINES);
	memset(text, 0, sizeof(text));
	strcpy(text, "GET / HTTP/1.1\r\n");
	for (unsigned i = 0; i < 200; i++)
		sprintf(text + strlen(text), "X-%03u: %u\r\n", i, i);
	strcat(text, "\r\n");
	learn(&memo, HTTP1_REQUEST, text);
	for (unsigned i = 0; i < 10; i++) {
		text[16 + 200] ^= 1; /* another value each time, or name */
		assert_int_equal(parse(&memo, HTTP1_REQUEST, text), (long)strlen(text));
		assert_int_equal(head.n_fields, 200);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_learns_from_the_third), cmocka_unit_test(test_is_used),
		cmocka_unit_test(test_leaves_out_what_varies), cmocka_unit_test(test_is_made_anew), cmocka_unit_test(test_has_patience_with_a_mixture), cmocka_unit_test(test_framing_alternates),
		cmocka_unit_test(test_lines_after_the_runs), cmocka_unit_test(test_long_heads),
	};

	return cmocka_run_group_tests_name("http1_memo", tests, NULL, NULL);
}
