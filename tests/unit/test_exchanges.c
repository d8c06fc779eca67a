/* SPDX-License-Identifier: Apache-2.0 */
/* How exchanges begin and end: every one once, with the right error, counted. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shim/config.h"
#include "shim/engine.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/engine_hooks.h"
#include "tests/unit/rules_fixture.h"

#define PARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define TRACED "GET /a HTTP/1.1\r\nHost: h\r\ntraceparent: " PARENT "\r\n\r\n"
#define UPLOAD "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhello"

static int up(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	engine_up(NULL);
	return 0;
}

static int up_unsampled(void **state)
{
	(void)state;
	engine_up((const char *const[]){"OTEL_TRACES_SAMPLER=always_off", NULL});
	return 0;
}

static int up_excluding(void **state)
{
	(void)state;
	engine_up((const char *const[]){"INTERSPAN_EXCLUDE=path:/healthz", NULL});
	return 0;
}

static int up_distrusting(void **state)
{
	(void)state;
	engine_up((const char *const[]){"INTERSPAN_TRUST_FROM=10.0.0.0/8", NULL});
	return 0;
}

/* The only span there is, with that error.type; NULL: no error. */
static const struct record *assert_only(const char *error)
{
	const struct record *r;

	assert_int_equal(spans_count(), 1);
	r = span_at(0);
	assert_int_equal(r->status, error ? STATUS_ERROR : STATUS_UNSET);
	if (error)
		assert_string_equal(span_text(r, ATTR_ERROR_TYPE), error);
	else
		assert_null(span_text(r, ATTR_ERROR_TYPE));
	return r;
}

static ssize_t read_fails(const struct link *l, int error)
{
	char buf[16];
	struct iovec iov = {buf, sizeof(buf)};

	errno = error;
	return engine_received(l->ours, &iov, 1, 0, -1);
}

static void read_end_of_file(const struct link *l)
{
	char buf[64];

	assert_int_equal(shutdown(l->peer, SHUT_WR), 0);
	assert_int_equal(program_reads(l, buf, sizeof(buf)), 0);
}

/* ---- ends ---- */

static void a_call_cut_off_by_us_is_cancelled(void **state)
{
	struct link l = hook_connect();

	(void)state;
	call_begin(&l, REQUEST, NULL, 0);
	link_close(&l);
	assert_only("cancelled");
}

static void a_call_cut_off_by_the_peer_says_how(void **state)
{
	static const struct {
		int error;
		const char *type;
	} cases[] = {{ECONNRESET, "connection_reset"}, {ETIMEDOUT, "timeout"}, {0, "connection_closed"}};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct link l = hook_connect();

		call_begin(&l, REQUEST, NULL, 0);
		if (cases[i].error)
			assert_int_equal(read_fails(&l, cases[i].error), -1);
		else
			read_end_of_file(&l);
		assert_only(cases[i].type);
		link_close(&l);
		spans_forget();
	}
}

static void a_response_cut_off_keeps_its_status(void **state)
{
	struct link l = hook_connect();
	char buf[256];

	(void)state;
	call_begin(&l, REQUEST, NULL, 0);
	peer_says(&l, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
	(void)program_reads(&l, buf, sizeof(buf));
	read_end_of_file(&l);
	assert_int_equal(span_number(assert_only("connection_closed"), ATTR_HTTP_RESPONSE_STATUS_CODE), 200);
	link_close(&l);
}

/* A read that would block is no end, nor is one that was interrupted. */
static void waiting_is_no_end(void **state)
{
	struct link l = hook_connect();

	(void)state;
	call_begin(&l, REQUEST, NULL, 0);
	(void)read_fails(&l, EAGAIN);
	(void)read_fails(&l, EINTR);
	assert_int_equal(spans_count(), 0);
	assert_accounts(1);
	call_end(&l);
	assert_only(NULL);
	link_close(&l);
}

static void a_request_never_answered_says_so(void **state)
{
	struct link l = hook_accept();

	(void)state;
	serve_begin(&l, REQUEST);
	link_close(&l);
	assert_only("no_response");
}

/* The client waits for the rest, and so does whoever reads the trace: a status of 200 alone would be half the truth. */
static void a_response_that_we_cut_off_says_so(void **state)
{
	static const char *const halves[] = {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
					     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct link l = hook_accept();

		serve_begin(&l, REQUEST);
		program_says(&l, halves[i]);
		link_close(&l);
		assert_int_equal(span_number(assert_only("response_incomplete"), ATTR_HTTP_RESPONSE_STATUS_CODE), 200);
		spans_forget();
	}
}

/* Of two requests on one connection the first got half an answer, the second none. */
static void each_request_cut_off_says_what_it_got(void **state)
{
	struct link l = hook_accept();

	(void)state;
	serve_begin(&l, REQUEST REQUEST);
	program_says(&l, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
	link_close(&l);
	assert_int_equal(spans_count(), 2);
	assert_string_equal(span_text(span_nth(SPAN_SERVER, 0), ATTR_ERROR_TYPE), "response_incomplete");
	assert_string_equal(span_text(span_nth(SPAN_SERVER, 1), ATTR_ERROR_TYPE), "no_response");
}

/* A client that is gone is the reason, and not we. */
static void a_response_cut_off_by_the_client_is_the_clients(void **state)
{
	struct link l = hook_accept();

	(void)state;
	serve_begin(&l, REQUEST);
	program_says(&l, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
	read_end_of_file(&l);
	link_close(&l);
	assert_only("client_disconnected");
}

static void a_client_that_left_is_an_error(void **state)
{
	struct link l = hook_accept();

	(void)state;
	serve_begin(&l, REQUEST);
	read_end_of_file(&l);
	link_close(&l);
	assert_only("client_disconnected");
}

/* One that says no more may still read: what it is answered with counts. */
static void a_client_that_says_no_more_is_answered(void **state)
{
	struct link l = hook_accept();

	(void)state;
	serve_begin(&l, REQUEST);
	read_end_of_file(&l);
	serve_end(&l);
	assert_only(NULL);
	link_close(&l);
}

static void an_answer_that_could_not_be_sent_is_an_error(void **state)
{
	struct link l = hook_accept();

	(void)state;
	serve_begin(&l, REQUEST);
	close(l.peer);
	assert_int_equal(hook_send(l.ours, RESPONSE, strlen(RESPONSE), 0), -1);
	assert_int_equal(errno, EPIPE);
	hook_close(l.ours);
	assert_only("broken_pipe");
}

static void a_body_may_last_until_the_close(void **state)
{
	char buf[256];

	(void)state;
	for (int how = 0; how < 3; how++) {
		struct link l = how == 2 ? hook_connect() : hook_accept();

		if (how == 2) {
			call_begin(&l, REQUEST, NULL, 0);
			peer_says(&l, "HTTP/1.0 200 OK\r\n\r\nbody");
			(void)program_reads(&l, buf, sizeof(buf));
			read_end_of_file(&l);
		} else {
			serve_begin(&l, REQUEST);
			program_says(&l, "HTTP/1.0 200 OK\r\n\r\nbo");
			program_says(&l, "dy");
			if (how == 1)
				engine_shutdown(l.ours, SHUT_WR);
		}
		if (how > 0)
			assert_int_equal(spans_count(), 1);
		link_close(&l);
		assert_int_equal(span_number(assert_only(NULL), ATTR_HTTP_RESPONSE_STATUS_CODE), 200);
		assert_int_equal(span_number(span_at(0), ATTR_HTTP_RESPONSE_BODY_SIZE), 4);
		spans_forget();
	}
}

/* The answer is complete before the request is: then the server closes, as servers do that refuse an upload. */
static void an_early_answer_is_an_answer(void **state)
{
	struct link l = hook_accept();

	(void)state;
	serve_begin(&l, UPLOAD);
	program_says(&l, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
	assert_int_equal(spans_count(), 0);
	link_close(&l);
	assert_only(NULL);
	assert_int_equal(span_number(span_at(0), ATTR_HTTP_RESPONSE_STATUS_CODE), 413);
	assert_int_equal(span_number(span_at(0), ATTR_HTTP_RESPONSE_BODY_SIZE), 2);
}

static void an_early_answer_to_a_call_ends_it(void **state)
{
	struct link l = hook_connect();

	(void)state;
	call_begin(&l, UPLOAD, NULL, 0);
	call_end(&l);
	assert_only(NULL);
	program_says(&l, "the rest of the body that the server did not wait for");
	link_close(&l);
	assert_only(NULL);
}

static void interim_answers_are_not_the_answer(void **state)
{
	struct link l = hook_accept(), out = hook_connect();
	char buf[256];

	(void)state;
	serve_begin(&l, REQUEST);
	program_says(&l, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n");
	assert_int_equal(spans_count(), 0);
	serve_end(&l);
	assert_int_equal(span_number(assert_only(NULL), ATTR_HTTP_RESPONSE_STATUS_CODE), 200);
	call_begin(&out, REQUEST, NULL, 0);
	peer_says(&out, "HTTP/1.1 100 Continue\r\n\r\n");
	(void)program_reads(&out, buf, sizeof(buf));
	call_end(&out);
	assert_int_equal(span_number(span_nth(SPAN_CLIENT, 0), ATTR_HTTP_RESPONSE_STATUS_CODE), 200);
	link_close(&l);
	link_close(&out);
}

static void only_the_last_descriptor_ends_it(void **state)
{
	struct link l = hook_accept();
	int copy = dup(l.ours);

	(void)state;
	engine_duplicated(l.ours, copy);
	serve_begin(&l, REQUEST);
	hook_close(l.ours);
	assert_int_equal(spans_count(), 0);
	l.ours = copy;
	serve_end(&l);
	assert_only(NULL);
	link_close(&l);
}

/* Bound, a number is a new socket: the connection that it stood for was closed where we could not see it. */
static void a_bound_socket_is_no_connection(void **state)
{
	struct link l = hook_accept();
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	engine_opened(fd, FD_SOCKET);
	engine_bound(fd);
	assert_int_equal(fdtable_kind(fd), FD_SOCKET);
	serve_begin(&l, REQUEST);
	engine_bound(l.ours);
	assert_int_equal(fdtable_kind(l.ours), FD_UNKNOWN);
	assert_only("no_response");
	link_close(&l);
	hook_close(fd);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	struct link l = hook_accept();

	(void)state;
	serve_begin(&l, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTTP/1.1\r\n\r\n");
	assert_accounts(3);
	program_says(&l, RESPONSE "HTTP/1.1 201 X\r\nContent-Length: 9\r\n\r\n");
	assert_int_equal(spans_count(), 2);
	assert_string_equal(span_text(span_at(1), ATTR_URL_PATH), "/2");
	assert_int_equal(span_number(span_at(1), ATTR_HTTP_RESPONSE_STATUS_CODE), 201);
	link_close(&l);
	assert_string_equal(span_text(span_at(2), ATTR_ERROR_TYPE), "no_response");
}

static void another_protocol_is_none_of_ours(void **state)
{
	struct link l = hook_accept(), out = hook_connect();

	(void)state;
	serve_begin(&l, "\x16\x03\x01\x02");
	program_says(&l, "anything");
	call_begin(&out, "EHLO h\r\n", NULL, 0);
	call_begin(&out, REQUEST, NULL, 0);
	assert_int_equal(counted(STAT_STARTED), 0);
	assert_int_equal(counted(STAT_CONNECTIONS_OPAQUE), 2);
	link_close(&l);
	link_close(&out);
}

/* ---- what is not recorded ---- */

static void what_is_not_sampled_is_counted(void **state)
{
	struct link in = hook_accept(), out = hook_connect();
	char got[512];

	(void)state;
	serve_begin(&in, REQUEST);
	call_begin(&out, REQUEST, got, sizeof(got));
	assert_memory_equal(strstr(got, "traceparent: 00-") + 13 + 53, "02\r\n", 4); /* random, not sampled */
	call_end(&out);
	end_one(&in, &out);
	assert_int_equal(spans_count(), 0);
	assert_int_equal(counted(STAT_STARTED), 2);
	assert_int_equal(counted(STAT_SAMPLED_OUT), 2);
}

static void what_is_excluded_is_not_started(void **state)
{
	struct link in = hook_accept(), out = hook_connect();

	(void)state;
	serve_begin(&in, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
	call_begin(&out, REQUEST, NULL, 0); /* made for it: left out, too */
	call_end(&out);
	serve_end(&in);
	assert_int_equal(counted(STAT_STARTED), 0);
	assert_int_equal(counted(STAT_EXCLUDED), 2);
	serve_begin(&in, REQUEST);
	end_one(&in, &out);
	assert_only(NULL);
}

static void strangers_are_linked_not_obeyed(void **state)
{
	struct link l = hook_accept(), friend = hook_accept_from("10.0.0.1", 1);
	struct record_link link;

	(void)state;
	serve_begin(&l, TRACED);
	serve_end(&l);
	assert_no_parent(span_at(0), EVIDENCE_ROOT, 1);
	(void)span_links(span_at(0), &link, 1);
	assert_memory_equal(link.span_id, "\x00\xf0\x67\xaa\x0b\xa9\x02\xb7", 8);
	assert_memory_not_equal(span_at(0)->trace_id, link.trace_id, 16);
	assert_int_equal(counted(STAT_UNTRUSTED), 1);
	serve_begin(&friend, TRACED);
	serve_end(&friend);
	assert_int_equal(span_at(1)->evidence, EVIDENCE_REMOTE);
	assert_memory_equal(span_at(1)->parent_id, link.span_id, 8);
	link_close(&l);
	link_close(&friend);
}

/* ---- age ---- */

/* Nothing stays open for ever: whatever else goes on in the process ends what is too old. */
static void what_is_too_old_is_ended(void **state)
{
	struct link stuck = hook_accept(), busy = hook_accept();
	time_t deadline = time(NULL) + 30;
	char buf[256];

	(void)state;
	config.max_exchange_age_ms = 1;
	serve_begin(&stuck, "GET /stuck HTTP/1.1\r\nHost: h\r\n\r\n");
	while (counted(STAT_CONNECTIONS_OPAQUE) == 0 && time(NULL) < deadline) {
		spans_forget();
		serve_begin(&busy, REQUEST);
		if (spans_count() == 0) /* so young it cannot be, but a slow machine may find it too old as well */
			serve_end(&busy);
		(void)peer_reads(&busy, buf, sizeof(buf));
	}
	assert_true(counted(STAT_CONNECTIONS_OPAQUE) > 0);
	assert_string_equal(span_text(span_at(0), ATTR_URL_PATH), "/stuck");
	assert_string_equal(span_text(span_at(0), ATTR_ERROR_TYPE), "timeout");
	link_close(&stuck);
	link_close(&busy);
}

/* ---- fork ---- */

/* Runs act in a forked child, then lets that end as programs do. */
static void in_child(void (*act)(struct link *l), struct link *l)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		/* What its parent has counted is its parent's. */
		if (counted(STAT_STARTED) != 0)
			_exit(2);
		act(l);
		engine_exiting();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void does_nothing(struct link *l)
{
	(void)l;
}

static void answers(struct link *l)
{
	serve_end(l);
	hook_close(l->ours);
}

static void closes(struct link *l)
{
	hook_close(l->ours);
}

static void runs_another_program(struct link *l)
{
	(void)l;
	engine_executing();
}

/* Started here, and written by whoever ends it: exactly once. */
static void forked_with_one_open(void (*child)(struct link *), void (*parent)(struct link *), const char *error)
{
	struct link l = hook_accept();

	serve_begin(&l, REQUEST);
	in_child(child, &l);
	parent(&l);
	engine_exiting();
	assert_only(error);
	assert_int_equal(counted(STAT_STARTED), 1);
}

static void the_child_answers(void **state)
{
	(void)state;
	forked_with_one_open(answers, closes, NULL);
	assert_int_equal(counted(STAT_WRITTEN), 0); /* here; the child has it */
}

static void the_parent_answers(void **state)
{
	(void)state;
	forked_with_one_open(closes, answers, NULL);
	assert_accounts(0);
}

static void the_child_exits_and_the_parent_answers(void **state)
{
	(void)state;
	forked_with_one_open(does_nothing, answers, NULL);
	assert_accounts(0);
}

static void neither_answers(void **state)
{
	(void)state;
	forked_with_one_open(does_nothing, does_nothing, "no_response");
}

static void both_close(void **state)
{
	(void)state;
	forked_with_one_open(closes, closes, "no_response");
}

static void the_child_becomes_another_program(void **state)
{
	(void)state;
	forked_with_one_open(runs_another_program, answers, NULL);
	assert_accounts(0);
}

static void exit_ends_what_is_open(void **state)
{
	struct link in = hook_accept(), out = hook_connect();

	(void)state;
	serve_begin(&in, REQUEST);
	call_begin(&out, REQUEST, NULL, 0);
	assert_accounts(2);
	engine_exiting();
	assert_int_equal(spans_count(), 2);
	assert_string_equal(span_text(span_nth(SPAN_SERVER, 0), ATTR_ERROR_TYPE), "no_response");
	assert_string_equal(span_text(span_nth(SPAN_CLIENT, 0), ATTR_ERROR_TYPE), "cancelled");
}

#define TEST(test, up) cmocka_unit_test_setup_teardown(test, up, rules_balanced)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_call_cut_off_by_us_is_cancelled, up),
		TEST(a_call_cut_off_by_the_peer_says_how, up),
		TEST(a_response_cut_off_keeps_its_status, up),
		TEST(waiting_is_no_end, up),
		TEST(a_request_never_answered_says_so, up),
		TEST(a_response_that_we_cut_off_says_so, up),
		TEST(each_request_cut_off_says_what_it_got, up),
		TEST(a_response_cut_off_by_the_client_is_the_clients, up),
		TEST(a_client_that_left_is_an_error, up),
		TEST(a_client_that_says_no_more_is_answered, up),
		TEST(an_answer_that_could_not_be_sent_is_an_error, up),
		TEST(a_body_may_last_until_the_close, up),
		TEST(an_early_answer_is_an_answer, up),
		TEST(an_early_answer_to_a_call_ends_it, up),
		TEST(interim_answers_are_not_the_answer, up),
		TEST(only_the_last_descriptor_ends_it, up),
		TEST(a_bound_socket_is_no_connection, up),
		TEST(pipelined_requests_are_answered_in_order, up),
		TEST(another_protocol_is_none_of_ours, up),
		TEST(what_is_not_sampled_is_counted, up_unsampled),
		TEST(what_is_excluded_is_not_started, up_excluding),
		TEST(strangers_are_linked_not_obeyed, up_distrusting),
		TEST(what_is_too_old_is_ended, up),
		cmocka_unit_test_setup(the_child_answers, up),
		TEST(the_parent_answers, up),
		TEST(the_child_exits_and_the_parent_answers, up),
		cmocka_unit_test_setup(neither_answers, up),
		cmocka_unit_test_setup(both_close, up),
		TEST(the_child_becomes_another_program, up),
		TEST(exit_ends_what_is_open, up),
	};

	return ENGINE_RUN_EACH(tests);
}
