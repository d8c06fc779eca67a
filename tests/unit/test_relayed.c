/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges that an adapter relates: spans like all others. */
#include <string.h>

#include "shim/conn.h"
#include "shim/engine.h"
#include "shim/exchange.h"
#include "shim/relayed.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/engine_hooks.h"
#include "tests/unit/rules_fixture.h"

#define TEXT(s) slice(s, sizeof(s) - 1)

static const struct relayed_through tls = {.fd = -1, .tls = true, .http_major = 1};

static int up(void **state)
{
	(void)state;
	engine_up(NULL);
	return 0;
}

static int up_limited(void **state)
{
	(void)state;
	engine_up((const char *const[]){"INTERSPAN_PROPAGATE_TO=none", NULL});
	return 0;
}

static void a_request_received(void **state)
{
	struct link socket = hook_accept();
	struct relayed_through h2 = {.fd = socket.ours, .tls = true, .http_major = 2};
	struct context c;
	struct handle name = relayed_server(&h2, TEXT("GET /a?token=x HTTP/1.1\r\nhost: h.example\r\ntraceparent: "
						      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n"), &c);
	const struct record *r;

	(void)state;
	assert_false(handle_is_none(name));
	assert_true(exchange_is_open(c.exchange));
	relayed_response(name, -1, TEXT("HTTP/1.1 503 \r\n\r\n"));
	relayed_end(name, -1, NULL);
	r = span_nth(SPAN_SERVER, 0);
	assert_memory_equal(r->parent_id, "\x00\xf0\x67\xaa\x0b\xa9\x02\xb7", 8);
	assert_int_equal(r->evidence, EVIDENCE_REMOTE);
	assert_string_equal(span_text(r, ATTR_URL_SCHEME), "https");
	assert_string_equal(span_text(r, ATTR_URL_QUERY), "token=REDACTED");
	assert_string_equal(span_text(r, ATTR_NETWORK_PROTOCOL_VERSION), "2");
	assert_string_equal(span_text(r, ATTR_NETWORK_PEER_ADDRESS), "192.0.2.7");
	assert_string_equal(span_text(r, ATTR_ERROR_TYPE), "503");
	assert_int_equal(span_number(r, ATTR_HTTP_RESPONSE_STATUS_CODE), 503);
	assert_int_equal(span_number(r, ATTR_HTTP_RESPONSE_BODY_SIZE), -1);
	relayed_end(name, -1, "too late");
	link_close(&socket);
}

static void a_request_made(void **state)
{
	static const char head[] = "GET /a HTTP/1.1\r\nhost: h.example:8443\r\n\r\n";
	struct link socket = hook_connect();
	uint8_t out[1024];
	size_t len;
	struct handle name = relayed_client(&tls, TEXT(head), out, sizeof(out), &len);
	const struct record *r;

	(void)state;
	assert_int_equal(len, sizeof(head) - 1 + sizeof("traceparent: \r\n") - 1 + 55);
	assert_memory_equal(out, head, sizeof(head) - 3);
	relayed_response(name, socket.ours, TEXT("HTTP/1.1 200 \r\n\r\n"));
	relayed_end(name, socket.ours, NULL);
	r = span_nth(SPAN_CLIENT, 0);
	assert_int_equal(r->evidence, EVIDENCE_ROOT);
	assert_string_equal(span_text(r, ATTR_URL_FULL), "https://h.example:8443/a");
	assert_string_equal(span_text(r, ATTR_NETWORK_PEER_ADDRESS), "192.0.2.9");
	assert_int_equal(span_number(r, ATTR_SERVER_PORT), 8443);
	link_close(&socket);
}

static void a_request_cut_off(void **state)
{
	uint8_t out[1024];
	size_t len;

	(void)state;
	relayed_end(relayed_client(&tls, TEXT(REQUEST), out, sizeof(out), &len), -1, "cancelled");
	assert_string_equal(span_text(span_nth(SPAN_CLIENT, 0), ATTR_ERROR_TYPE), "cancelled");
	assert_int_equal(span_nth(SPAN_CLIENT, 0)->status, STATUS_ERROR);
}

static void nothing_is_sent_where_nothing_may_go(void **state)
{
	uint8_t out[1024];
	size_t len;
	struct handle name = relayed_client(&tls, TEXT(REQUEST), out, sizeof(out), &len);

	(void)state;
	assert_int_equal(len, 0);
	relayed_end(name, -1, NULL);
}

static void what_does_not_fit_is_not_sent(void **state)
{
	uint8_t out[sizeof(REQUEST) + 20];
	size_t len;
	struct handle name = relayed_client(&tls, TEXT(REQUEST), out, sizeof(out), &len);

	(void)state;
	assert_int_equal(len, 0);
	relayed_end(name, -1, NULL);
}

static void what_is_no_head_begins_nothing(void **state)
{
	struct context c;
	uint8_t out[64];
	size_t len;

	(void)state;
	assert_true(handle_is_none(relayed_server(&tls, TEXT("GET /a b HTTP/1.1\r\n"), &c)));
	assert_true(handle_is_none(relayed_client(&tls, TEXT("\r\n\r\n"), out, sizeof(out), &len)));
	relayed_end(HANDLE_NONE, -1, NULL);
	relayed_response((struct handle){1u << 30, 7}, -1, TEXT("HTTP/1.1 200 \r\n\r\n"));
	assert_int_equal(spans_count(), 0);
}

static void what_is_open_at_the_end_is_written(void **state)
{
	struct context c;

	(void)state;
	(void)relayed_server(&tls, TEXT(REQUEST), &c);
	engine_exiting();
	assert_string_equal(span_text(span_nth(SPAN_SERVER, 0), ATTR_ERROR_TYPE), "no_response");
}

#define TEST(test, up) cmocka_unit_test_setup_teardown(test, up, rules_balanced)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_request_received, up),
		TEST(a_request_made, up),
		TEST(a_request_cut_off, up),
		TEST(nothing_is_sent_where_nothing_may_go, up_limited),
		TEST(what_does_not_fit_is_not_sent, up),
		TEST(what_is_no_head_begins_nothing, up),
		TEST(what_is_open_at_the_end_is_written, up),
	};

	return ENGINE_RUN_EACH(tests);
}
