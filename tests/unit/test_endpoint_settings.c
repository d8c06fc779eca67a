/* SPDX-License-Identifier: Apache-2.0 */
/* OTEL_EXPORTER_OTLP_*: what becomes of URLs, protocols and headers. */
#include "tests/unit/settings_fixture.h"

#include "export/endpoint.h"

static char *url_of(enum signal signal)
{
	struct endpoint endpoint;
	char *url;

	assert_int_equal(endpoint_read(&endpoint, &settings, signal, count_log), 0);
	url = strdup(endpoint.url);
	endpoint_free(&endpoint);
	return url;
}

static void expect_url(const char *want)
{
	char *url = url_of(SIGNAL_TRACES);

	assert_string_equal(url, want);
	free(url);
}

static void test_base_urls(void **state)
{
	static const char *const cases[][2] = {
	    {"http://c:4318", "http://c:4318/v1/traces"},
	    {"http://c:4318/", "http://c:4318/v1/traces"},
	    {"http://c:4318/my", "http://c:4318/my/v1/traces"},
	    {"http://c:4318/my/", "http://c:4318/my/v1/traces"},
	    {"https://[::1]:1/x?key=1", "https://[::1]:1/x/v1/traces?key=1"},
	};

	(void)state;
	expect_url("http://localhost:4318/v1/traces");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		settings.otlp_endpoint = cases[i][0];
		expect_url(cases[i][1]);
	}
	assert_int_equal(logged, 0);
}

static void test_the_signal_s_url_is_used_as_given(void **state)
{
	(void)state;
	settings.otlp_endpoint = "http://base:1";
	settings.otlp_traces_endpoint = "http://c:4318";
	expect_url("http://c:4318/");
	settings.otlp_traces_endpoint = "http://c:4318/x/y";
	expect_url("http://c:4318/x/y");
}

static void test_metrics_go_to_the_base(void **state)
{
	struct endpoint endpoint;
	char *url;

	(void)state;
	settings.otlp_endpoint = "http://base:1";
	settings.otlp_traces_endpoint = "http://c:4318";
	url = url_of(SIGNAL_METRICS);
	assert_string_equal(url, "http://base:1/v1/metrics");
	free(url);
	settings.otlp_endpoint = "http://localhost:4318"; /* the default: nobody named a place for metrics */
	assert_int_equal(endpoint_read(&endpoint, &settings, SIGNAL_METRICS, count_log), -2);
}

static void test_ports_come_from_the_scheme(void **state)
{
	struct endpoint endpoint;

	(void)state;
	settings.otlp_endpoint = "http://c";
	assert_int_equal(endpoint_read(&endpoint, &settings, SIGNAL_TRACES, count_log), 0);
	assert_int_equal(endpoint.port, 80);
	assert_false(endpoint.tls);
	endpoint_free(&endpoint);
	settings.otlp_endpoint = "HTTPS://c";
	assert_int_equal(endpoint_read(&endpoint, &settings, SIGNAL_TRACES, count_log), 0);
	assert_int_equal(endpoint.port, 443);
	assert_true(endpoint.tls);
	endpoint_free(&endpoint);
}

static void test_what_is_no_url_is_said_once(void **state)
{
	(void)state;
	settings.otlp_endpoint = "collector:4317";
	expect_url("http://localhost:4318/v1/traces");
	assert_int_equal(logged, 1);
}

static void test_grpc_is_said_once(void **state)
{
	(void)state;
	settings.otlp_protocol = "grpc";
	expect_url("http://localhost:4318/v1/traces");
	assert_int_equal(logged, 1);
}

static void test_headers(void **state)
{
	static const char *const want[] = {"api-key: secret=1", "X-Space: a b,c", "empty;"};
	struct endpoint endpoint;

	(void)state;
	settings.otlp_headers = "api-key=secret=1, X-Space = a%20b%2Cc ,empty=,bad name=1,novalue,crlf=a%0d%0ab,cut=%2,"
				"Content-Type=x,traceparent=y,=z";
	assert_int_equal(endpoint_read(&endpoint, &settings, SIGNAL_TRACES, count_log), 0);
	assert_int_equal(endpoint.n_headers, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_string_equal(endpoint.headers[i], want[i]);
	assert_int_equal(logged, 7);
	assert_null(strstr(last_log, "z")); /* values may be secrets */
	endpoint_free(&endpoint);
	settings.otlp_traces_headers = "only=this";
	assert_int_equal(endpoint_read(&endpoint, &settings, SIGNAL_TRACES, count_log), 0);
	assert_int_equal(endpoint.n_headers, 1);
	endpoint_free(&endpoint);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_base_urls),
	    TEST(test_the_signal_s_url_is_used_as_given),
	    TEST(test_metrics_go_to_the_base),
	    TEST(test_ports_come_from_the_scheme),
	    TEST(test_what_is_no_url_is_said_once),
	    TEST(test_grpc_is_said_once),
	    TEST(test_headers),
	};

	return cmocka_run_group_tests_name("endpoint settings", tests, NULL, NULL);
}
