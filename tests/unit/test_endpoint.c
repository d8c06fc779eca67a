/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/engine_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "shim/endpoint.h"

static struct endpoint parsed(const char *text)
{
	struct endpoint e;

	assert_true(endpoint_parse(&e, text, strlen(text)));
	return e;
}

static void addresses_are_shown_as_people_write_them(void **state)
{
	static const char *const texts[] = {"127.0.0.1", "10.1.2.3", "255.0.30.200", "::", "::1", "ff02::", "2001:db8::7",
					  "1:0:2:3:4:5:6:7", "1::2:3:4:5:6", "1::2:0:0:3", "2001:db8:0:0:1::"};
	char out[ENDPOINT_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct endpoint e = parsed(texts[i]);

		assert_int_equal(endpoint_text(&e, out), strlen(texts[i]));
		assert_string_equal(out, texts[i]);
	}
}

static void mapped_ipv6_is_ipv4(void **state)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
	struct endpoint e;
	char out[ENDPOINT_TEXT];

	(void)state;
	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &in6.sin6_addr), 1);
	endpoint_from(&e, (struct sockaddr *)&in6, sizeof(in6));
	endpoint_text(&e, out);
	assert_string_equal(out, "192.0.2.1");
	assert_int_equal(e.port, 80);
}

static void unix_paths_and_abstract_names(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/run/x.sock"};
	struct endpoint e;
	char out[ENDPOINT_TEXT];

	(void)state;
	endpoint_from(&e, (struct sockaddr *)&un, sizeof(un));
	endpoint_text(&e, out);
	assert_string_equal(out, "/run/x.sock");
	memcpy(un.sun_path, "\0name", 5);
	endpoint_from(&e, (struct sockaddr *)&un, offsetof(struct sockaddr_un, sun_path) + 5);
	endpoint_text(&e, out);
	assert_string_equal(out, "@name");
	endpoint_from(&e, (struct sockaddr *)&un, sizeof(sa_family_t));
	assert_int_equal(endpoint_text(&e, out), 0);
}

static void networks_hold_what_they_should(void **state)
{
	struct endpoint net = parsed("10.64.0.0"), in = parsed("10.127.255.255"), out = parsed("10.128.0.0");
	struct endpoint six = parsed("2001:db8::1");

	(void)state;
	assert_true(endpoint_in(&in, &net, 10));
	assert_false(endpoint_in(&out, &net, 10));
	assert_true(endpoint_in(&out, &net, 0));
	assert_false(endpoint_in(&six, &net, 0));
	assert_false(endpoint_in(&in, &net, 33));
}

static void short_or_foreign_addresses_are_not_known(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct endpoint e;

	(void)state;
	endpoint_from(&e, (struct sockaddr *)&in, 4);
	assert_int_equal(e.family, 0);
	assert_false(endpoint_parse(&e, "10.0.0", 6));
	assert_false(endpoint_parse(&e, "", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_shown_as_people_write_them),
		cmocka_unit_test(mapped_ipv6_is_ipv4),
		cmocka_unit_test(unix_paths_and_abstract_names),
		cmocka_unit_test(networks_hold_what_they_should),
		cmocka_unit_test(short_or_foreign_addresses_are_not_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
