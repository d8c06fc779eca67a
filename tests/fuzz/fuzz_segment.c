/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arbitrary bytes as a segment: the consumer may lose what is in it, but it must end, and whatever it hands out must be
 * well-formed, and can be read as a span, events and stacks included. The input is laid over the parts that matter; the rest is a valid segment, so that the interesting
 * checks are reached.
 */
#include <stdlib.h>
#include <string.h>

#include "export/consumer.h"
#include "export/span.h"

#define SHARDS 2
#define SHARD_BYTES SEGMENT_PAGE

static _Alignas(64) uint8_t memory[SEGMENT_RINGS_OFFSET + SHARDS * SHARD_BYTES];
static _Alignas(8) uint8_t room[RECORD_MAX_BYTES * 2];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The next bytes of the input, as far as it goes. */
static void lay(void *to, size_t len, const uint8_t **data, size_t *size)
{
	if (len > *size)
		len = *size;
	memcpy(to, *data, len);
	*data += len;
	*size -= len;
}

static void build(const uint8_t *data, size_t size)
{
	struct segment_header *header = (struct segment_header *)(void *)memory;
	uint8_t flags = size != 0 ? data[0] : 0;
	unsigned i;

	memset(memory, 0, sizeof(memory));
	memcpy(header->magic, SEGMENT_MAGIC, 8);
	header->version = SEGMENT_VERSION;
	header->n_shards = SHARDS;
	header->shard_bytes = SHARD_BYTES;
	if (flags & 1)
		lay(&header->version, 40, &data, &size);
	lay(&header->resource_len, 64, &data, &size);
	lay(&header->processes[0], 64, &data, &size);
	for (i = 0; i < SHARDS; i++) {
		lay(&header->shards[i].owner, 16, &data, &size);
		lay(&header->shards[i].head, 8, &data, &size);
		lay(&header->shards[i].tail, 8, &data, &size);
		if (flags & 2) {
			atomic_store(&header->shards[i].head, atomic_load(&header->shards[i].head) % (2 * SHARD_BYTES) & ~7u);
			atomic_store(&header->shards[i].tail, 0);
		}
	}
	lay(memory + SEGMENT_RINGS_OFFSET, SHARDS * SHARD_BYTES, &data, &size);
}

static struct span view;
static const struct span_options options = {.text_limit = -1};

static void walk(const struct consumer_batch *batch)
{
	const uint8_t *at;

	for (at = batch->bytes; at < batch->bytes + batch->len; at += ((const struct record *)(const void *)at)->size) {
		const struct record *r = (const struct record *)(const void *)at;
		struct record_item item;
		const uint8_t *payload;
		uint32_t cursor = 0;

		if (!record_valid(r, (size_t)(batch->bytes + batch->len - at)))
			abort();
		while (record_next(r, &cursor, &item, &payload))
			if (item.len != 0)
				__asm__ volatile("" : : "r"(payload[item.len - 1]));
		if (span_read(&view, r, &options) && view.stack_used > sizeof(view.stacks))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct consumer_batch batch = {.bytes = room, .cap = sizeof(room)};
	struct consumer_process process;
	uint8_t items[SEGMENT_RESOURCE_BYTES];
	uint64_t totals[STAT_N];
	struct consumer c;
	unsigned rounds = 0;

	build(data, size);
	if (consumer_attach(&c, memory, sizeof(memory)) != 0)
		return 0;
	if (consumer_claim(&c) != 0)
		abort();
	while (consumer_take(&c, &batch, 16) != 0) {
		walk(&batch);
		if (rounds % 3 == 2)
			consumer_rewind(&c);
		else
			consumer_release(&c, &batch);
		/* Each round but every third frees something of two pages. */
		if (rounds++ > 1000)
			abort();
	}
	consumer_wait(&c, WAIT_RECORD, 0, NULL);
	consumer_resource(&c, items, sizeof(items));
	consumer_process(&c, 0, &process);
	consumer_totals(&c, totals);
	consumer_resign(&c);
	return 0;
}
