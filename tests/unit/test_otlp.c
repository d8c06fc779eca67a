/* SPDX-License-Identifier: Apache-2.0 */
/* Records to OTLP protobuf: the parts of a span, and what receivers answer. */
#include "tests/unit/otlp_fixture.h"

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

/* Without symbols they are numbers; a text limit holds for them, too. */
static void test_stacks_are_texts(void **state)
{
	const uint64_t stack[] = {0x10, 0x2f};
	const Span *span;

	(void)state;
	begin();
	options.text_limit = -1;
	record_add_stack(&builder, ATTR_CODE_STACKTRACE, stack, 2);
	span = encode();
	assert_string_equal(string_of(span, "code.stacktrace"), "0x10\n0x2f");
}

static void test_stacks_have_the_limit_of_texts(void **state)
{
	const uint64_t stack[] = {0x10, 0x2f};

	(void)state;
	begin();
	options.text_limit = 8;
	record_add_stack(&builder, ATTR_CODE_STACKTRACE, stack, 2);
	assert_string_equal(string_of(encode(), "code.stacktrace"), "0x10");
}

static void test_what_writers_dropped_is_counted(void **state)
{
	uint8_t event[8 + 1] = {0};
	const Span *span;

	(void)state;
	begin();
	event[8] = 'e';
	record_add(&builder, ITEM_EVENT, 0, event, sizeof(event));
	record_add_dropped(&builder, 2);
	record_add(&builder, ITEM_EVENT_END, 0, "", 0);
	record_add_dropped(&builder, 3);
	span = encode();
	assert_int_equal(span->events[0]->dropped_attributes_count, 2);
	assert_int_equal(span->dropped_events_count, 3);
	assert_int_equal(span->dropped_attributes_count, 0);
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
	    TEST(test_status_message_only_with_error),
	    TEST(test_events_have_their_own_attributes), TEST(test_stacks_are_texts),
	    TEST(test_stacks_have_the_limit_of_texts), TEST(test_what_writers_dropped_is_counted),
	    TEST(test_links),
	    TEST(test_evidence),
	    TEST(test_a_full_buffer_says_so),
	    TEST(test_answers),
	};

	return cmocka_run_group_tests_name("otlp", tests, NULL, NULL);
}
