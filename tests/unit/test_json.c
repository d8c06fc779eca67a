/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "export/json.h"

static _Alignas(8) uint8_t memory[RECORD_MAX_BYTES];
static struct record_builder builder;
static struct span view;
static struct resource resource;
static struct buffer out;

static int setup(void **state)
{
	(void)state;
	out = BUFFER(1 << 20);
	record_begin(&builder, memory, sizeof(memory));
	memset(builder.record->trace_id, 0x11, 16);
	memset(builder.record->span_id, 0x22, 8);
	builder.record->kind = SPAN_SERVER;
	builder.record->flags = 1;
	resource_read(&resource, NULL, 0, &(struct process_identity){0}, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buffer_free(&out);
	return 0;
}

static const char *write_json(const char *scope_name, const char *version, const char *schema, int64_t offset)
{
	struct otlp_scope scope = {scope_name, version, schema};
	struct json_state json;

	record_finish(&builder);
	assert_true(record_valid(builder.record, builder.record->size));
	assert_true(span_read(&view, builder.record, &(struct span_options){.unix_offset_ns = offset}));
	json_begin(&out, &json, &scope);
	json_group_begin(&out, &json, &resource);
	json_add(&out, &json, &view);
	json_group_end(&out, &json);
	json_end(&out);
	buffer_put(&out, "", 1);
	assert_false(out.full);
	return (const char *)out.data;
}

static void test_golden(void **state)
{
	static const char golden[] =
	    "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValu"
	    "e\":\"demo\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"shim\",\"version\":\"0.1\"},\"spans\":[{\"tr"
	    "aceId\":\"5b8efff798038103d269b633813fc60c\",\"spanId\":\"eee19b7ec3c1b174\",\"parentSpanId\":\"eee1"
	    "9b7ec3c1b173\",\"flags\":259,\"name\":\"GET\",\"kind\":3,\"startTimeUnixNano\":\"1544712660000000000"
	    "\",\"endTimeUnixNano\":\"1544712661000000000\",\"attributes\":[{\"key\":\"http.request.method\",\"va"
	    "lue\":{\"stringValue\":\"GET\"}},{\"key\":\"http.response.status_code\",\"value\":{\"intValue\":\"50"
	    "0\"}}],\"status\":{\"code\":2}}]}]}]}\n";
	struct record *r = builder.record;
	uint8_t items[64];
	uint32_t len = 0;

	(void)state;
	memcpy(r->trace_id, "\x5b\x8e\xff\xf7\x98\x03\x81\x03\xd2\x69\xb6\x33\x81\x3f\xc6\x0c", 16);
	memcpy(r->span_id, "\xee\xe1\x9b\x7e\xc3\xc1\xb1\x74", 8);
	memcpy(r->parent_id, "\xee\xe1\x9b\x7e\xc3\xc1\xb1\x73", 8);
	r->kind = SPAN_CLIENT;
	r->flags = 3;
	r->status = STATUS_ERROR;
	r->end_ns = 1000000000;
	record_add(&builder, ITEM_NAME, 0, "GET", 3);
	record_add_string(&builder, ATTR_HTTP_REQUEST_METHOD, "GET", 3);
	record_add_int(&builder, ATTR_HTTP_RESPONSE_STATUS_CODE, 500);
	items_append(items, sizeof(items), &len, (struct record_item){ITEM_STRING, ATTR_SERVICE_NAME, 4}, "demo", 4,
		     NULL, 0);
	resource_read(&resource, items, len, &(struct process_identity){0}, 0);
	assert_string_equal(write_json("shim", "0.1", "", 1544712660000000000), golden);
}

static void test_root_and_schema(void **state)
{
	const char *json = write_json("s", "1", OTLP_SCHEMA_URL, 0);
	const char *first = strstr(json, "\"schemaUrl\":\"" OTLP_SCHEMA_URL "\"");

	(void)state;
	assert_null(strstr(json, "parentSpanId"));
	assert_null(strstr(json, "\"status\""));
	assert_non_null(first);
	assert_non_null(strstr(first + 1, "\"schemaUrl\""));
}

static void test_texts_are_escaped(void **state)
{
	static const char raw[] = "a\"b\\c\n\t\x01\x7f\0\xc3\xa9\xff";
	const char *json;

	(void)state;
	record_add_string(&builder, ATTR_URL_PATH, raw, sizeof(raw) - 1);
	json = write_json("s", "1", "", 0);
	assert_non_null(strstr(json, "\"a\\\"b\\\\c\\n\\t\\u0001\\u007f\\u0000\xc3\xa9\xef\xbf\xbd\""));
	assert_ptr_equal(strchr(json, '\n'), json + strlen(json) - 1); /* one line */
}

static void add_double(double value)
{
	record_add(&builder, ITEM_DOUBLE, ATTR_N - 1, &value, sizeof(value));
}

static void test_values(void **state)
{
	const char *json;

	(void)state;
	record_add_int(&builder, ATTR_SERVER_PORT, INT64_MIN);
	record_add_bool(&builder, ATTR_INTERSPAN_DETACHED, true);
	record_add_named(&builder, "http.request.header.a", 21, "1", 1);
	record_add_named(&builder, "http.request.header.a", 21, "2", 1);
	add_double(0.5); /* of another type than its key: left out */
	json = write_json("s", "1", "", 0);
	assert_non_null(strstr(json, "{\"intValue\":\"-9223372036854775808\"}"));
	assert_non_null(strstr(json, "{\"boolValue\":true}"));
	assert_non_null(strstr(json, "{\"arrayValue\":{\"values\":[{\"stringValue\":\"1\"},"
				     "{\"stringValue\":\"2\"}]}}"));
	assert_non_null(strstr(json, "\"droppedAttributesCount\":1"));
}

static void test_events_and_links(void **state)
{
	struct record_link link = {.flags = 1};
	uint64_t ns = 77;
	uint8_t event[9] = {0};
	const char *json;

	(void)state;
	memcpy(event, &ns, 8);
	event[8] = 'e';
	memset(link.trace_id, 0xaa, 16);
	memset(link.span_id, 0xbb, 8);
	record_add(&builder, ITEM_EVENT, 0, event, sizeof(event));
	record_add_int(&builder, ATTR_SERVER_PORT, 1);
	record_add(&builder, ITEM_LINK, 0, &link, sizeof(link));
	record_add(&builder, ITEM_LINK, 0, &link, sizeof(link));
	json = write_json("s", "1", "", 0);
	assert_non_null(strstr(json, "\"events\":[{\"timeUnixNano\":\"77\",\"name\":\"e\",\"attributes\":[{\"key\":"
				     "\"server.port\",\"value\":{\"intValue\":\"1\"}}]}]"));
	assert_non_null(strstr(json, "\"links\":[{\"traceId\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"spanId\":"
				     "\"bbbbbbbbbbbbbbbb\",\"flags\":257},{"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_golden), TEST(test_root_and_schema),  TEST(test_texts_are_escaped),
	    TEST(test_values), TEST(test_events_and_links),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
