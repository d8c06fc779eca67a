/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "shim/config.h"
#include "tests/unit/segment_fixture.h"

static unsigned warnings;
static char last_warning[256];

static void note(const char *name, const char *value, const char *problem)
{
	warnings++;
	snprintf(last_warning, sizeof(last_warning), "%s=%s: %s", name, value, problem);
}

/* The variables end with NULL. */
#define READ(ret, ...)                                                                                                 \
	do {                                                                                                           \
		char *const envp[] = {__VA_ARGS__};                                                \
		warnings = 0;                                                                                          \
		assert_int_equal(config_read(ret, envp, note), 0);                                                     \
	} while (0)

static void nothing_set_is_the_table(void **state)
{
	struct config c;

	(void)state;
	READ(&c, NULL);
	assert_memory_equal(&c, &config, sizeof(c));
	assert_string_equal(c.sampler, "parentbased_always_on");
	assert_string_equal(c.service_name, "");
	assert_int_equal(c.bsp_max_queue_size, 32768);
	assert_int_equal(c.span_attr_count_limit, -1);
	assert_int_equal(c.evidence, 1);
	assert_int_equal(c.given, 0);
	assert_int_equal(warnings, 0);
	assert_int_equal(config_read(&c, NULL, NULL), 0);
}

static void texts_are_copies(void **state)
{
	char variable[] = "OTEL_SERVICE_NAME=shop";
	char *const envp[] = {"OTEL_EXPORTER_OTLP_HEADERS=a=b,c=d", variable, NULL};
	struct config c;

	(void)state;
	assert_int_equal(config_read(&c, envp, NULL), 0);
	memset(variable, 'x', sizeof(variable) - 1);
	assert_string_equal(c.service_name, "shop");
	assert_string_equal(c.otlp_headers, "a=b,c=d");
	assert_int_equal(__builtin_popcountll(c.given), 2);
}

static void empty_is_unset_and_the_first_counts(void **state)
{
	struct config c;

	(void)state;
	READ(&c, "OTEL_TRACES_SAMPLER=", "OTEL_BSP_SCHEDULE_DELAY=", "OTEL_SERVICE_NAME=one", "OTEL_SERVICE_NAME=two",
	     "OTEL_SERVICE_NAMES=three", "OTEL_SERVICE=four", "OTEL_SERVICE_NAME", NULL);
	assert_string_equal(c.sampler, "parentbased_always_on");
	assert_int_equal(c.bsp_schedule_delay_ms, 5000);
	assert_string_equal(c.service_name, "one");
	assert_int_equal(warnings, 0);
}

/* Only "true", in any case, is true. */
static void booleans(void **state)
{
	static const struct {
		const char *value;
		int64_t result, warnings;
	} cases[] = {
		{"true", 1, 0}, {"TRUE", 1, 0}, {"True", 1, 0}, {"false", 0, 0}, {"FALSE", 0, 0},
		{"1", 0, 1},    {"yes", 0, 1},  {"on", 0, 1},   {"truee", 0, 1}, {"tru", 0, 1},
	};
	char variable[64];
	struct config c;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(variable, sizeof(variable), "OTEL_SDK_DISABLED=%s", cases[i].value);
		READ(&c, variable, NULL);
		assert_int_equal(c.sdk_disabled, cases[i].result);
		assert_int_equal(warnings, cases[i].warnings);
	}
	READ(&c, "INTERSPAN_EVIDENCE=maybe", NULL);
	assert_int_equal(c.evidence, 1);
	assert_int_equal(warnings, 1);
}

static void numbers(void **state)
{
	static const struct {
		const char *value;
		int64_t result;
		bool good;
	} cases[] = {
		{"1", 1, true},           {"16777216", 16777216, true},
		{"  7\t", 7, true},       {"0", 32768, false},
		{"16777217", 32768, false}, {"-1", 32768, false},
		{"+5", 32768, false},     {"12ms", 32768, false},
		{"0x10", 32768, false},   {"1 2", 32768, false},
		{"99999999999999999999999999", 32768, false}, {" ", 32768, false},
		{"1e3", 32768, false},
	};
	char variable[96];
	struct config c;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(variable, sizeof(variable), "OTEL_BSP_MAX_QUEUE_SIZE=%s", cases[i].value);
		READ(&c, variable, NULL);
		assert_int_equal(c.bsp_max_queue_size, cases[i].result);
		assert_int_equal(warnings, !cases[i].good);
		assert_int_equal(c.given != 0, cases[i].good);
	}
	READ(&c, "OTEL_BSP_SCHEDULE_DELAY=-3", NULL);
	assert_int_equal(c.bsp_schedule_delay_ms, 5000);
	assert_string_equal(last_warning, "OTEL_BSP_SCHEDULE_DELAY=-3: not a non-negative whole number");
	READ(&c, "OTEL_EXPORTER_OTLP_TIMEOUT=0", "OTEL_BSP_SCHEDULE_DELAY=0", NULL);
	assert_int_equal(c.otlp_timeout_ms, 0);
	assert_int_equal(c.bsp_schedule_delay_ms, 0);
}

static void the_log_level_has_a_second_name(void **state)
{
	struct config c;

	(void)state;
	READ(&c, "OTEL_LOG_LEVEL=debug", NULL);
	assert_string_equal(c.log_level, "debug");
	READ(&c, "OTEL_LOG_LEVEL=debug", "INTERSPAN_LOG_LEVEL=error", NULL);
	assert_string_equal(c.log_level, "error");
}

static void lists(void **state)
{
	const char *cursor = " , path:/a* ,,port:90 \t, x";
	const char *const items[] = {"path:/a*", "port:90", "x"};
	const char *item;
	uint32_t len;
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++) {
		assert_true(config_next(&cursor, &item, &len));
		assert_int_equal(len, strlen(items[i]));
		assert_memory_equal(item, items[i], len);
	}
	assert_false(config_next(&cursor, &item, &len));
	assert_false(config_next(&cursor, &item, &len));
	cursor = "";
	assert_false(config_next(&cursor, &item, &len));
}

static void choices_ignore_case(void **state)
{
	(void)state;
	assert_true(config_is("AUTO", "auto"));
	assert_false(config_is("aut", "auto"));
	assert_false(config_is("autos", "auto"));
	assert_true(config_is("", ""));
}

/* The public table and the parser's agree on every name: each setting can be set, and says its default. */
static void every_setting_is_read(void **state)
{
	char variable[128];
	struct config c;
	unsigned i;

	(void)state;
	for (i = 0; i < config_n_settings; i++) {
		const struct setting *s = &config_settings[i];
		const char *value = strcmp(s->type, "BOOL") == 0 ? "true" :
				    strcmp(s->type, "STRING") == 0 || strcmp(s->type, "LIST") == 0 ? "x" : "1000";

		snprintf(variable, sizeof(variable), "%s=%s", s->name, value);
		READ(&c, variable, NULL);
		assert_int_equal(c.given, 1ull << i);
		assert_true(s->help[0] != '\0');
		assert_non_null(s->def);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_set_is_the_table),        cmocka_unit_test(texts_are_copies),
		cmocka_unit_test(empty_is_unset_and_the_first_counts), cmocka_unit_test(booleans),
		cmocka_unit_test(numbers),                         cmocka_unit_test(the_log_level_has_a_second_name),
		cmocka_unit_test(lists),                           cmocka_unit_test(choices_ignore_case),
		cmocka_unit_test(every_setting_is_read),
	};

	return cmocka_run_group_tests(tests, set_deadline, NULL);
}
