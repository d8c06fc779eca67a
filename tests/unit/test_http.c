/* SPDX-License-Identifier: Apache-2.0 */
/* Requests against a server of one thread that answers from a script. */
#include "tests/unit/settings_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "export/http.h"
#include "export/retry.h"

/* ---- a server of one connection after the other; each request gets the next answer of the script ---- */

static struct {
	int fd;
	pthread_t thread;
	const char *const *script; /* whole answers; "" = close without one; NULL = never answer; "." = the end */
	size_t large;              /* bytes of body to add to each answer */
	char request[8][2048];     /* heads seen */
	uint8_t body[8][4096];
	size_t body_len[8];
	int connections;
	int requests;
	char url[64];
} server;

static bool read_request(int fd, int at)
{
	char *head = server.request[at], *end = NULL, *length;
	size_t have = 0, want;
	ssize_t n;

	memset(head, 0, sizeof(server.request[at]));
	while (!end) {
		n = recv(fd, head + have, sizeof(server.request[at]) - 1 - have, 0);
		if (n <= 0)
			return false;
		have += (size_t)n;
		end = strstr(head, "\r\n\r\n");
	}
	length = strstr(head, "Content-Length: ");
	want = length ? strtoul(length + 16, NULL, 10) : 0;
	have -= (size_t)(end + 4 - head);
	memcpy(server.body[at], end + 4, have);
	for (; have < want; have += (size_t)n)
		if ((n = recv(fd, server.body[at] + have, want - have, 0)) <= 0)
			return false;
	server.body_len[at] = want;
	end[4] = '\0';
	return true;
}

static bool answer(int fd, const char *text)
{
	static char filler[65536];

	send(fd, text, strlen(text), MSG_NOSIGNAL);
	for (size_t done = 0; done < server.large; done += sizeof(filler))
		if (send(fd, filler, sizeof(filler), MSG_NOSIGNAL) < 0)
			return false;
	return true;
}

static void *serve(void *arg)
{
	int fd;

	while (strcmp(server.script[server.requests] ? server.script[server.requests] : "", ".") != 0 &&
	       (fd = accept(server.fd, NULL, NULL)) >= 0) {
		server.connections++;
		while (read_request(fd, server.requests)) {
			const char *text = server.script[server.requests++];

			if (!text) {
				recv(fd, (char[1]){0}, 1, 0); /* until the client gives up */
				break;
			}
			if (!text[0] || !answer(fd, text) || server.large)
				break;
		}
		close(fd);
	}
	return arg;
}

static void server_start(const char *const *script)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	memset(&server, 0, sizeof(server));
	server.script = script;
	server.fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(server.fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(server.fd, 8), 0);
	getsockname(server.fd, (struct sockaddr *)&address, &len);
	snprintf(server.url, sizeof(server.url), "http://127.0.0.1:%d", ntohs(address.sin_port));
	settings.otlp_endpoint = server.url;
	assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void server_stop(void)
{
	shutdown(server.fd, SHUT_RDWR);
	pthread_join(server.thread, NULL);
	close(server.fd);
}

static struct endpoint endpoint;
static struct http *http;

static void client_start(void)
{
	assert_int_equal(endpoint_read(&endpoint, &settings, SIGNAL_TRACES, count_log), 0);
	http = http_open(&endpoint);
	assert_non_null(http);
}

static void client_stop(void)
{
	http_close(http);
	endpoint_free(&endpoint);
}

static bool for_ever(void *arg, uint64_t elapsed_ms)
{
	(void)arg;
	(void)elapsed_ms;
	return true;
}

static struct delivery post(void)
{
	struct delivery delivery;

	http_post(http, (const uint8_t *)"payload", 7, (struct patience){for_ever, NULL}, &delivery);
	return delivery;
}

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static void test_a_request_and_its_head(void **state)
{
	static const char *const script[] = {OK, OK, "."};
	char *first, *second;

	(void)state;
	settings.otlp_headers = "api-key=k";
	server_start(script);
	client_start();
	assert_int_equal(post().outcome, DELIVERY_ACCEPTED);
	assert_int_equal(post().outcome, DELIVERY_ACCEPTED);
	client_stop();
	server_stop();
	assert_int_equal(server.connections, 1); /* kept alive */
	assert_memory_equal(server.request[0], "POST /v1/traces HTTP/1.1\r\n", 26);
	assert_non_null(strstr(server.request[0], "\r\nContent-Type: application/x-protobuf\r\n"));
	assert_non_null(strstr(server.request[0],
			       "\r\nUser-Agent: interspan/" INTERSPAN_VERSION " OTel-OTLP-Exporter-C/"));
	assert_non_null(strstr(server.request[0], "\r\napi-key: k\r\n"));
	assert_null(strstr(server.request[0], "Expect:"));
	assert_null(strstr(server.request[0], "Content-Encoding"));
	assert_int_equal(server.body_len[0], 7);
	assert_memory_equal(server.body[0], "payload", 7);
	first = strstr(server.request[0], "\r\ntraceparent: 00-");
	second = strstr(server.request[1], "\r\ntraceparent: 00-");
	assert_non_null(first);
	assert_memory_equal(first + 18 + 32 + 1 + 16, "-00\r\n", 5); /* not sampled */
	assert_memory_not_equal(first + 18, second + 18, 32);
}

static void test_gzip(void **state)
{
	static const char *const script[] = {OK, OK, "."};
	z_stream stream = {0};
	char text[64] = "";

	(void)state;
	settings.otlp_compression = "gzip";
	server_start(script);
	client_start();
	assert_int_equal(post().outcome, DELIVERY_ACCEPTED);
	assert_int_equal(post().outcome, DELIVERY_ACCEPTED);
	client_stop();
	server_stop();
	for (int i = 0; i < 2; i++) {
		assert_non_null(strstr(server.request[i], "\r\nContent-Encoding: gzip\r\n"));
		assert_int_equal(inflateInit2(&stream, 31), Z_OK);
		stream.next_in = server.body[i];
		stream.avail_in = (uInt)server.body_len[i];
		stream.next_out = (Bytef *)text;
		stream.avail_out = sizeof(text);
		assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
		assert_int_equal(stream.total_out, 7);
		inflateEnd(&stream);
	}
	assert_string_equal(text, "payload");
}

static void test_answers_that_ask_to_wait(void **state)
{
	char date[64], dated[160];
	const char *script[] = {"HTTP/1.1 503 no\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", dated,
				"HTTP/1.1 429 no\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n",
				"HTTP/1.1 503 no\r\nRetry-After: 99999999999\r\nContent-Length: 0\r\n\r\n", "."};
	time_t later = time(NULL) + 60;
	struct delivery delivery;

	(void)state;
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime(&later));
	snprintf(dated, sizeof(dated), "HTTP/1.1 503 no\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n", date);
	server_start(script);
	client_start();
	delivery = post();
	assert_int_equal(delivery.outcome, DELIVERY_RETRY);
	assert_int_equal(delivery.retry_after_ms, 7000);
	delivery = post();
	assert_int_equal(delivery.outcome, DELIVERY_RETRY);
	assert_in_range(delivery.retry_after_ms, 1000, 60000);
	delivery = post();
	assert_int_equal(delivery.outcome, DELIVERY_RETRY);
	assert_int_equal(delivery.retry_after_ms, 0);
	assert_int_equal(post().retry_after_ms, RETRY_AFTER_MAX_MS);
	client_stop();
	server_stop();
}

#define HEAD_OF_STATUS "HTTP/1.1 400 no\r\nContent-Type: application/x-protobuf\r\nContent-Length: 12\r\n\r\n"

static void test_refusals(void **state)
{
	static const char *const script[] = {
	    HEAD_OF_STATUS "\x08\x03\x12\010bad data",
	    "HTTP/1.1 500 no\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\noops",
	    "HTTP/1.1 307 go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "."};
	struct delivery delivery;

	(void)state;
	server_start(script);
	client_start();
	delivery = post();
	assert_int_equal(delivery.outcome, DELIVERY_REFUSED);
	assert_string_equal(delivery.reason, "the collector answered 400: bad data");
	delivery = post();
	assert_int_equal(delivery.outcome, DELIVERY_REFUSED);
	assert_string_equal(delivery.reason, "the collector answered 500: oops");
	delivery = post();
	assert_int_equal(delivery.outcome, DELIVERY_REFUSED); /* redirects are not followed */
	client_stop();
	server_stop();
	assert_int_equal(server.requests, 3);
}

static void test_partial_success(void **state)
{
	static const char *const script[] = {
	    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n\x0a\x08\x08\x03\x12\x04oops", "."};
	struct delivery delivery;

	(void)state;
	server_start(script);
	client_start();
	delivery = post();
	assert_int_equal(delivery.outcome, DELIVERY_ACCEPTED);
	assert_int_equal(delivery.rejected, 3);
	assert_true(delivery.kind != 0);
	assert_string_equal(delivery.reason, "the collector rejected 3 of the spans: oops");
	client_stop();
	server_stop();
}

static void test_connections_that_break_are_retried(void **state)
{
	static const char *const script[] = {"", "HTTP/1.1 200 OK\r\nContent-Len", OK, "."};

	(void)state;
	server_start(script);
	client_start();
	assert_int_equal(post().outcome, DELIVERY_RETRY);
	client_stop();
	server_stop();
	settings.otlp_endpoint = "http://127.0.0.1:1"; /* nobody listens */
	client_start();
	assert_int_equal(post().outcome, DELIVERY_RETRY);
	client_stop();
}

static void test_an_answer_without_end_is_refused(void **state)
{
	static const char *const script[] = {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "."};
	struct delivery delivery;

	(void)state;
	server_start(script);
	server.large = HTTP_MAX_RESPONSE + 1000000;
	client_start();
	delivery = post();
	assert_int_equal(delivery.outcome, DELIVERY_REFUSED);
	client_stop();
	server_stop();
}

static bool three_times(void *arg, uint64_t elapsed_ms)
{
	int *calls = arg;

	(void)elapsed_ms;
	return ++*calls < 3;
}

static void test_patience_ends_a_wait(void **state)
{
	static const char *const script[] = {NULL, OK, "."};
	struct delivery delivery;
	int calls = 0;

	(void)state;
	server_start(script);
	client_start();
	http_post(http, (const uint8_t *)"p", 1, (struct patience){three_times, &calls}, &delivery);
	assert_int_equal(delivery.outcome, DELIVERY_STOPPED);
	assert_int_equal(calls, 3);
	assert_int_equal(post().outcome, DELIVERY_ACCEPTED); /* and the next one works */
	client_stop();
	server_stop();
}

static void test_a_slow_answer_times_out(void **state)
{
	static const char *const script[] = {NULL, "."};

	(void)state;
	settings.otlp_traces_timeout_ms = 50;
	server_start(script);
	client_start();
	assert_int_equal(post().outcome, DELIVERY_RETRY);
	client_stop();
	server_stop();
}

static void test_an_address_kept_serves_where_names_do_not(void **state)
{
	static const char *const script[] = {OK, "."};
	char url[64], pin[64];

	(void)state;
	server_start(script);
	snprintf(url, sizeof(url), "http://collector.invalid%s", strrchr(server.url, ':'));
	snprintf(pin, sizeof(pin), "collector.invalid%s:127.0.0.1", strrchr(server.url, ':'));
	settings.otlp_endpoint = url;
	client_start();
	assert_int_equal(post().outcome, DELIVERY_RETRY);
	http_pin(http, pin);
	assert_int_equal(post().outcome, DELIVERY_ACCEPTED);
	client_stop();
	server_stop();
}

static void test_names_are_looked_up(void **state)
{
	char *text;

	(void)state;
	memset(&endpoint, 0, sizeof(endpoint));
	endpoint.host = (char[]){"ip6-localhost"};
	endpoint.port = 4318;
	endpoint.proxy = (char[]){""};
	text = http_resolve(&endpoint);
	if (text) { /* the name is in Debian's /etc/hosts; elsewhere it may be missing */
		assert_string_equal(text, "ip6-localhost:4318:[::1]");
		free(text);
	}
	endpoint.host = (char[]){"127.0.0.1"};
	assert_null(http_resolve(&endpoint));
	endpoint.host = (char[]){"[::1]"};
	assert_null(http_resolve(&endpoint));
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_a_request_and_its_head),
	    TEST(test_gzip),
	    TEST(test_answers_that_ask_to_wait),
	    TEST(test_refusals),
	    TEST(test_partial_success),
	    TEST(test_connections_that_break_are_retried),
	    TEST(test_an_answer_without_end_is_refused),
	    TEST(test_patience_ends_a_wait),
	    TEST(test_a_slow_answer_times_out),
	    TEST(test_an_address_kept_serves_where_names_do_not),
	    TEST(test_names_are_looked_up),
	};

	return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
