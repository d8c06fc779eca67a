/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of the attributes of records and resources. */
#include "tests/unit/otlp_fixture.h"

static void test_every_text_is_utf8(void **state)
{
	static const char bad[] = "a\xff\xc0\x80" "b\xe2\x82" "c\xf0\x9f\x98\x80";
	static const char mended[] = "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" "b\xef\xbf\xbd" "c\xf0\x9f\x98\x80";
	const Span *span;

	(void)state;
	begin()->status = STATUS_ERROR;
	name(bad);
	record_add(&builder, ITEM_TRACESTATE, 0, bad, sizeof(bad) - 1);
	record_add(&builder, ITEM_STATUS_TEXT, 0, bad, sizeof(bad) - 1);
	record_add_string(&builder, ATTR_URL_PATH, bad, sizeof(bad) - 1);
	span = encode();
	assert_string_equal(span->name, mended);
	assert_string_equal(span->trace_state, mended);
	assert_string_equal(span->status->message, mended);
	assert_string_equal(string_of(span, "url.path"), mended);
}

static void test_surrogates_and_overlong_forms_are_replaced(void **state)
{
	/* Each ill-formed byte is one maximal subpart here. */
	static const char bad[] = "\xed\xa0\x80\xf4\x90\x80\x80\xe0\x80\x80\xf5";
	const char *text;

	(void)state;
	begin();
	record_add_string(&builder, ATTR_URL_PATH, bad, sizeof(bad) - 1);
	text = string_of(encode(), "url.path");
	assert_int_equal(strlen(text), 3 * (sizeof(bad) - 1));
	for (size_t i = 0; i < strlen(text); i += 3)
		assert_memory_equal(text + i, "\xef\xbf\xbd", 3);
}

static void test_named_items_of_one_key_become_an_array(void **state)
{
	const KeyValue *kv;
	const Span *span;

	(void)state;
	begin();
	record_add_named(&builder, "http.request.header.x", 21, "1", 1);
	record_add_named(&builder, "http.request.header.y", 21, "", 0);
	record_add_named(&builder, "http.request.header.x", 21, "2\xfe", 2);
	span = encode();
	assert_int_equal(span->n_attributes, 2);
	kv = find(span->attributes, span->n_attributes, "http.request.header.x");
	assert_int_equal(kv->value->value_case, INTERSPAN__OTLP__ANY_VALUE__VALUE_ARRAY_VALUE);
	assert_int_equal(kv->value->array_value->n_values, 2);
	assert_string_equal(kv->value->array_value->values[0]->string_value, "1");
	assert_string_equal(kv->value->array_value->values[1]->string_value, "2\xef\xbf\xbd");
	kv = find(span->attributes, span->n_attributes, "http.request.header.y");
	assert_int_equal(kv->value->array_value->n_values, 1);
}

static void test_keys_are_unique_and_the_last_value_wins(void **state)
{
	const Span *span;

	(void)state;
	begin();
	record_add_string(&builder, ATTR_URL_PATH, "/a", 2);
	record_add_string(&builder, ATTR_URL_PATH, "/b", 2);
	record_add_named(&builder, "url.path", 8, "/c", 2);
	record_add_named(&builder, "server.port", 11, "named first", 11);
	record_add_int(&builder, ATTR_SERVER_PORT, 80);
	span = encode();
	assert_string_equal(string_of(span, "url.path"), "/b");
	assert_int_equal(find(span->attributes, span->n_attributes, "server.port")->value->int_value, 80);
	assert_int_equal(span->dropped_attributes_count, 1);
}

static void test_string_arrays_of_the_table(void **state)
{
	const KeyValue *kv;
	const Span *span;

	(void)state;
	begin();
	record_add_string(&builder, ATTR_DNS_ANSWERS, "10.0.0.1", 8);
	record_add_string(&builder, ATTR_DNS_ANSWERS, "::1", 3);
	span = encode();
	kv = find(span->attributes, span->n_attributes, "dns.answers");
	assert_int_equal(kv->value->array_value->n_values, 2);
	assert_string_equal(kv->value->array_value->values[1]->string_value, "::1");
}

static void test_zero_values_are_written(void **state)
{
	const KeyValue *kv;
	const Span *span;

	(void)state;
	begin();
	record_add_int(&builder, ATTR_HTTP_REQUEST_BODY_SIZE, 0);
	record_add_int(&builder, ATTR_HTTP_RESPONSE_BODY_SIZE, -1);
	record_add_bool(&builder, ATTR_INTERSPAN_DETACHED, false);
	record_add_string(&builder, ATTR_URL_QUERY, "", 0);
	span = encode();
	kv = find(span->attributes, span->n_attributes, "http.request.body.size");
	assert_int_equal(kv->value->value_case, INTERSPAN__OTLP__ANY_VALUE__VALUE_INT_VALUE);
	assert_int_equal(kv->value->int_value, 0);
	kv = find(span->attributes, span->n_attributes, "http.response.body.size");
	assert_true(kv->value->int_value == -1);
	kv = find(span->attributes, span->n_attributes, "interspan.detached");
	assert_int_equal(kv->value->value_case, INTERSPAN__OTLP__ANY_VALUE__VALUE_BOOL_VALUE);
	assert_string_equal(string_of(span, "url.query"), "");
}

static void test_bad_attributes_are_dropped_and_counted(void **state)
{
	const Span *span;

	(void)state;
	begin()->dropped_attrs = 3;
	record_add(&builder, ITEM_STRING, ATTR_SERVER_PORT, "80", 2);
	record_add_named(&builder, "\xff", 1, "key is not UTF-8", 16);
	record_add_string(&builder, ATTR_URL_PATH, "/", 1);
	span = encode();
	assert_int_equal(span->n_attributes, 1);
	assert_int_equal(span->dropped_attributes_count, 3 + 2);
}

static void test_too_many_attributes_are_counted(void **state)
{
	char key[8];
	const Span *span;
	int added = 0;

	(void)state;
	for (begin(); added < ATTRIBUTES_MAX + 10; added++) {
		snprintf(key, sizeof(key), "k%d", added);
		record_add_named(&builder, key, strlen(key), "", 0);
	}
	span = encode();
	assert_int_equal(span->n_attributes, ATTRIBUTES_MAX);
	assert_int_equal(span->dropped_attributes_count, 10);
}

static void test_lengths_of_every_size(void **state)
{
	static char text[7000];

	memset(text, 0xff, sizeof(text)); /* grows threefold: more than two bytes of length */
	for (size_t len = 0; len <= sizeof(text); len += len < 300 ? 1 : 1675) {
		setup(state);
		begin();
		record_add_string(&builder, ATTR_URL_PATH, text, len);
		assert_int_equal(strlen(string_of(encode(), "url.path")), 3 * len);
		teardown(state);
	}
}

static void test_resource_of_a_process(void **state)
{
	struct process_identity process = {.pid = 42, .parent_pid = 7, .start_time = 12345};
	uint8_t items[256];
	uint32_t len = 0;
	KeyValue **list;
	size_t n;

	(void)state;
	memset(process.instance_id, 0xab, 16);
	items_append(items, sizeof(items), &len, (struct record_item){ITEM_NAMED, 0, 10}, "\3dep", 4, "prod\xff\xff",
		     6);
	items_append(items, sizeof(items), &len, (struct record_item){ITEM_INT, ATTR_PROCESS_PID, 8},
		     "\1\0\0\0\0\0\0", 8, NULL, 0);
	resource_read(&resource, items, len, &process, 1700000000);
	begin();
	encode();
	list = request->resource_spans[0]->resource->attributes;
	n = request->resource_spans[0]->resource->n_attributes;
	assert_string_equal(find(list, n, "dep")->value->string_value, "prod\xef\xbf\xbd\xef\xbf\xbd");
	assert_int_equal(find(list, n, "process.pid")->value->int_value, 42);
	assert_int_equal(find(list, n, "process.parent_pid")->value->int_value, 7);
	assert_string_equal(find(list, n, "service.instance.id")->value->string_value,
			    "abababab-abab-abab-abab-abababababab");
	/* 123.45 s after boot at the usual 100 ticks a second. */
	assert_string_equal(find(list, n, "process.creation.time")->value->string_value, "2023-11-14T22:15:23.450Z");
	assert_string_equal(find(list, n, "service.name")->value->string_value, "unknown_service");
}

static void test_the_user_s_instance_id_wins(void **state)
{
	struct process_identity process = {.pid = 42};
	uint8_t items[64];
	uint32_t len = 0;

	(void)state;
	memset(process.instance_id, 0xab, 16);
	items_append(items, sizeof(items), &len, (struct record_item){ITEM_STRING, ATTR_SERVICE_INSTANCE_ID, 3}, "own",
		     3, NULL, 0);
	resource_read(&resource, items, len, &process, 0);
	begin();
	encode();
	assert_string_equal(find(request->resource_spans[0]->resource->attributes,
				 request->resource_spans[0]->resource->n_attributes, "service.instance.id")
				->value->string_value,
			    "own");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_every_text_is_utf8),
	    TEST(test_surrogates_and_overlong_forms_are_replaced),
	    TEST(test_named_items_of_one_key_become_an_array),
	    TEST(test_keys_are_unique_and_the_last_value_wins),
	    TEST(test_string_arrays_of_the_table),
	    TEST(test_zero_values_are_written),
	    TEST(test_bad_attributes_are_dropped_and_counted),
	    TEST(test_too_many_attributes_are_counted),
	    TEST(test_lengths_of_every_size),
	    TEST(test_resource_of_a_process),
	    TEST(test_the_user_s_instance_id_wins),
	};

	return cmocka_run_group_tests_name("attributes", tests, NULL, NULL);
}
