/* SPDX-License-Identifier: Apache-2.0 */
/* What spans say, by the OpenTelemetry semantic conventions for HTTP. */
#include <stdio.h>

#include "tests/unit/engine_fixture.h"
#include "tests/unit/engine_hooks.h"
#include "tests/unit/rules_fixture.h"

static int up(void **state)
{
	(void)state;
	engine_up(NULL);
	return 0;
}

static int up_with_lists(void **state)
{
	(void)state;
	engine_up((const char *const[]){"INTERSPAN_CAPTURE_REQUEST_HEADERS=x-a,x-missing",
					"INTERSPAN_CAPTURE_RESPONSE_HEADERS=X-B", "INTERSPAN_ROUTES=/users/{id}", NULL});
	return 0;
}

static int up_without_evidence(void **state)
{
	(void)state;
	engine_up((const char *const[]){"INTERSPAN_EVIDENCE=false", NULL});
	return 0;
}

/* The span of one request over a connection from (NULL: a unix socket) that is answered so. */
static const struct record *served_from(const char *ip, const char *request, const char *response)
{
	struct link l = hook_accept_from(ip, 4711);

	serve_begin(&l, request);
	program_says(&l, response);
	link_close(&l);
	return span_at(spans_count() - 1);
}

static const struct record *served(const char *request, const char *response)
{
	return served_from("192.0.2.7", request, response);
}

static const struct record *called_at(const char *ip, const char *request, const char *response)
{
	struct link l = hook_connect_to(ip, 8080);
	char buf[4096];

	call_begin(&l, request, NULL, 0);
	peer_says(&l, response);
	(void)program_reads(&l, buf, sizeof(buf));
	link_close(&l);
	return span_at(spans_count() - 1);
}

static void assert_text(const struct record *r, enum attr key, const char *expected)
{
	const char *text = span_text(r, key);

	if (!expected) {
		assert_null(text);
		return;
	}
	assert_non_null(text);
	assert_string_equal(text, expected);
}

static void a_server_span_says_what_was_asked(void **state)
{
	const struct record *r = served("GET /p/a?x=1 HTTP/1.1\r\nHost: shop.example:8443\r\nUser-Agent: ua/1\r\n"
					"Authorization: Basic c2VjcmV0\r\nCookie: secret=1\r\n\r\n",
					RESPONSE);

	(void)state;
	assert_string_equal(span_title(r), "GET");
	assert_int_equal(r->kind, SPAN_SERVER);
	assert_int_equal(r->status, STATUS_UNSET);
	assert_text(r, ATTR_HTTP_REQUEST_METHOD, "GET");
	assert_text(r, ATTR_HTTP_REQUEST_METHOD_ORIGINAL, NULL);
	assert_text(r, ATTR_URL_SCHEME, "http");
	assert_text(r, ATTR_URL_PATH, "/p/a");
	assert_text(r, ATTR_URL_QUERY, "x=1");
	assert_text(r, ATTR_URL_FULL, NULL);
	assert_text(r, ATTR_SERVER_ADDRESS, "shop.example");
	assert_int_equal(span_number(r, ATTR_SERVER_PORT), 8443);
	assert_text(r, ATTR_CLIENT_ADDRESS, "192.0.2.7");
	assert_text(r, ATTR_NETWORK_PEER_ADDRESS, "192.0.2.7");
	assert_int_equal(span_number(r, ATTR_NETWORK_PEER_PORT), 4711);
	assert_text(r, ATTR_NETWORK_PROTOCOL_VERSION, "1.1");
	assert_text(r, ATTR_USER_AGENT_ORIGINAL, "ua/1");
	assert_text(r, ATTR_HTTP_ROUTE, NULL);
	assert_text(r, ATTR_ERROR_TYPE, NULL);
	assert_int_equal(span_number(r, ATTR_HTTP_RESPONSE_STATUS_CODE), 200);
	assert_int_equal(span_number(r, ATTR_HTTP_RESPONSE_BODY_SIZE), 2);
	assert_int_equal(span_number(r, ATTR_HTTP_REQUEST_BODY_SIZE), -1);
	assert_text(r, ATTR_INTERSPAN_PARENT_EVIDENCE, "root");
}

static void a_client_span_says_what_was_asked(void **state)
{
	const struct record *r =
		called_at("192.0.2.9", "POST /a?b=c HTTP/1.1\r\nHost: api.example\r\nContent-Length: 3\r\n\r\nabc", RESPONSE);

	(void)state;
	assert_string_equal(span_title(r), "POST");
	assert_int_equal(r->kind, SPAN_CLIENT);
	assert_text(r, ATTR_URL_FULL, "http://api.example/a?b=c");
	assert_text(r, ATTR_SERVER_ADDRESS, "api.example");
	assert_int_equal(span_number(r, ATTR_SERVER_PORT), 8080);
	assert_text(r, ATTR_NETWORK_PEER_ADDRESS, "192.0.2.9");
	assert_int_equal(span_number(r, ATTR_HTTP_REQUEST_BODY_SIZE), 3);
	assert_int_equal(span_number(r, ATTR_HTTP_RESPONSE_BODY_SIZE), 2);
	assert_text(r, ATTR_CLIENT_ADDRESS, NULL);
	assert_text(r, ATTR_URL_PATH, NULL);
}

static void without_a_host_the_address_is_given(void **state)
{
	const struct record *r = called_at("192.0.2.9", "GET /a HTTP/1.0\r\n\r\n", RESPONSE);

	(void)state;
	assert_text(r, ATTR_URL_FULL, "http://192.0.2.9/a");
	assert_text(r, ATTR_SERVER_ADDRESS, "192.0.2.9");
	assert_text(r, ATTR_NETWORK_PROTOCOL_VERSION, "1.0");
	r = called_at("2001:db8::80", "GET /a HTTP/1.0\r\n\r\n", RESPONSE);
	assert_text(r, ATTR_URL_FULL, "http://[2001:db8::80]/a");
	assert_text(r, ATTR_SERVER_ADDRESS, "2001:db8::80");
	assert_int_equal(span_number(r, ATTR_SERVER_PORT), 8080);
	r = called_at("2001:db8::80", "GET /a HTTP/1.1\r\nHost: [2001:db8::81]:99\r\n\r\n", RESPONSE);
	assert_text(r, ATTR_URL_FULL, "http://[2001:db8::81]:99/a");
	assert_text(r, ATTR_SERVER_ADDRESS, "2001:db8::81");
	assert_int_equal(span_number(r, ATTR_SERVER_PORT), 99);
}

static void secrets_are_left_out(void **state)
{
	const struct record *r =
		served("GET /?a=1&Token=s3cr3t&X-Amz-Signature=s3cr3t&sig=s3cr3t&b=2 HTTP/1.1\r\nHost: h\r\n\r\n", RESPONSE);

	(void)state;
	assert_text(r, ATTR_URL_QUERY, "a=1&Token=REDACTED&X-Amz-Signature=REDACTED&sig=REDACTED&b=2");
	r = called_at("192.0.2.9", "GET http://user:s3cr3t@h.example/x?password=s3cr3t&c HTTP/1.1\r\nHost: h.example\r\n\r\n",
		      RESPONSE);
	assert_text(r, ATTR_URL_FULL, "http://h.example/x?password=REDACTED&c");
	r = called_at("192.0.2.9", "GET http://user:s3cr3t@h.example HTTP/1.1\r\nHost: h.example\r\n\r\n", RESPONSE);
	assert_null(strstr(span_text(r, ATTR_URL_FULL), "s3cr3t"));
	r = served("GET http://user:s3cr3t@h.example/x HTTP/1.1\r\nHost: h\r\n\r\n", RESPONSE);
	assert_text(r, ATTR_URL_PATH, "/x");
	assert_text(r, ATTR_SERVER_ADDRESS, "h.example");
}

static void unknown_methods_are_other(void **state)
{
	const struct record *r = served("BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n", RESPONSE);

	(void)state;
	assert_string_equal(span_title(r), "HTTP");
	assert_text(r, ATTR_HTTP_REQUEST_METHOD, "_OTHER");
	assert_text(r, ATTR_HTTP_REQUEST_METHOD_ORIGINAL, "BREW");
}

static void status_codes_are_errors_by_side(void **state)
{
	static const struct {
		const char *code;
		bool server_error, client_error;
	} cases[] = {{"302", 0, 0}, {"399", 0, 0}, {"404", 0, 1}, {"499", 0, 1}, {"500", 1, 1}, {"503", 1, 1}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct record *r;
		char response[128];

		sprintf(response, "HTTP/1.1 %s X\r\nContent-Length: 0\r\n\r\n", cases[i].code);
		r = served(REQUEST, response);
		assert_int_equal(r->status, cases[i].server_error ? STATUS_ERROR : STATUS_UNSET);
		assert_text(r, ATTR_ERROR_TYPE, cases[i].server_error ? cases[i].code : NULL);
		r = called_at("192.0.2.9", REQUEST, response);
		assert_int_equal(r->status, cases[i].client_error ? STATUS_ERROR : STATUS_UNSET);
		assert_text(r, ATTR_ERROR_TYPE, cases[i].client_error ? cases[i].code : NULL);
	}
}

static void what_proxies_say_is_believed(void **state)
{
	const struct record *r = served("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.5, 10.0.0.1\r\n"
					"X-Forwarded-Proto: https\r\nX-Forwarded-Host: pub.example\r\n\r\n",
					RESPONSE);

	(void)state;
	assert_text(r, ATTR_CLIENT_ADDRESS, "203.0.113.5");
	assert_text(r, ATTR_URL_SCHEME, "https");
	assert_text(r, ATTR_SERVER_ADDRESS, "pub.example");
	assert_text(r, ATTR_NETWORK_PEER_ADDRESS, "192.0.2.7");
	r = served("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.9.9.9\r\n"
		   "Forwarded: for=\"[2001:db8::1]:99\";Proto=https;host=pub.example, for=10.1.1.1\r\n\r\n",
		   RESPONSE);
	assert_text(r, ATTR_CLIENT_ADDRESS, "2001:db8::1");
	assert_int_equal(span_number(r, ATTR_CLIENT_PORT), 99);
	assert_text(r, ATTR_URL_SCHEME, "https");
	assert_text(r, ATTR_SERVER_ADDRESS, "pub.example");
	r = served("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 2001:db8::2\r\n\r\n", RESPONSE);
	assert_text(r, ATTR_CLIENT_ADDRESS, "2001:db8::2");
}

/* The Host field, or what proxies say, may change from one request to the next. */
static void each_request_of_a_connection_has_its_own_ends(void **state)
{
	static const struct {
		const char *request, *address, *client, *scheme, *version;
		int64_t port;
	} cases[] = {
		{"GET /1 HTTP/1.1\r\nHost: one\r\n\r\n", "one", "192.0.2.7", "http", "1.1", 80},
		{"GET /2 HTTP/1.1\r\nHost: one\r\n\r\n", "one", "192.0.2.7", "http", "1.1", 80},
		{"GET /3 HTTP/1.1\r\nHost: two:81\r\n\r\n", "two", "192.0.2.7", "http", "1.1", 81},
		{"GET /4 HTTP/1.1\r\nHost: two:81\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n", "two", "10.0.0.1", "http", "1.1", 81},
		{"GET /5 HTTP/1.1\r\nHost: two:81\r\nX-Forwarded-Proto: https\r\n\r\n", "two", "192.0.2.7", "https", "1.1", 81},
		{"GET /6 HTTP/1.1\r\nHost: two:81\r\nForwarded: host=three:82\r\n\r\n", "three", "192.0.2.7", "http", "1.1", 82},
		{"GET http://four:83/7 HTTP/1.1\r\nHost: two:81\r\n\r\n", "four", "192.0.2.7", "http", "1.1", 83},
		{"GET /8 HTTP/1.1\r\nHost: two:81\r\n\r\n", "two", "192.0.2.7", "http", "1.1", 81},
		{"GET /9 HTTP/1.0\r\nHost: two:81\r\n\r\n", "two", "192.0.2.7", "http", "1.0", 81},
	};
	struct link l = hook_accept_from("192.0.2.7", 4711);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct record *r;

		serve_begin(&l, cases[i].request);
		program_says(&l, RESPONSE);
		r = span_at(spans_count() - 1);
		assert_text(r, ATTR_SERVER_ADDRESS, cases[i].address);
		assert_text(r, ATTR_CLIENT_ADDRESS, cases[i].client);
		assert_text(r, ATTR_URL_SCHEME, cases[i].scheme);
		assert_text(r, ATTR_NETWORK_PROTOCOL_VERSION, cases[i].version);
		if (cases[i].port != 80) /* else the local one, whatever that is here */
			assert_int_equal(span_number(r, ATTR_SERVER_PORT), cases[i].port);
		assert_int_equal(span_number(r, ATTR_NETWORK_PEER_PORT), 4711);
	}
	link_close(&l);
}

/* So may the method and the User-Agent. */
static void each_request_of_a_connection_has_its_own_asker(void **state)
{
	static const struct {
		const char *method, *agent;
	} cases[] = {{"GET", "curl/8"}, {"GET", "curl/8"}, {"GET", "curl/9"},	{"POST", "curl/9"}, {"POST", "curl/99"},
		     {"POST", NULL},	{"POST", NULL},	   {"BREW", "curl/99"}, {"POST", ""},	    {"POST", "curl/99"}};
	struct link l = hook_accept_from("192.0.2.7", 4711);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool known = strcmp(cases[i].method, "BREW") != 0;
		const struct record *r;
		char request[256];

		snprintf(request, sizeof(request), "%s /%zu HTTP/1.1\r\nHost: one\r\n%s%s%s\r\n", cases[i].method, i,
			 cases[i].agent ? "User-Agent: " : "", cases[i].agent ? cases[i].agent : "",
			 cases[i].agent ? "\r\n" : "");
		serve_begin(&l, request);
		program_says(&l, RESPONSE);
		r = span_at(spans_count() - 1);
		assert_text(r, ATTR_HTTP_REQUEST_METHOD, known ? cases[i].method : "_OTHER");
		assert_text(r, ATTR_HTTP_REQUEST_METHOD_ORIGINAL, known ? NULL : cases[i].method);
		assert_string_equal(span_title(r), known ? cases[i].method : "HTTP");
		assert_text(r, ATTR_USER_AGENT_ORIGINAL, cases[i].agent);
		assert_text(r, ATTR_SERVER_ADDRESS, "one");
	}
	link_close(&l);
}

static void each_call_of_a_connection_has_its_own_ends(void **state)
{
	static const char *const hosts[] = {"one", "one", "two", "one"};
	struct link l = hook_connect_to("192.0.2.9", 8080);
	char buf[4096], request[128];

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		const struct record *r;

		sprintf(request, "GET /a HTTP/1.1\r\nHost: %s\r\n\r\n", hosts[i]);
		call_begin(&l, request, NULL, 0);
		peer_says(&l, RESPONSE);
		(void)program_reads(&l, buf, sizeof(buf));
		r = span_at(spans_count() - 1);
		assert_text(r, ATTR_SERVER_ADDRESS, hosts[i]);
		assert_int_equal(span_number(r, ATTR_SERVER_PORT), 8080);
		assert_text(r, ATTR_NETWORK_PEER_ADDRESS, "192.0.2.9");
		assert_text(r, ATTR_NETWORK_PROTOCOL_VERSION, "1.1");
	}
	link_close(&l);
}

static void unix_peers_have_a_transport(void **state)
{
	const struct record *r = served_from(NULL, REQUEST, RESPONSE);

	(void)state;
	assert_text(r, ATTR_NETWORK_TRANSPORT, "unix");
	assert_text(r, ATTR_NETWORK_PEER_ADDRESS, NULL);
	assert_int_equal(span_number(r, ATTR_NETWORK_PEER_PORT), -1);
	r = served(REQUEST, RESPONSE);
	assert_text(r, ATTR_NETWORK_TRANSPORT, NULL);
}

static void only_listed_headers_are_recorded(void **state)
{
	const struct record *r = served("GET /users/42?x HTTP/1.1\r\nHost: h\r\nX-A: one\r\nX-C: no\r\n\r\n",
					"HTTP/1.1 200 OK\r\nx-b: two\r\nx-a: no\r\nContent-Length: 0\r\n\r\n");

	(void)state;
	assert_string_equal(span_captured(r, "http.request.header.x-a"), "one");
	assert_string_equal(span_captured(r, "http.response.header.x-b"), "two");
	assert_null(span_captured(r, "http.request.header.x-c"));
	assert_null(span_captured(r, "http.response.header.x-a"));
	assert_null(span_captured(r, "http.request.header.x-missing"));
	assert_text(r, ATTR_HTTP_ROUTE, "/users/{id}");
	assert_string_equal(span_title(r), "GET /users/{id}");
}

static void evidence_can_be_left_out(void **state)
{
	(void)state;
	assert_text(served(REQUEST, RESPONSE), ATTR_INTERSPAN_PARENT_EVIDENCE, NULL);
}

#define TEST(test, up) cmocka_unit_test_setup_teardown(test, up, rules_balanced)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_server_span_says_what_was_asked, up),
		TEST(a_client_span_says_what_was_asked, up),
		TEST(without_a_host_the_address_is_given, up),
		TEST(secrets_are_left_out, up),
		TEST(unknown_methods_are_other, up),
		TEST(status_codes_are_errors_by_side, up),
		TEST(what_proxies_say_is_believed, up),
		TEST(each_request_of_a_connection_has_its_own_ends, up),
		TEST(each_request_of_a_connection_has_its_own_asker, up),
		TEST(each_call_of_a_connection_has_its_own_ends, up),
		TEST(unix_peers_have_a_transport, up),
		TEST(only_listed_headers_are_recorded, up_with_lists),
		TEST(evidence_can_be_left_out, up_without_evidence),
	};

	return ENGINE_RUN_EACH(tests);
}
