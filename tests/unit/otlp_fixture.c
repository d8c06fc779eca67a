/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/otlp_fixture.h"

const uint8_t trace_id[16] = {0x5b, 0x8e, 0xff, 0xf7, 0x98, 0x03, 0x81, 0x03,
				     0xd2, 0x69, 0xb6, 0x33, 0x81, 0x3f, 0xc6, 0x0c};
const uint8_t span_id[8] = {0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74};
const uint8_t parent_id[8] = {0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x73};

static _Alignas(8) uint8_t memory[RECORD_MAX_BYTES];
struct record_builder builder;
struct span view;
struct resource resource;
struct span_options options;
struct buffer out;
Request *request;

struct record *begin(void)
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

void name(const char *text)
{
	record_add(&builder, ITEM_NAME, 0, text, strlen(text));
}

int setup(void **state)
{
	(void)state;
	out = BUFFER(1 << 20);
	options = (struct span_options){0};
	resource_read(&resource, NULL, 0, &(struct process_identity){0}, 0);
	return 0;
}

int teardown(void **state)
{
	(void)state;
	if (request)
		interspan__otlp__export_trace_service_request__free_unpacked(request, NULL);
	request = NULL;
	buffer_free(&out);
	return 0;
}

Span *encode(void)
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

const KeyValue *find(KeyValue *const *list, size_t n, const char *key)
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

const char *string_of(const Span *span, const char *key)
{
	const KeyValue *kv = find(span->attributes, span->n_attributes, key);

	assert_non_null(kv);
	assert_int_equal(kv->value->value_case, INTERSPAN__OTLP__ANY_VALUE__VALUE_STRING_VALUE);
	return kv->value->string_value;
}
