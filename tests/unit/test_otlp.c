/* SPDX-License-Identifier: Apache-2.0 */
/* Records to OTLP protobuf, read back with the code that protoc-c generates from export/otlp.proto. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "export/otlp.h"
#include "otlp.pb-c.h"

typedef Interspan__Otlp__ExportTraceServiceRequest Request;
typedef Interspan__Otlp__Span Span;
typedef Interspan__Otlp__KeyValue KeyValue;

static const uint8_t trace_id[16] = {0x5b, 0x8e, 0xff, 0xf7, 0x98, 0x03, 0x81, 0x03,
				     0xd2, 0x69, 0xb6, 0x33, 0x81, 0x3f, 0xc6, 0x0c};
static const uint8_t span_id[8] = {0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74};
static const uint8_t parent_id[8] = {0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x73};

static _Alignas(8) uint8_t memory[RECORD_MAX_BYTES];
static struct record_builder builder;
static struct span view;
static struct resource resource;
static struct span_options options;
static struct buffer out;
static Request *request;

static struct record *begin(void)
{
	record_begin(&builder, memory, sizeof(memory));
	memcpy(builder.record->trace_id, trace_id, sizeof(trace_id));
	memcpy(builder.record->span_id, span_id, sizeof(span_id));
	builder.record->kind = SPAN_CLIENT;
	builder.record->flags = TRACE_FLAG_SAMPLED;
	builder.record->start_ns = 1000;
	builder.record->end_ns = 2000;
	return builder.record;
}

static void name(const char *text)
{
	record_add(&builder, ITEM_NAME, 0, text, strlen(text));
}

static int setup(void **state)
{
	(void)state;
	out = BUFFER(1 << 20);
	options = (struct span_options){0};
	resource_read(&resource, NULL, 0, &(struct process_identity){0}, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (request)
		interspan__otlp__export_trace_service_request__free_unpacked(request, NULL);
	request = NULL;
	buffer_free(&out);
	return 0;
}

/* Finish the record, encode it alone, decode the request. */
static Span *encode(void)
{
	static const struct otlp_scope scope = {"interspan", "1", OTLP_SCHEMA_URL};
	struct otlp_group group;

	record_finish(&builder);
	assert_true(record_valid(builder.record, builder.record->size));
	assert_true(span_read(&view, builder.record, &options));
	group = otlp_begin(&out, &resource, &scope);
	otlp_add(&out, &view);
	otlp_end(&out, group);
	assert_false(out.full);
	request = interspan__otlp__export_trace_service_request__unpack(NULL, out.len, out.data);
	assert_non_null(request);
	assert_int_equal(request->n_resource_spans, 1);
	assert_int_equal(request->resource_spans[0]->n_scope_spans, 1);
	assert_int_equal(request->resource_spans[0]->scope_spans[0]->n_spans, 1);
	return request->resource_spans[0]->scope_spans[0]->spans[0];
}

static const KeyValue *find(KeyValue *const *list, size_t n, const char *key)
{
	const KeyValue *found = NULL;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(list[i]->key, key) != 0)
			continue;
		assert_null(found); /* keys are unique */
		found = list[i];
	}
	return found;
}

static const char *string_of(const Span *span, const char *key)
{
	const KeyValue *kv = find(span->attributes, span->n_attributes, key);

	assert_non_null(kv);
	assert_int_equal(kv->value->value_case, INTERSPAN__OTLP__ANY_VALUE__VALUE_STRING_VALUE);
	return kv->value->string_value;
}

static void test_golden(void **state)
{
	static const char golden[] =
	    "0ab6010a180a160a0c736572766963652e6e616d6512060a0464656d6f1299010a0b0a047368696d1203302e31"
	    "1289010a105b8efff798038103d269b633813fc60c1208eee19b7ec3c1b1742208eee19b7ec3c1b1732a034745"
	    "54300339004859e3faeb6f15410012f41efbeb6f154a1c0a13687474702e726571756573742e6d6574686f6412"
	    "050a034745544a200a19687474702e726573706f6e73652e7374617475735f636f6465120318f4037a02180285"
	    "0103010000";
	static const struct otlp_scope scope = {"shim", "0.1", ""};
	struct record *r = begin();
	struct otlp_group group;
	char hex[2 * 185 + 1];
	uint8_t items[64];
	uint32_t len = 0;

	(void)state;
	memcpy(r->parent_id, parent_id, sizeof(parent_id));
	r->parent_remote = 1;
	r->flags = TRACE_FLAG_SAMPLED | TRACE_FLAG_RANDOM;
	r->parent_remote = 0;
	r->status = STATUS_ERROR;
	r->start_ns = 0;
	r->end_ns = 1000000000;
	options.unix_offset_ns = 1544712660000000000;
	record_add_string(&builder, ATTR_HTTP_REQUEST_METHOD, "GET", 3);
	record_add_int(&builder, ATTR_HTTP_RESPONSE_STATUS_CODE, 500);
	name("GET");
	record_finish(&builder);
	assert_true(items_append(items, sizeof(items), &len,
				 (struct record_item){ITEM_STRING, ATTR_SERVICE_NAME, 4}, "demo", 4, NULL, 0));
	resource_read(&resource, items, len, &(struct process_identity){0}, 0);
	assert_true(span_read(&view, r, &options));
	group = otlp_begin(&out, &resource, &scope);
	otlp_add(&out, &view);
	otlp_end(&out, group);
	assert_int_equal(out.len, 185);
	for (size_t i = 0; i < out.len; i++)
		snprintf(hex + 2 * i, 3, "%02x", out.data[i]);
	assert_string_equal(hex, golden);
}

static void test_root_has_no_parent_and_no_remote_flag(void **state)
{
	const Span *span;

	(void)state;
	begin()->parent_remote = 1;
	name("GET");
	span = encode();
	assert_int_equal(span->parent_span_id.len, 0);
	assert_int_equal(span->flags, 0x101);
	assert_string_equal(request->resource_spans[0]->schema_url, OTLP_SCHEMA_URL);
	assert_string_equal(request->resource_spans[0]->scope_spans[0]->schema_url, OTLP_SCHEMA_URL);
	assert_string_equal(request->resource_spans[0]->scope_spans[0]->scope->name, "interspan");
}

static void test_flags_of_children(void **state)
{
	static const struct {
		uint8_t w3c, remote;
		uint32_t otlp;
	} cases[] = {{0x01, 0, 0x101}, {0x01, 1, 0x301}, {0x03, 1, 0x303}, {0xff, 0, 0x103}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct record *r = begin();

		memcpy(r->parent_id, parent_id, sizeof(parent_id));
		r->flags = cases[i].w3c;
		r->parent_remote = cases[i].remote;
		assert_int_equal(encode()->flags, cases[i].otlp);
		teardown(state);
		setup(state);
	}
}

static void test_zero_ids_make_no_span(void **state)
{
	(void)state;
	memset(begin()->trace_id, 0, 16);
	record_finish(&builder);
	assert_false(span_read(&view, builder.record, &options));
	memset(begin()->span_id, 0, 8);
	record_finish(&builder);
	assert_false(span_read(&view, builder.record, &options));
}

static void test_empty_name_and_times_are_mended(void **state)
{
	struct record *r = begin();
	const Span *span;

	(void)state;
	r->start_ns = 5000;
	r->end_ns = 10;
	options.unix_offset_ns = 1000000;
	span = encode();
	assert_true(span->name[0]);
	assert_int_equal(span->kind, INTERSPAN__OTLP__SPAN_KIND__SPAN_KIND_CLIENT);
	assert_null(span->status);
	assert_int_equal(span->start_time_unix_nano, 1005000);
	assert_int_equal(span->end_time_unix_nano, 1005000);
}

static void test_times_that_overflow_stay_in_order(void **state)
{
	struct record *r = begin();
	const Span *span;

	(void)state;
	r->start_ns = UINT64_MAX - 10;
	r->end_ns = UINT64_MAX;
	options.unix_offset_ns = 5;
	span = encode();
	assert_true(span->end_time_unix_nano >= span->start_time_unix_nano);
}

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

static void test_status_message_only_with_error(void **state)
{
	const Span *span;

	(void)state;
	begin()->status = STATUS_OK;
	record_add(&builder, ITEM_STATUS_TEXT, 0, "no", 2);
	span = encode();
	assert_int_equal(span->status->code, INTERSPAN__OTLP__STATUS_CODE__STATUS_CODE_OK);
	assert_string_equal(span->status->message, "");
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

static void test_events_have_their_own_attributes(void **state)
{
	uint8_t event[8 + 5];
	uint64_t ns = 1500;
	const Span *span;

	(void)state;
	begin();
	memcpy(event, &ns, 8);
	memcpy(event + 8, "first", 5);
	record_add(&builder, ITEM_EVENT, 0, event, sizeof(event));
	record_add_string(&builder, ATTR_URL_PATH, "/event", 6);
	memcpy(event + 8, "other", 5);
	record_add(&builder, ITEM_EVENT, 0, event, sizeof(event));
	record_add_int(&builder, ATTR_SERVER_PORT, 1);
	record_add(&builder, ITEM_EVENT_END, 0, "", 0);
	record_add_string(&builder, ATTR_URL_PATH, "/span", 5);
	span = encode();
	assert_int_equal(span->n_events, 2);
	assert_string_equal(span->events[0]->name, "first");
	assert_int_equal(span->events[0]->time_unix_nano, 1500);
	assert_int_equal(span->events[0]->n_attributes, 1);
	assert_string_equal(span->events[0]->attributes[0]->value->string_value, "/event");
	assert_string_equal(span->events[1]->attributes[0]->key, "server.port");
	assert_int_equal(span->n_attributes, 1);
	assert_string_equal(string_of(span, "url.path"), "/span");
}

static void test_links(void **state)
{
	struct record_link link = {.flags = 0x03, .remote = 1}, zero = {0};
	const Span *span;

	(void)state;
	begin();
	memcpy(link.trace_id, trace_id, 16);
	memcpy(link.span_id, parent_id, 8);
	record_add(&builder, ITEM_LINK, 0, &link, sizeof(link));
	record_add(&builder, ITEM_LINK, 0, &zero, sizeof(zero));
	span = encode();
	assert_int_equal(span->n_links, 1);
	assert_int_equal(span->dropped_links_count, 1);
	assert_int_equal(span->links[0]->flags, 0x303);
	assert_memory_equal(span->links[0]->trace_id.data, trace_id, 16);
	assert_memory_equal(span->links[0]->span_id.data, parent_id, 8);
}

static void test_evidence(void **state)
{
	static const char *const names[] = {"root",	"remote", "stamp",  "runtime", "work_item",
					    "stimulus", "thread", "opener", "content", "ambiguous"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		setup(state);
		begin()->evidence = (uint8_t)i;
		options.evidence = true;
		assert_string_equal(string_of(encode(), "interspan.parent.evidence"), names[i]);
		teardown(state);
	}
	setup(state);
	begin();
	assert_int_equal(encode()->n_attributes, 0);
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
	items_append(items, sizeof(items), &len, (struct record_item){ITEM_NAMED, 0, 10}, "\3dep", 4, "prod\xff\xff", 6);
	items_append(items, sizeof(items), &len, (struct record_item){ITEM_INT, ATTR_PROCESS_PID, 8}, "\1\0\0\0\0\0\0", 8,
		     NULL, 0);
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

static void test_a_full_buffer_says_so(void **state)
{
	static const struct otlp_scope scope = {"s", "1", ""};
	struct otlp_group group;

	(void)state;
	begin();
	name("a name that does not fit into forty bytes of room");
	record_finish(&builder);
	assert_true(span_read(&view, builder.record, &options));
	out.limit = 40;
	group = otlp_begin(&out, &resource, &scope);
	otlp_add(&out, &view);
	otlp_end(&out, group);
	assert_true(out.full);
	assert_true(out.len <= 40);
}

static void test_answers(void **state)
{
	static const uint8_t partial[] = {0x0a, 0x08, 0x08, 0x03, 0x12, 0x04, 'o', 'o', 'p', 's'};
	static const uint8_t status[] = {0x08, 0x03, 0x12, 0x08, 'b', 'a', 'd', ' ', 'd', 'a', 't', 'a'};
	struct otlp_answer answer;

	(void)state;
	otlp_read_answer(&answer, partial, sizeof(partial), OTLP_ANSWER_SUCCESS);
	assert_int_equal(answer.rejected, 3);
	assert_string_equal(answer.message, "oops");
	otlp_read_answer(&answer, status, sizeof(status), OTLP_ANSWER_FAILURE);
	assert_string_equal(answer.message, "bad data");
	otlp_read_answer(&answer, NULL, 0, OTLP_ANSWER_SUCCESS);
	assert_int_equal(answer.rejected, 0);
	assert_string_equal(answer.message, "");
	otlp_read_answer(&answer, (const uint8_t *)"<p>\x1b[1m no\r\n\nway \xff", 18, OTLP_ANSWER_TEXT);
	assert_string_equal(answer.message, "<p> [1m no way");
	otlp_read_answer(&answer, (const uint8_t *)"<html>", 6, OTLP_ANSWER_SUCCESS);
	assert_int_equal(answer.rejected, 0);
	otlp_read_answer(&answer, (const uint8_t *)"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 13,
			 OTLP_ANSWER_SUCCESS);
	assert_int_equal(answer.rejected, 0); /* a negative count */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_golden),
	    TEST(test_root_has_no_parent_and_no_remote_flag),
	    TEST(test_flags_of_children),
	    TEST(test_zero_ids_make_no_span),
	    TEST(test_empty_name_and_times_are_mended),
	    TEST(test_times_that_overflow_stay_in_order),
	    TEST(test_every_text_is_utf8),
	    TEST(test_surrogates_and_overlong_forms_are_replaced),
	    TEST(test_status_message_only_with_error),
	    TEST(test_named_items_of_one_key_become_an_array),
	    TEST(test_keys_are_unique_and_the_last_value_wins),
	    TEST(test_string_arrays_of_the_table),
	    TEST(test_zero_values_are_written),
	    TEST(test_bad_attributes_are_dropped_and_counted),
	    TEST(test_too_many_attributes_are_counted),
	    TEST(test_events_have_their_own_attributes),
	    TEST(test_links),
	    TEST(test_evidence),
	    TEST(test_lengths_of_every_size),
	    TEST(test_resource_of_a_process),
	    TEST(test_a_full_buffer_says_so),
	    TEST(test_answers),
	};

	return cmocka_run_group_tests_name("otlp", tests, NULL, NULL);
}
