/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/engine_fixture.h"

#include <string.h>

#include "shim/config.h"
#include "shim/filter.h"

static unsigned warnings;

static void count_warning(const char *name, const char *value, const char *problem)
{
	(void)name;
	(void)value;
	(void)problem;
	warnings++;
}

/* Every list that filter_start() reads. */
static void use(const char *exclude, const char *trust, const char *to, const char *routes)
{
	warnings = 0;
	config.exclude = exclude;
	config.trust_from = trust;
	config.propagate_to = to;
	config.routes = routes;
	config.http_known_methods = "GET,POST";
	config.capture_request_headers = "X-Truth, accept";
	config.capture_response_headers = "";
	filter_start(count_warning);
}

static struct slice text(const char *s)
{
	return slice(s, strlen(s));
}

static struct endpoint peer(const char *address)
{
	struct endpoint e;

	assert_true(endpoint_parse(&e, address, strlen(address)));
	return e;
}

static void excluded_paths_ports_and_peers(void **state)
{
	struct endpoint near = peer("10.1.1.1"), far = peer("192.0.2.1");

	(void)state;
	use("path:/health*, port:9090, peer:10.0.0.0/8, /metrics", "*", "*", "");
	assert_int_equal(warnings, 0);
	assert_true(filter_excludes(text("/healthz?x=1"), 80, &far));
	assert_true(filter_excludes(text("/metrics"), 80, &far));
	assert_true(filter_excludes(text("http://host:1/metrics"), 80, &far));
	assert_false(filter_excludes(text("/metrics/x"), 80, &far));
	assert_true(filter_excludes(text("/"), 9090, &far));
	assert_true(filter_excludes(text("/"), 80, &near));
	assert_false(filter_excludes(text("/"), 80, &far));
}

static void trusted_peers(void **state)
{
	struct endpoint near = peer("10.1.1.1"), far = peer("192.0.2.1"), local = {.family = 1};

	(void)state;
	use("", "10.0.0.0/8,unix", "*", "");
	assert_true(filter_trusts(&near));
	assert_true(filter_trusts(&local));
	assert_false(filter_trusts(&far));
	use("", "none", "*", "");
	assert_false(filter_trusts(&near));
	use("", "*", "*", "");
	assert_true(filter_trusts(&far));
}

static void destinations_by_host_and_address(void **state)
{
	struct endpoint near = peer("10.1.1.1"), far = peer("192.0.2.1");

	(void)state;
	use("", "*", "*.example.org, api.internal, 10.0.0.0/8", "");
	assert_true(filter_propagates_to(text("a.b.Example.org"), &far));
	assert_false(filter_propagates_to(text("example.org"), &far));
	assert_false(filter_propagates_to(text("notexample.org"), &far));
	assert_true(filter_propagates_to(text("API.internal"), &far));
	assert_true(filter_propagates_to(text("other"), &near));
	assert_false(filter_propagates_to(text("other"), &far));
}

static void routes_match_whole_paths(void **state)
{
	(void)state;
	use("", "*", "*", "/users/{id},/users/{id}/orders/{order},/static/*");
	assert_true(slice_equal(filter_route(text("/users/42?x")), text("/users/{id}")));
	assert_true(slice_equal(filter_route(text("/users/42/orders/7")), text("/users/{id}/orders/{order}")));
	assert_true(slice_equal(filter_route(text("/static/a/b.css")), text("/static/*")));
	assert_null(filter_route(text("/users/")).p);
	assert_null(filter_route(text("/users/1/2")).p);
}

static void patterns_cannot_be_made_slow(void **state)
{
	char path[4096];

	(void)state;
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	use("path:/*a*a*a*a*a*a*a*a*b", "*", "*", "");
	struct endpoint far = peer("192.0.2.1");

	assert_false(filter_excludes(slice(path, sizeof(path)), 80, &far));
}

static void methods_and_captures(void **state)
{
	(void)state;
	use("", "*", "*", "");
	assert_true(filter_knows_method(text("GET")));
	assert_false(filter_knows_method(text("get")));
	assert_true(filter_captures(true, text("x-TRUTH")));
	assert_false(filter_captures(true, text("cookie")));
	assert_false(filter_captures_any(false));
}

static void mistakes_are_said_and_left_out(void **state)
{
	(void)state;
	use("port:70000, peer:10.0.0/8, nonsense", "10.0.0.0/99", "*", "no-slash");
	assert_int_equal(warnings, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(excluded_paths_ports_and_peers), cmocka_unit_test(trusted_peers),
		cmocka_unit_test(destinations_by_host_and_address), cmocka_unit_test(routes_match_whole_paths),
		cmocka_unit_test(patterns_cannot_be_made_slow),	  cmocka_unit_test(methods_and_captures),
		cmocka_unit_test(mistakes_are_said_and_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
