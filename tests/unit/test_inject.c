/* SPDX-License-Identifier: Apache-2.0 */
/* What goes out for a request head: every byte of the program's, one header of ours, and the counts that it is told. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "shim/forwarder.h"
#include "shim/config.h"
#include "shim/engine.h"
#include "shim/filter.h"
#include "shim/propagation.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/engine_hooks.h"

#define PARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define POST "POST /a HTTP/1.1\r\nHost: h.example\r\nContent-Length: 5\r\n"
#define TRACED POST "traceparent: " PARENT "\r\nX-After: 1\r\n\r\nhello"

static int up(void **state)
{
	(void)state;
	engine_up(NULL);
	return 0;
}

static int up_b3(void **state)
{
	(void)state;
	engine_up((const char *const[]){"OTEL_PROPAGATORS=b3", NULL});
	return 0;
}

static int up_b3multi(void **state)
{
	(void)state;
	engine_up((const char *const[]){"OTEL_PROPAGATORS=b3multi", NULL});
	return 0;
}

static int up_limited(void **state)
{
	(void)state;
	engine_up((const char *const[]){"INTERSPAN_PROPAGATE_TO=*.inner,10.0.0.0/8", NULL});
	return 0;
}

static int balanced(void **state)
{
	(void)state;
	assert_accounts(0);
	return 0;
}

static unsigned occurrences(const char *text, const char *what)
{
	unsigned n = 0;

	for (const char *at = text; (at = strcasestr(at, what)); at++)
		n++;
	return n;
}

/* got is sent, with one traceparent line before the blank line of its head. */
static void assert_injected(const char *got, const char *sent)
{
	const char *blank = strstr(sent, "\r\n\r\n") + 2, *line = strstr(got, "traceparent: 00-");
	size_t before = (size_t)(blank - sent);

	assert_non_null(line);
	assert_int_equal(strlen(got), strlen(sent) + 70);
	assert_memory_equal(got, sent, before);
	assert_ptr_equal(line, got + before);
	assert_string_equal(got + before + 70, blank);
}

/* got is sent with another value of the same length in its one traceparent. */
static void assert_rewritten(const char *got, const char *sent)
{
	size_t value = (size_t)(strstr(sent, PARENT) - sent);

	assert_int_equal(strlen(got), strlen(sent));
	assert_memory_equal(got, sent, value);
	assert_memory_not_equal(got + value + 36, sent + value + 36, 16);
	assert_string_equal(got + value + 55, sent + value + 55);
}

static void finish(struct link *l)
{
	call_end(l);
	link_close(l);
}

/* ---- where heads lie ---- */

static void a_head_gets_one_line(void **state)
{
	struct link l = hook_connect();
	char got[1024];

	(void)state;
	call_begin(&l, POST "\r\nhello", got, sizeof(got));
	assert_injected(got, POST "\r\nhello");
	finish(&l);
	assert_int_equal(span_number(span_at(0), ATTR_HTTP_REQUEST_BODY_SIZE), 5);
}

static void a_traceparent_is_rewritten_not_doubled(void **state)
{
	struct link l = hook_connect();
	char got[1024];

	(void)state;
	call_begin(&l, TRACED, got, sizeof(got));
	assert_rewritten(got, TRACED);
	finish(&l);
	assert_memory_equal(span_at(0)->parent_id, "\x00\xf0\x67\xaa\x0b\xa9\x02\xb7", 8);
}

static void over_iovecs_split_anywhere(const char *sent, void (*check)(const char *, const char *))
{
	size_t len = strlen(sent);

	for (size_t split = 0; split <= len; split++) {
		struct link l = hook_connect();
		char copy[1024], got[1024];
		struct iovec iov[3] = {{copy, split}, {NULL, 0}, {copy + split, len - split}};

		strcpy(copy, sent);
		assert_int_equal(hook_writev(l.ours, iov, 3), len);
		assert_string_equal(copy, sent); /* the program's memory is the program's */
		(void)peer_reads(&l, got, sizeof(got));
		check(got, sent);
		finish(&l);
	}
}

static void split_over_iovecs(void **state)
{
	(void)state;
	over_iovecs_split_anywhere(POST "\r\nhello", assert_injected);
	over_iovecs_split_anywhere(TRACED, assert_rewritten);
}

/* In two sends: what is out already cannot be changed, and nothing is doubled or lost. */
static void split_over_sends(void **state)
{
	static const char sent[] = TRACED, bare[] = POST "\r\nhello";
	size_t value = (size_t)(strstr(sent, PARENT) - sent), blank = sizeof(POST) - 1;

	(void)state;
	for (size_t split = 1; split < sizeof(sent) - 1; split++) {
		struct link l = hook_connect();
		char got[1024];

		assert_int_equal(hook_send(l.ours, sent, split, 0), split);
		program_says(&l, sent + split);
		(void)peer_reads(&l, got, sizeof(got));
		if (split <= value || split >= sizeof(sent) - 1 - 5)
			assert_rewritten(got, sent);
		else
			assert_string_equal(got, sent);
		finish(&l);
	}
	for (size_t split = 1; split < sizeof(bare) - 1; split++) {
		struct link l = hook_connect();
		char got[1024];

		assert_int_equal(hook_send(l.ours, bare, split, 0), split);
		program_says(&l, bare + split);
		(void)peer_reads(&l, got, sizeof(got));
		if (split <= blank || split >= blank + 2)
			assert_injected(got, bare);
		else
			assert_string_equal(got, bare);
		finish(&l);
	}
}

static void byte_by_byte(void **state)
{
	struct link l = hook_connect();
	char got[1024];

	(void)state;
	for (const char *p = POST; *p; p++)
		assert_int_equal(hook_send(l.ours, p, 1, 0), 1);
	program_says(&l, "\r\nhello");
	(void)peer_reads(&l, got, sizeof(got));
	assert_injected(got, POST "\r\nhello");
	finish(&l);
}

/* ---- short writes ---- */

/* Send what is left as programs do, until all is out; returns the number of calls that were told EAGAIN. */
static unsigned send_on(int fd, const char *text, size_t told, struct iovec *iov)
{
	size_t len = strlen(text);
	unsigned again = 0;

	while (told < len) {
		ssize_t n;

		*iov = (struct iovec){(char *)(uintptr_t)text + told, len - told};
		n = hook_writev(fd, iov, 1);
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			assert_true(++again < 4);
			hook_room = SIZE_MAX;
			continue;
		}
		assert_true(n > 0 && (size_t)n <= len - told);
		told += (size_t)n;
	}
	return again;
}

static void taken_short_at(const char *sent, void (*check)(const char *, const char *), size_t room, size_t then)
{
	struct link l = hook_connect();
	char got[1024];
	struct iovec iov = {(char *)(uintptr_t)sent, strlen(sent)};
	ssize_t n;

	hook_room = room;
	n = hook_writev(l.ours, &iov, 1);
	assert_true(n != 0 && n <= (ssize_t)strlen(sent));
	if (n < 0)
		assert_int_equal(errno, EAGAIN);
	hook_room = then;
	(void)send_on(l.ours, sent, n > 0 ? (size_t)n : 0, &iov);
	hook_room = SIZE_MAX;
	(void)peer_reads(&l, got, sizeof(got));
	check(got, sent);
	finish(&l);
}

/* Every number of bytes that the socket may take before it is full; then none, one, or a few more before the rest. */
static void taken_short(void **state)
{
	static const char bare[] = POST "\r\nhello";

	(void)state;
	for (size_t room = 0; room <= sizeof(bare) - 1 + 70; room++)
		for (size_t then = 0; then < 4; then++)
			taken_short_at(bare, assert_injected, room, then == 3 ? 33 : then);
	for (size_t room = 0; room <= sizeof(TRACED) - 1; room++)
		for (size_t then = 0; then < 4; then++)
			taken_short_at(TRACED, assert_rewritten, room, then == 3 ? 33 : then);
	assert_int_equal(spans_count(), 4 * (sizeof(bare) + 70) + 4 * sizeof(TRACED));
}

/* A blocking socket that takes a few bytes at a time: the program is never told 0 or EAGAIN. */
static void taken_short_while_blocking(void **state)
{
	static const char bare[] = POST "\r\nhello";

	(void)state;
	for (size_t chunk = 1; chunk < 80; chunk++) {
		struct link l = hook_connect();
		char got[1024];
		size_t told = 0;

		assert_int_equal(fcntl(l.ours, F_SETFL, 0), 0);
		hook_chunk = chunk;
		while (told < sizeof(bare) - 1) {
			ssize_t n = hook_send(l.ours, bare + told, sizeof(bare) - 1 - told, 0);

			assert_true(n > 0);
			told += (size_t)n;
		}
		hook_chunk = SIZE_MAX;
		(void)peer_reads(&l, got, sizeof(got));
		assert_injected(got, bare);
		finish(&l);
	}
}

/* The program comes back with more than it had: the rest of the head, the body and another request behind it. */
static void retried_with_more(void **state)
{
	static const char head[] = POST "\r\n", all[] = POST "\r\nhelloGET /b HTTP/1.1\r\n\r\n";

	(void)state;
	for (size_t room = 0; room <= sizeof(head) - 1 + 70; room++) {
		struct link l = hook_connect();
		struct iovec iov;
		char got[1024];
		ssize_t n;

		hook_room = room;
		n = hook_send(l.ours, head, sizeof(head) - 1, 0);
		hook_room = SIZE_MAX;
		(void)send_on(l.ours, all, n > 0 ? (size_t)n : 0, &iov);
		(void)peer_reads(&l, got, sizeof(got));
		assert_memory_equal(got, POST "traceparent: 00-", sizeof(POST) + 15);
		assert_int_equal(occurrences(got, POST), 1);
		assert_non_null(strstr(got, "\r\n\r\nhelloGET /b HTTP/1.1\r\n"));
		call_end(&l);
		finish(&l);
	}
}

/* The cut-off header, then a retry in more pieces than are ever edited. */
static void retried_in_many_pieces(void **state)
{
	char body[101], sent[512], got[1024];
	struct link l = hook_connect();
	size_t head = (size_t)sprintf(sent, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n"), told;
	struct iovec iov[100];

	(void)state;
	memset(body, 'x', 100);
	body[100] = '\0';
	strcpy(sent + head, body);
	hook_room = head - 2 + 30;
	assert_int_equal(hook_send(l.ours, sent, strlen(sent), 0), head - 2);
	hook_room = SIZE_MAX;
	for (told = head - 2; told < strlen(sent);) {
		int k = 0;
		ssize_t n;

		for (; k < 100 && told + (size_t)k < strlen(sent); k++)
			iov[k] = (struct iovec){sent + told + k, 1};
		n = hook_writev(l.ours, iov, k);
		assert_true(n > 0);
		told += (size_t)n;
	}
	(void)peer_reads(&l, got, sizeof(got));
	assert_injected(got, sent);
	finish(&l);
}

/* Given up in the middle of our line: the peer must still get the rest of it. */
static void given_up_in_the_middle(void **state)
{
	static const char sent[] = POST "\r\nhello";
	struct link l = hook_connect();
	struct iovec iov;
	char got[1024], answer[64];

	(void)state;
	hook_room = sizeof(POST) - 1 + 30;
	assert_int_equal(hook_send(l.ours, sent, sizeof(sent) - 1, 0), sizeof(POST) - 1);
	hook_room = SIZE_MAX;
	peer_says(&l, "what is this?\r\n\r\n");
	(void)program_reads(&l, answer, sizeof(answer));
	assert_int_equal(counted(STAT_CONNECTIONS_OPAQUE), 1);
	(void)send_on(l.ours, sent, sizeof(POST) - 1, &iov);
	(void)peer_reads(&l, got, sizeof(got));
	assert_injected(got, sent);
	link_close(&l);
}

/* ---- what goes along ---- */

static void state_and_baggage_go_along_where_absent(void **state)
{
	struct link in = hook_accept(), out = hook_connect();
	char got[2048];

	(void)state;
	serve_begin(&in, "GET / HTTP/1.1\r\nHost: h\r\ntraceparent: " PARENT
			 "\r\ntracestate: a=1,b=2\r\nbaggage: k=v\r\n\r\n");
	call_begin(&out, REQUEST, got, sizeof(got));
	assert_non_null(strstr(got, "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-"));
	assert_non_null(strstr(got, "\r\ntracestate: a=1,b=2\r\n"));
	assert_non_null(strstr(got, "\r\nbaggage: k=v\r\n"));
	call_end(&out);
	call_begin(&out, "GET / HTTP/1.1\r\nHost: h\r\nTraceState: c=3\r\nBaggage: own=1\r\n\r\n", got, sizeof(got));
	assert_int_equal(occurrences(got, "tracestate"), 1);
	assert_int_equal(occurrences(got, "baggage"), 1);
	assert_non_null(strstr(got, "TraceState: c=3\r\nBaggage: own=1\r\ntraceparent: 00-4bf9"));
	call_end(&out);
	serve_end(&in);
	link_close(&in);
	link_close(&out);
}

static void b3_in_one_field(void **state)
{
	static const char own[] = "GET / HTTP/1.1\r\nb3: 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1\r\n"
				  "Host: h\r\n\r\n";
	struct link l = hook_connect();
	char got[1024];

	(void)state;
	call_begin(&l, REQUEST, got, sizeof(got));
	assert_int_equal(occurrences(got, "\r\nb3: "), 1);
	assert_int_equal(occurrences(got, "traceparent"), 0);
	call_end(&l);
	call_begin(&l, own, got, sizeof(got));
	assert_int_equal(occurrences(got, "b3: "), 1);
	assert_int_equal(strlen(got), sizeof(own) - 1);
	finish(&l);
}

static void b3_in_several_fields(void **state)
{
	static const char *const names[] = {"x-b3-traceid: ", "x-b3-spanid: ", "x-b3-sampled: "};
	char got[1024];

	(void)state;
	for (int k = 0; k < 2; k++) {
		struct link l = hook_connect();

		call_begin(&l, k ? "GET / HTTP/1.1\r\nX-B3-SpanId: 00f067aa0ba902b7\r\nHost: h\r\n\r\n" : REQUEST, got,
			   sizeof(got));
		for (int i = 0; i < 3; i++)
			assert_int_equal(occurrences(got, names[i]), 1);
		finish(&l);
	}
}

/* Every short write, with four edits in one head. */
static void several_edits_taken_short(void **state)
{
	static const char sent[] = "GET / HTTP/1.1\r\nX-B3-SpanId: 00f067aa0ba902b7\r\nX-B3-Sampled: 0\r\n"
				   "X-B3-TraceId: 4bf92f3577b34da6a3ce929d0e0e4736\r\nHost: h\r\n\r\n";

	(void)state;
	for (size_t room = 0; room < sizeof(sent); room++) {
		struct link l = hook_connect();
		struct iovec iov = {(char *)(uintptr_t)sent, sizeof(sent) - 1};
		char got[1024];
		ssize_t n;

		hook_room = room;
		n = hook_writev(l.ours, &iov, 1);
		hook_room = 1;
		(void)send_on(l.ours, sent, n > 0 ? (size_t)n : 0, &iov);
		hook_room = SIZE_MAX;
		assert_int_equal(peer_reads(&l, got, sizeof(got)), sizeof(sent) - 1);
		assert_non_null(strstr(got, "\r\nX-B3-Sampled: 1\r\nX-B3-TraceId: "));
		assert_null(strstr(got, "00f067aa0ba902b7"));
		assert_string_equal(got + sizeof(sent) - 1 - 11, "Host: h\r\n\r\n");
		finish(&l);
	}
}

/* ---- what is left alone ---- */

static void a_preface_goes_before_the_head(void **state)
{
	static const char preface[] = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
	char sent[512], got[1024];

	(void)state;
	for (int together = 0; together < 2; together++) {
		struct link l = hook_connect();

		sprintf(sent, "%s%s", preface, REQUEST);
		if (together) {
			program_says(&l, sent);
		} else {
			program_says(&l, preface);
			program_says(&l, REQUEST);
		}
		(void)peer_reads(&l, got, sizeof(got));
		assert_memory_equal(got, preface, sizeof(preface) - 1);
		assert_injected(got + sizeof(preface) - 1, REQUEST);
		finish(&l);
	}
}

static void of_pipelined_requests_the_first_is_edited(void **state)
{
	struct link l = hook_connect();
	char got[1024];

	(void)state;
	call_begin(&l, REQUEST REQUEST REQUEST, got, sizeof(got));
	assert_int_equal(strlen(got), 3 * strlen(REQUEST) + 70);
	assert_int_equal(occurrences(got, "traceparent"), 1);
	assert_string_equal(got + strlen(REQUEST) + 70, REQUEST REQUEST);
	for (int i = 0; i < 3; i++)
		call_end(&l);
	assert_int_equal(spans_count(), 3);
	link_close(&l);
}

static void head_and_connect(void **state)
{
	struct link l = hook_connect();
	char got[1024];

	(void)state;
	call_begin(&l, "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n", got, sizeof(got));
	assert_injected(got, "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n");
	peer_says(&l, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
	(void)program_reads(&l, got, sizeof(got));
	assert_int_equal(spans_count(), 1);
	call_begin(&l, "CONNECT h.example:443 HTTP/1.1\r\nHost: h.example:443\r\n\r\n", got, sizeof(got));
	assert_int_equal(occurrences(got, "traceparent"), 1);
	peer_says(&l, "HTTP/1.1 200 OK\r\n\r\n");
	(void)program_reads(&l, got, sizeof(got));
	assert_int_equal(spans_count(), 2);
	/* What follows belongs to another protocol, whatever it looks like. */
	call_begin(&l, REQUEST, got, sizeof(got));
	assert_string_equal(got, REQUEST);
	link_close(&l);
	assert_int_equal(spans_count(), 2);
}

static void zerocopy_goes_as_it_is_and_long_vectors_are_edited(void **state)
{
	struct link l = hook_connect();
	struct iovec iov[17];
	char got[1024];

	(void)state;
	assert_int_equal(hook_send(l.ours, REQUEST, strlen(REQUEST), MSG_ZEROCOPY), strlen(REQUEST));
	(void)peer_reads(&l, got, sizeof(got));
	assert_string_equal(got, REQUEST);
	call_end(&l);
	for (int i = 0; i < 17; i++)
		iov[i] = (struct iovec){(char *)(uintptr_t)REQUEST + i, i < 16 ? 1 : strlen(REQUEST) - 16};
	assert_int_equal(hook_writev(l.ours, iov, 17), strlen(REQUEST));
	(void)peer_reads(&l, got, sizeof(got));
	assert_injected(got, REQUEST);
	call_end(&l);
	finish(&l);
}

/* Memory that the kernel still reads after the call must not be ours. */
static void zerocopy_after_a_cut_off_line(void **state)
{
	static const char sent[] = POST "\r\nhello";
	struct link l = hook_connect();
	char got[1024];
	size_t told = sizeof(POST) - 1;

	(void)state;
	hook_room = told + 30;
	assert_int_equal(hook_send(l.ours, sent, sizeof(sent) - 1, 0), told);
	hook_room = SIZE_MAX;
	while (told < sizeof(sent) - 1) {
		ssize_t n = hook_send(l.ours, sent + told, sizeof(sent) - 1 - told, MSG_ZEROCOPY);

		assert_true(n > 0 || errno == EAGAIN);
		told += n > 0 ? (size_t)n : 0;
	}
	(void)peer_reads(&l, got, sizeof(got));
	assert_injected(got, sent);
	finish(&l);
}

static void only_named_destinations_get_headers(void **state)
{
	static const struct {
		const char *ip, *host;
		bool gets;
	} cases[] = {
		{"192.0.2.9", "a.inner", true},	 {"192.0.2.9", "a.inner:8080", true}, {"192.0.2.9", "inner.example", false},
		{"10.1.2.3", "elsewhere", true}, {"192.0.2.9", "", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct link l = hook_connect_to(cases[i].ip, 80);
		char sent[256], got[1024];

		sprintf(sent, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", cases[i].host);
		call_begin(&l, sent, got, sizeof(got));
		assert_int_equal(occurrences(got, "traceparent"), cases[i].gets);
		finish(&l);
	}
	assert_int_equal(spans_count(), 5);
}

static void signed_heads_go_as_they_are(void **state)
{
	static const char sent[] = "GET / HTTP/1.1\r\nHost: h\r\nSignature-Input: s=(\"traceparent\")\r\n\r\n";
	struct link l = hook_connect();
	char got[1024];

	(void)state;
	call_begin(&l, sent, got, sizeof(got));
	assert_string_equal(got, sent);
	finish(&l);
}

/* Two requests in with the same traceparent, neither of them stamped; one goes out with it: whose it is cannot be known, and
 * the trace that works without us is left as it is. */
static void an_ambiguous_traceparent_stays(void **state)
{
	static const char sent[] = "GET / HTTP/1.1\r\nHost: h\r\ntraceparent: " PARENT "\r\n\r\n";
	struct link a = hook_accept(), b = hook_accept(), out = hook_connect();
	int epfd = hook_epoll();
	char got[1024];

	(void)state;
	config.stamp = "off";
	forwarder_start();
	hook_waited(epfd, -1, 1);
	serve_begin(&a, sent);
	serve_begin(&b, sent);
	call_begin(&out, sent, got, sizeof(got));
	assert_string_equal(got, sent);
	call_end(&out);
	assert_int_equal(span_nth(SPAN_CLIENT, 0)->evidence, EVIDENCE_AMBIGUOUS);
	serve_end(&a);
	serve_end(&b);
	link_close(&a);
	link_close(&b);
	link_close(&out);
}

#define TEST(test, up) cmocka_unit_test_setup_teardown(test, up, balanced)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_head_gets_one_line, up),
		TEST(a_traceparent_is_rewritten_not_doubled, up),
		TEST(split_over_iovecs, up),
		TEST(split_over_sends, up),
		TEST(byte_by_byte, up),
		TEST(taken_short, up),
		TEST(taken_short_while_blocking, up),
		TEST(retried_with_more, up),
		TEST(retried_in_many_pieces, up),
		TEST(given_up_in_the_middle, up),
		TEST(state_and_baggage_go_along_where_absent, up),
		TEST(b3_in_one_field, up_b3),
		TEST(b3_in_several_fields, up_b3multi),
		TEST(several_edits_taken_short, up_b3multi),
		TEST(a_preface_goes_before_the_head, up),
		TEST(of_pipelined_requests_the_first_is_edited, up),
		TEST(head_and_connect, up),
		TEST(zerocopy_goes_as_it_is_and_long_vectors_are_edited, up),
		TEST(zerocopy_after_a_cut_off_line, up),
		TEST(only_named_destinations_get_headers, up_limited),
		TEST(signed_heads_go_as_they_are, up),
		TEST(an_ambiguous_traceparent_stays, up),
	};

	return ENGINE_RUN_EACH(tests);
}
