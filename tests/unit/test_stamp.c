/* SPDX-License-Identifier: Apache-2.0 */
/* What may and what may not be changed in the bytes that a program reads. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "shim/config.h"
#include "shim/engine.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/engine_hooks.h"

#define PARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define TRACED(rest) "GET /a HTTP/1.1\r\nHost: h\r\ntraceparent: " PARENT "\r\n" rest
#define STAMP_LEN 70

static int up_auto(void **state)
{
	(void)state;
	engine_up(NULL);
	return 0;
}

static int up_insert(void **state)
{
	(void)state;
	engine_up((const char *const[]){"INTERSPAN_STAMP=insert", NULL});
	return 0;
}

static int up_off(void **state)
{
	(void)state;
	engine_up((const char *const[]){"INTERSPAN_STAMP=off", NULL});
	return 0;
}

static int up_without_tracecontext(void **state)
{
	(void)state;
	engine_up((const char *const[]){"INTERSPAN_STAMP=insert", "OTEL_PROPAGATORS=b3", NULL});
	return 0;
}

static int balanced(void **state)
{
	(void)state;
	assert_accounts(0);
	return 0;
}

/* The traceparent value in text names the span that this request's server span will be. */
static void assert_named(const char *text, const struct record *span)
{
	const char *at = strstr(text, "traceparent: ");
	char expected[64], *p = expected;

	assert_non_null(at);
	p += sprintf(p, "00-");
	for (int i = 0; i < 16; i++)
		p += sprintf(p, "%02x", span->trace_id[i]);
	p += sprintf(p, "-");
	for (int i = 0; i < 8; i++)
		p += sprintf(p, "%02x", span->span_id[i]);
	sprintf(p, "-%02x", span->flags);
	assert_memory_equal(at + 13, expected, 55);
	assert_null(strstr(at + 13, "traceparent: "));
}

/* got is sent with another value in place of the 55 characters of PARENT, or of anything of that length. */
static void assert_same_but_for_value(const char *got, const char *sent)
{
	const char *value = strstr(sent, PARENT);
	size_t before = (size_t)(value - sent);

	assert_int_equal(strlen(got), strlen(sent));
	assert_memory_equal(got, sent, before);
	assert_string_equal(got + before + 55, value + 55);
}

static void is_rewritten_in_place(void **state)
{
	struct link l = hook_accept();
	char got[512];

	(void)state;
	peer_says(&l, TRACED("\r\n"));
	assert_int_equal(program_reads(&l, got, sizeof(got)), strlen(TRACED("\r\n")));
	serve_end(&l);
	assert_same_but_for_value(got, TRACED("\r\n"));
	assert_named(got, span_nth(SPAN_SERVER, 0));
	assert_memory_equal(span_at(0)->parent_id, "\x00\xf0\x67\xaa\x0b\xa9\x02\xb7", 8);
	assert_int_equal(counted(STAT_STAMP_REWRITTEN), 1);
	link_close(&l);
}

/* The head arrives in two reads, split at every byte: changed only when the value lies whole in the second one. */
static void only_what_this_read_brought_is_rewritten(void **state)
{
	static const char head[] = TRACED("X-After: 1\r\n\r\n");
	size_t value = (size_t)(strstr(head, PARENT) - head);

	(void)state;
	for (size_t split = 1; split < sizeof(head) - 1; split++) {
		struct link l = hook_accept();
		char got[512];

		assert_int_equal(send(l.peer, head, split, 0), split);
		assert_int_equal(program_reads(&l, got, sizeof(got)), split);
		peer_says(&l, head + split);
		assert_int_equal(program_reads(&l, got + split, sizeof(got) - split), sizeof(head) - 1 - split);
		serve_end(&l);
		assert_same_but_for_value(got, head);
		if (split <= value)
			assert_named(got, span_nth(SPAN_SERVER, (unsigned)split - 1));
		else
			assert_string_equal(got, head);
		link_close(&l);
	}
}

/* Pieces of every size, so that the value is spread over several. */
static void it_is_rewritten_over_tiny_pieces(void **state)
{
	static const char head[] = TRACED("X-After: 1\r\n\r\n");

	(void)state;
	for (size_t piece = 1; piece < sizeof(head); piece++) {
		struct link l = hook_accept();
		struct iovec iov[256];
		char got[512] = "";
		int n = 0;

		for (size_t at = 0; at < sizeof(head) - 1; at += piece, n++)
			iov[n] = (struct iovec){got + at, piece};
		peer_says(&l, head);
		assert_int_equal(hook_readv(l.ours, iov, n), sizeof(head) - 1);
		serve_end(&l);
		assert_same_but_for_value(got, head);
		assert_named(got, span_nth(SPAN_SERVER, (unsigned)piece - 1));
		link_close(&l);
	}
}

static void is_not_inserted_where_nobody_sent_one(void **state)
{
	struct link l = hook_accept();
	char got[512];

	(void)state;
	peer_says(&l, REQUEST);
	assert_int_equal(program_reads(&l, got, sizeof(got)), strlen(REQUEST));
	assert_string_equal(got, REQUEST);
	serve_end(&l);
	link_close(&l);
}

/* A request with a field of its own arrives and is read. Was it stamped? text: it, as it was sent. */
static bool is_stamped(const struct link *in, int i, char text[256])
{
	size_t len = (size_t)sprintf(text, "GET /%d HTTP/1.1\r\nHost: h\r\nX-Id: value-%d\r\n\r\n", i, i), n;
	char got[512];

	peer_says(in, text);
	n = program_reads(in, got, sizeof(got));
	assert_true(n == len || n == len + STAMP_LEN);
	return n > len;
}

/* Eight requests whose own fields reappear in what is sent for them make a forwarder. */
static void prove_a_forwarder(void)
{
	struct link in = hook_accept(), out = hook_connect();
	char text[256];

	for (int i = 0; i < 8; i++) {
		assert_false(is_stamped(&in, i, text));
		call_begin(&out, text, NULL, 0);
		call_end(&out);
		serve_end(&in);
	}
	link_close(&in);
	link_close(&out);
}

static void is_inserted_in_a_proven_forwarder(void **state)
{
	struct link in = hook_accept();
	char got[512];

	(void)state;
	prove_a_forwarder();
	peer_says(&in, REQUEST);
	assert_int_equal(program_reads(&in, got, sizeof(got)), strlen(REQUEST) + STAMP_LEN);
	serve_end(&in);
	assert_named(got, span_nth(SPAN_SERVER, 8));
	link_close(&in);
}

/* Of 64 requests that ended none has sent its stamp on: this one keeps them for itself, and gets no more. */
static void is_not_inserted_where_none_comes_back(void **state)
{
	struct link in = hook_accept();
	char text[256];

	(void)state;
	prove_a_forwarder();
	for (int i = 0; i < 64; i++) {
		assert_true(is_stamped(&in, i, text));
		serve_end(&in);
	}
	assert_false(is_stamped(&in, 64, text));
	serve_end(&in);
	link_close(&in);
}

/* Those that wait in a queue for their turn have not had the chance. */
static void is_inserted_while_all_wait(void **state)
{
	struct link in[80];
	char text[256];

	(void)state;
	prove_a_forwarder();
	for (int i = 0; i < 80; i++) {
		in[i] = hook_accept();
		assert_true(is_stamped(&in[i], i, text));
	}
	for (int i = 0; i < 80; i++) {
		serve_end(&in[i]);
		link_close(&in[i]);
	}
}

static void is_inserted_before_the_blank_line(void **state)
{
	static const char sent[] = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
	struct link l = hook_accept();
	char got[512], expected[512];

	(void)state;
	peer_says(&l, sent);
	assert_int_equal(program_reads(&l, got, sizeof(got)), sizeof(sent) - 1 + STAMP_LEN);
	serve_end(&l);
	assert_named(got, span_nth(SPAN_SERVER, 0));
	sprintf(expected, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\ntraceparent: %.55s\r\n\r\nhello",
		strstr(got, "traceparent: ") + 13);
	assert_string_equal(got, expected);
	assert_int_equal(span_number(span_at(0), ATTR_HTTP_REQUEST_BODY_SIZE), 5);
	link_close(&l);
}

static void insertion_needs_room_for_all_of_it(void **state)
{
	static const struct {
		size_t spare;
		bool fits;
	} cases[] = {{0, false}, {STAMP_LEN - 1, false}, {STAMP_LEN, true}, {STAMP_LEN + 1, true}};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct link l = hook_accept();
		/* Exactly as large as said, for the sanitizer to see a byte too many. */
		size_t cap = strlen(REQUEST) + cases[i].spare;
		char *got = malloc(cap);
		ssize_t n;

		peer_says(&l, REQUEST);
		n = hook_recv(l.ours, got, cap, 0);
		assert_int_equal(n, strlen(REQUEST) + (cases[i].fits ? STAMP_LEN : 0));
		assert_memory_equal(got, REQUEST, strlen(REQUEST) - 2);
		serve_end(&l);
		free(got);
		link_close(&l);
	}
	assert_int_equal(counted(STAT_STAMP_NO_ROOM), 2);
	assert_int_equal(counted(STAT_STAMP_INSERTED), 2);
}

/* The head in two reads, split at every byte: inserted whenever the blank line comes whole with the second. */
static void insertion_needs_the_blank_line_in_this_read(void **state)
{
	static const char head[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

	(void)state;
	for (size_t split = 1; split < sizeof(head) - 1; split++) {
		bool fits = split <= sizeof(head) - 1 - 2;
		struct link l = hook_accept();
		char got[512];
		size_t n;

		assert_int_equal(send(l.peer, head, split, 0), split);
		assert_int_equal(program_reads(&l, got, sizeof(got)), split);
		peer_says(&l, head + split);
		n = program_reads(&l, got + split, sizeof(got) - split);
		assert_int_equal(n + split, sizeof(head) - 1 + (fits ? STAMP_LEN : 0));
		serve_end(&l);
		assert_memory_equal(got, head, sizeof(head) - 3);
		assert_string_equal(got + split + n - 2, "\r\n");
		if (fits)
			assert_named(got, span_nth(SPAN_SERVER, (unsigned)split - 1));
		link_close(&l);
	}
	assert_int_equal(counted(STAT_STAMP_INSERTED), sizeof(head) - 1 - 2);
}

static void insertion_over_pieces_shifts_across_them(void **state)
{
	static const char sent[] = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";

	(void)state;
	for (size_t piece = 16; piece < 140; piece++) {
		struct link l = hook_accept();
		char got[512] = "";
		struct iovec iov[8];
		int n = 0;

		for (size_t at = 0; at < sizeof(sent) - 1 + STAMP_LEN && n < 8; at += piece)
			iov[n++] = (struct iovec){got + at, piece};
		peer_says(&l, sent);
		assert_int_equal(hook_readv(l.ours, iov, n), sizeof(sent) - 1 + STAMP_LEN);
		serve_end(&l);
		assert_named(got, span_nth(SPAN_SERVER, (unsigned)piece - 16));
		assert_string_equal(strstr(got, "traceparent: ") + STAMP_LEN, "\r\nhello");
		link_close(&l);
	}
}

static void what_was_peeked_stays_as_it_was(void **state)
{
	struct link l = hook_accept();
	char got[512];

	(void)state;
	peer_says(&l, TRACED("\r\n"));
	(void)hook_recv(l.ours, got, 20, MSG_PEEK);
	(void)program_reads(&l, got, sizeof(got));
	assert_string_equal(got, TRACED("\r\n"));
	serve_end(&l);
	/* The next request was not looked at. */
	peer_says(&l, TRACED("\r\n"));
	(void)program_reads(&l, got, sizeof(got));
	serve_end(&l);
	assert_named(got, span_nth(SPAN_SERVER, 1));
	link_close(&l);
}

/* All of it is seen by the peek; a first short read takes only a few bytes of that. */
static void what_was_peeked_stays_over_several_reads(void **state)
{
	struct link l = hook_accept();
	char got[512];
	size_t n = 0;

	(void)state;
	peer_says(&l, TRACED("\r\n"));
	(void)hook_recv(l.ours, got, sizeof(got), MSG_PEEK);
	n += (size_t)hook_recv(l.ours, got, 4, 0);
	n += program_reads(&l, got + n, sizeof(got) - n);
	assert_string_equal(got, TRACED("\r\n"));
	serve_end(&l);
	link_close(&l);
}

static void heads_of_many_fields_are_not_lengthened(void **state)
{
	(void)state;
	for (int fields = 62; fields <= 66; fields++) {
		struct link l = hook_accept();
		char sent[4096], got[4096], *p = sent + sprintf(sent, "GET /a HTTP/1.1\r\n");

		for (int i = 0; i < fields; i++)
			p += sprintf(p, "X-%d: 1\r\n", i);
		strcpy(p, "\r\n");
		peer_says(&l, sent);
		assert_int_equal(program_reads(&l, got, sizeof(got)), strlen(sent) + (fields < 64 ? STAMP_LEN : 0));
		serve_end(&l);
		link_close(&l);
	}
}

static void signed_heads_stay_as_they_are(void **state)
{
	static const char *const heads[] = {
		TRACED("Authorization: AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host;traceparent, "
		       "Signature=00\r\n\r\n"),
		TRACED("Signature-Input: sig1=(\"@method\" \"traceparent\");created=1\r\n\r\n"),
		"GET /a HTTP/1.1\r\nHost: h\r\nSignature-Input: sig1=(\"traceparent\")\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct link l = hook_accept();
		char got[1024];

		peer_says(&l, heads[i]);
		(void)program_reads(&l, got, sizeof(got));
		assert_string_equal(got, heads[i]);
		serve_end(&l);
		link_close(&l);
	}
}

static void of_pipelined_requests_the_first_is_stamped(void **state)
{
	static const char second[] = "GET /b HTTP/1.1\r\nHost: h\r\n\r\n", third[] = TRACED("\r\n");
	struct link l = hook_accept();
	char sent[512], got[1024], expected[1024];

	(void)state;
	sprintf(sent, "%s%s%s", REQUEST, second, third);
	peer_says(&l, sent);
	assert_int_equal(program_reads(&l, got, sizeof(got)), strlen(sent) + STAMP_LEN);
	sprintf(expected, "%.*straceparent: %.55s\r\n\r\n%s%s", (int)strlen(REQUEST) - 2, REQUEST,
		strstr(got, "traceparent: ") + 13, second, third);
	assert_string_equal(got, expected);
	for (int i = 0; i < 3; i++)
		serve_end(&l);
	assert_int_equal(spans_count(), 3);
	assert_string_equal(span_text(span_at(1), ATTR_URL_PATH), "/b");
	link_close(&l);
}

static void bytes_of_a_tunnel_are_the_programs(void **state)
{
	struct link l = hook_accept();
	char got[512];

	(void)state;
	serve_begin(&l, "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
	program_says(&l, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
	peer_says(&l, TRACED("\r\n"));
	(void)program_reads(&l, got, sizeof(got));
	assert_string_equal(got, TRACED("\r\n"));
	assert_int_equal(spans_count(), 1);
	link_close(&l);
}

static void bodies_are_the_programs(void **state)
{
	struct link l = hook_accept();
	char sent[512], got[512];

	(void)state;
	sprintf(sent, "%s", TRACED("\r\n"));
	serve_begin(&l, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 97\r\n\r\n");
	peer_says(&l, sent);
	(void)program_reads(&l, got, sizeof(got));
	assert_string_equal(got, sent);
	serve_end(&l);
	link_close(&l);
}

static void what_does_not_parse_stays_as_it_is(void **state)
{
	static const char *const texts[] = {
		"GET /a HTTP/1.1\r\nHost : h\r\ntraceparent: " PARENT "\r\n\r\n",
		"GET /a HTTP/2.0\r\ntraceparent: " PARENT "\r\n\r\n",
		"GET /a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\ntraceparent: " PARENT "\r\n\r\n",
		"\x16\x03\x01 traceparent: " PARENT "\r\n\r\n",
		"GET /a HTTP/1.1\r\ntraceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01\r\n\r\n",
		TRACED("traceparent: " PARENT "\r\n\r\n"),
		"GET /a HTTP/1.1\r\ntraceparent: 01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct link l = hook_accept();
		char got[1024];

		peer_says(&l, texts[i]);
		(void)program_reads(&l, got, sizeof(got));
		assert_string_equal(got, texts[i]);
		serve_end(&l);
		link_close(&l);
	}
}

static void off_means_off(void **state)
{
	struct link l = hook_accept();
	char got[512];

	(void)state;
	peer_says(&l, TRACED("\r\n"));
	(void)program_reads(&l, got, sizeof(got));
	assert_string_equal(got, TRACED("\r\n"));
	serve_end(&l);
	link_close(&l);
}

static void without_tracecontext_nothing_is_stamped(void **state)
{
	off_means_off(state);
	assert_int_equal(counted(STAT_STAMP_REWRITTEN) + counted(STAT_STAMP_INSERTED), 0);
}

static void a_preface_before_the_head_is_left_alone(void **state)
{
	static const char preface[] = "PROXY TCP4 198.51.100.1 198.51.100.2 3333 80\r\n";
	struct link l = hook_accept();
	char sent[512], got[512];

	(void)state;
	sprintf(sent, "%s%s", preface, TRACED("\r\n"));
	peer_says(&l, sent);
	(void)program_reads(&l, got, sizeof(got));
	serve_end(&l);
	assert_same_but_for_value(got, sent);
	assert_named(got, span_nth(SPAN_SERVER, 0));
	assert_string_equal(span_text(span_at(0), ATTR_CLIENT_ADDRESS), "198.51.100.1");
	assert_string_equal(span_text(span_at(0), ATTR_NETWORK_PEER_ADDRESS), "192.0.2.7");
	link_close(&l);
}

#define TEST(test, up) cmocka_unit_test_setup_teardown(test, up, balanced)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(is_rewritten_in_place, up_auto),
		TEST(only_what_this_read_brought_is_rewritten, up_auto),
		TEST(it_is_rewritten_over_tiny_pieces, up_auto),
		TEST(is_not_inserted_where_nobody_sent_one, up_auto),
		TEST(is_inserted_in_a_proven_forwarder, up_auto),
		TEST(is_not_inserted_where_none_comes_back, up_auto),
		TEST(is_inserted_while_all_wait, up_auto),
		TEST(is_inserted_before_the_blank_line, up_insert),
		TEST(insertion_needs_room_for_all_of_it, up_insert),
		TEST(insertion_needs_the_blank_line_in_this_read, up_insert),
		TEST(insertion_over_pieces_shifts_across_them, up_insert),
		TEST(what_was_peeked_stays_as_it_was, up_auto),
		TEST(what_was_peeked_stays_over_several_reads, up_auto),
		TEST(heads_of_many_fields_are_not_lengthened, up_insert),
		TEST(signed_heads_stay_as_they_are, up_insert),
		TEST(of_pipelined_requests_the_first_is_stamped, up_insert),
		TEST(bytes_of_a_tunnel_are_the_programs, up_auto),
		TEST(bodies_are_the_programs, up_auto),
		TEST(what_does_not_parse_stays_as_it_is, up_auto),
		TEST(off_means_off, up_off),
		TEST(without_tracecontext_nothing_is_stamped, up_without_tracecontext),
		TEST(a_preface_before_the_head_is_left_alone, up_auto),
	};

	return ENGINE_RUN_EACH(tests);
}
