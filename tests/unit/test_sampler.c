/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/engine_fixture.h"

#include "shim/config.h"
#include "shim/protocols/tracecontext.h"
#include "shim/sampler.h"

static void use(const char *name, const char *arg)
{
	config.sampler = name;
	config.sampler_arg = arg;
	assert_null(sampler_start());
}

static bool wants(const struct context *parent, const char *trace)
{
	uint8_t id[16];

	assert_true(hex_parse(id, (const uint8_t *)trace, 16));
	return sampler_wants(parent, id);
}

static const struct context sampled = {.flags = TRACE_FLAG_SAMPLED}, unsampled = {.flags = 0};

/* The fractions at which Go's and Python's SDKs begin to sample these ids. */
static const struct {
	const char *trace, *below, *above;
} vectors[] = {
	{"4bf92f3577b34da6a3ce929d0e0e4736", "0.639870", "0.639872"},
	{"0af7651916cd43dd8448eb211c80319c", "0.516737", "0.516739"},
	{"5b8efff798038103d269b633813fc60c", "0.821925", "0.821927"},
};

static void ratio_decides_as_other_sdks_do(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		use("traceidratio", vectors[i].below);
		assert_false(wants(NULL, vectors[i].trace));
		use("traceidratio", vectors[i].above);
		assert_true(wants(NULL, vectors[i].trace));
		assert_true(wants(&unsampled, vectors[i].trace)); /* the plain sampler does not look at the parent */
	}
}

static void the_ends_of_the_ratio_are_all_and_nothing(void **state)
{
	(void)state;
	use("traceidratio", "0");
	assert_false(wants(NULL, "00000000000000000000000000000001"));
	use("traceidratio", "1.0");
	assert_true(wants(NULL, "ffffffffffffffffffffffffffffffff"));
	use("traceidratio", "");
	assert_true(wants(NULL, "ffffffffffffffffffffffffffffffff"));
	use("traceidratio", "1e-3");
	assert_false(wants(NULL, vectors[0].trace));
}

static void parent_based_samplers_follow_the_parent(void **state)
{
	static const char *const names[] = {"parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		use(names[i], "0.5");
		assert_true(wants(&sampled, vectors[2].trace));
		assert_false(wants(&unsampled, vectors[2].trace));
	}
	use("parentbased_always_on", "");
	assert_true(wants(NULL, vectors[0].trace));
	use("parentbased_always_off", "");
	assert_false(wants(NULL, vectors[0].trace));
}

static void always_means_always(void **state)
{
	(void)state;
	use("always_on", "");
	assert_true(wants(&unsampled, vectors[0].trace));
	use("ALWAYS_OFF", "");
	assert_false(wants(&sampled, vectors[0].trace));
}

static void what_is_not_understood_is_said(void **state)
{
	static const char *const bad[] = {"1.5", "-0.1", "x", "0.5x", "."};

	(void)state;
	config.sampler = "jaeger_remote";
	assert_non_null(sampler_start());
	config.sampler = "traceidratio";
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		config.sampler_arg = bad[i];
		assert_non_null(sampler_start());
		assert_true(wants(NULL, vectors[0].trace)); /* the default ratio is 1 */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ratio_decides_as_other_sdks_do),
		cmocka_unit_test(the_ends_of_the_ratio_are_all_and_nothing),
		cmocka_unit_test(parent_based_samplers_follow_the_parent),
		cmocka_unit_test(always_means_always),
		cmocka_unit_test(what_is_not_understood_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
