/* SPDX-License-Identifier: Apache-2.0 */
#include "export/encode.h"

#include "shim/clock.h"

/* One pass over a batch writes the spans of one process. */
struct pass {
	struct encoder *encoder;
	const struct consumer_batch *batch;
	struct buffer *out;
	struct span_options options;
	struct json_state json;
	uint32_t spans;
	uint32_t invalid;
};

void encoder_begin(struct encoder *encoder, enum encoding encoding, const struct config *settings)
{
	encoder->encoding = encoding;
	encoder->evidence = settings->evidence != 0;
	encoder->text_limit = settings->span_attr_value_length_limit >= 0 ? settings->span_attr_value_length_limit
									   : settings->attr_value_length_limit;
	encoder->boot_unix_s = resource_boot_time();
	encoder->scope = (struct otlp_scope){"interspan", INTERSPAN_VERSION, OTLP_SCHEMA_URL};
}

static const struct record *next(const struct consumer_batch *batch, const struct record *r)
{
	const uint8_t *at = r ? (const uint8_t *)r + r->size : batch->bytes;

	return at < batch->bytes + batch->len ? (const struct record *)(const void *)at : NULL;
}

/* Slots that cannot be are one "process", of which nothing is known. */
static uint32_t slot_of(const struct record *r)
{
	return r->process < SEGMENT_MAX_PROCESSES ? r->process : SEGMENT_MAX_PROCESSES;
}

/* process NULL: one of which nothing is known. */
static void read_resource(struct encoder *encoder, const struct consumer *consumer, const struct consumer_process *process)
{
	struct process_identity identity = {0};
	uint32_t len = consumer_resource(consumer, encoder->shared, sizeof(encoder->shared));

	if (process) {
		identity.pid = process->pid;
		identity.parent_pid = process->parent_pid;
		identity.start_time = process->start_time;
		memcpy(identity.instance_id, process->instance_id, sizeof(identity.instance_id));
	}
	resource_read(&encoder->resource, encoder->shared, len, &identity, encoder->boot_unix_s);
}

static void read_process(struct encoder *encoder, const struct consumer *consumer, uint32_t slot)
{
	struct consumer_process process;
	bool known = consumer_process(consumer, slot, &process);

	symbols_begin(&encoder->symbols, 0, 0);
	/* One that has left may have become another program. */
	if (known && process.stays && !consumer->elsewhere)
		symbols_begin(&encoder->symbols, process.pid, process.start_time);
	read_resource(encoder, consumer, known ? &process : NULL);
}

void encoder_read_creator(struct encoder *encoder, const struct consumer *consumer)
{
	struct consumer_process creator;

	consumer_creator(consumer, &creator);
	read_resource(encoder, consumer, &creator);
}

/* The spans of one process, from record first on. A group is opened only when there is a span for it. */
static void encode_process(struct pass *pass, const struct record *first)
{
	struct encoder *encoder = pass->encoder;
	struct otlp_group group = {0};
	bool json = encoder->encoding == ENCODING_JSON, open = false;

	for (const struct record *r = first; r; r = next(pass->batch, r)) {
		if (slot_of(r) != slot_of(first))
			continue;
		if (!span_read(&encoder->span, r, &pass->options)) {
			pass->invalid++;
			continue;
		}
		if (!open && json)
			json_group_begin(pass->out, &pass->json, &encoder->resource);
		else if (!open)
			group = otlp_begin(pass->out, &encoder->resource, &encoder->scope);
		open = true;
		pass->spans++;
		if (json)
			json_add(pass->out, &pass->json, &encoder->span);
		else
			otlp_add(pass->out, &encoder->span);
	}
	if (open && json)
		json_group_end(pass->out, &pass->json);
	else if (open)
		otlp_end(pass->out, group);
}

uint32_t encode_batch(struct encoder *encoder, const struct consumer *consumer, const struct consumer_batch *batch,
		      struct buffer *out, uint32_t *ret_invalid)
{
	uint64_t done[SEGMENT_MAX_PROCESSES / 64 + 1] = {0};
	struct pass pass = {
	    .encoder = encoder,
	    .batch = batch,
	    .out = out,
	    .options = {.unix_offset_ns = clock_unix_offset_ns(),
			.evidence = encoder->evidence,
			.symbols = &encoder->symbols,
			.text_limit = encoder->text_limit},
	};

	if (encoder->encoding == ENCODING_JSON)
		json_begin(out, &pass.json, &encoder->scope);
	for (const struct record *r = next(batch, NULL); r; r = next(batch, r)) {
		uint32_t slot = slot_of(r);

		if (done[slot / 64] & 1ull << slot % 64)
			continue;
		done[slot / 64] |= 1ull << slot % 64;
		read_process(encoder, consumer, slot);
		encode_process(&pass, r);
	}
	if (encoder->encoding == ENCODING_JSON)
		json_end(out);
	symbols_forget(&encoder->symbols);
	*ret_invalid = pass.invalid;
	return pass.spans;
}
