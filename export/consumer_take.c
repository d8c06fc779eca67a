/* SPDX-License-Identifier: Apache-2.0 */
/* A segment's consumer: copying records out of the shards, freeing them, and cleaning up after writers that were killed. */
#include <string.h>

#include "export/consumer.h"
#include "shim/clock.h"
#include "shim/task.h"

/* A live writer holds a shard for well under a microsecond: one unchanged for this long is worth a look at its owner. */
#define OWNER_STUCK_NS 50000000ull
/* How often the processes of the table are looked for. */
#define PROCESS_CHECK_NS 2000000000ull

enum taken { TAKEN_ONE, TAKEN_SKIPPED, TAKEN_NO_ROOM, TAKEN_BROKEN };

static bool claim_shard(struct segment_shard *shard)
{
	uint64_t expected = 0;
	uint64_t word = (uint64_t)SEGMENT_OWNER_CONSUMER << 32 | (atomic_load(&shard->head) >> 3 & UINT32_MAX);

	return atomic_compare_exchange_strong(&shard->owner, &expected, word);
}

/*
 * In a shard that we have claimed: both positions to the ring's start. tail goes first: if we die in between, tail is
 * ahead of head, which no reader takes for records.
 */
static void restart_shard(struct consumer *c, uint32_t i, uint64_t head)
{
	struct segment_shard *shard = &c->header->shards[i];
	uint64_t start = (head + c->shard_bytes - 1) & ~(c->shard_bytes - 1);

	atomic_store(&shard->tail, start);
	atomic_store(&shard->head, start);
	c->tail[i] = start;
	c->read[i] = start;
}

/* An empty shard begins at its ring's start again, so that at low rates the same few pages are used. */
static void rewind_if_empty(struct consumer *c, uint32_t i)
{
	struct segment_shard *shard = &c->header->shards[i];

	if (atomic_load(&shard->head) != c->tail[i] || (c->tail[i] & (c->shard_bytes - 1)) == 0 || !claim_shard(shard))
		return;
	if (atomic_load(&shard->head) == c->tail[i])
		restart_shard(c, i, c->tail[i]);
	atomic_store_explicit(&shard->owner, 0, memory_order_release);
}

/* head cannot be: give up what the shard holds. Returns how many losses to count. */
static uint32_t repair_shard(struct consumer *c, uint32_t i)
{
	struct segment_shard *shard = &c->header->shards[i];
	uint64_t head, ahead;

	if (!claim_shard(shard))
		return 0; /* later, when its writer is done or found dead */
	head = atomic_load(&shard->head);
	ahead = c->tail[i] - head;
	restart_shard(c, i, head > c->tail[i] ? head : c->tail[i]);
	atomic_store_explicit(&shard->owner, 0, memory_order_release);
	/* A consumer died in restart_shard(): nothing was in it. */
	return ahead < c->shard_bytes && (c->tail[i] & (c->shard_bytes - 1)) == 0 ? 0 : 1;
}

static bool owner_is_dead(const struct consumer *c, uint64_t owner)
{
	uint64_t slot = owner >> 32;
	const struct segment_process *process;

	/* The only consumer is this one, and it is not at it. */
	if (slot == 0 || slot > SEGMENT_MAX_PROCESSES)
		return true;
	process = &c->header->processes[slot - 1];
	return !task_is_alive(atomic_load(&process->pid), atomic_load(&process->start_time));
}

/* Free a shard whose writer was killed while it held it: that one has published nothing. */
static void free_if_stuck(struct consumer *c, uint32_t i, uint64_t now)
{
	struct segment_shard *shard = &c->header->shards[i];
	uint64_t owner = atomic_load(&shard->owner);

	if (owner != c->watch[i].owner) {
		c->watch[i] = (struct consumer_watch){owner, now};
		return;
	}
	if (owner == 0 || now - c->watch[i].since_ns < OWNER_STUCK_NS)
		return;
	/* Alive: look again after another while, and not at every step. */
	c->watch[i].since_ns = now;
	if (owner_is_dead(c, owner))
		atomic_compare_exchange_strong(&shard->owner, &owner, 0);
}

/* The record at c->read[i], where head says that there is one. */
static enum taken take_one(struct consumer *c, uint32_t i, uint64_t head, struct consumer_batch *batch)
{
	uint64_t offset = c->read[i] & (c->shard_bytes - 1);
	uint64_t rest = c->shard_bytes - offset;
	const uint8_t *at = c->rings + i * c->shard_bytes + offset;
	struct record *copy = (struct record *)(void *)(batch->bytes + batch->len);
	struct record peek;

	memcpy(&peek, at, sizeof(uint64_t));
	if (peek.size > head - c->read[i] || peek.size > rest || peek.size % 8 != 0)
		return TAKEN_BROKEN;
	if (peek.version == 0 && peek.size == rest) {
		c->read[i] += rest;
		return TAKEN_SKIPPED;
	}
	if (peek.size < sizeof(peek) || peek.size > RECORD_MAX_BYTES)
		return TAKEN_BROKEN;
	if (batch->cap - batch->len < peek.size)
		return TAKEN_NO_ROOM;
	memcpy(copy, at, peek.size);
	c->read[i] += peek.size;
	if (copy->size != peek.size || !record_valid(copy, peek.size)) {
		batch->invalid++;
		return TAKEN_SKIPPED;
	}
	batch->len += peek.size;
	batch->n++;
	return TAKEN_ONE;
}

/* Returns false when the batch has no room for more. */
static bool take_shard(struct consumer *c, uint32_t i, struct consumer_batch *batch, uint32_t max_records)
{
	uint64_t head = atomic_load_explicit(&c->header->shards[i].head, memory_order_acquire);

	if (head % 8 != 0 || head - c->tail[i] > c->shard_bytes || head - c->read[i] > head - c->tail[i]) {
		batch->invalid += repair_shard(c, i);
		return true;
	}
	while (c->read[i] != head) {
		if (batch->n == max_records)
			return false;
		switch (take_one(c, i, head, batch)) {
		case TAKEN_NO_ROOM:
			return false;
		case TAKEN_BROKEN:
			/* Where the next record begins cannot be known. */
			batch->invalid++;
			c->read[i] = head;
			break;
		default:
			break;
		}
	}
	return true;
}

uint32_t consumer_take(struct consumer *c, struct consumer_batch *batch, uint32_t max_records)
{
	uint64_t now = clock_monotonic_ns();
	uint32_t i, index;

	batch->len = 0;
	batch->n = 0;
	batch->invalid = 0;
	for (i = 0; i < c->n_shards; i++) {
		index = (c->next_shard + i) & (c->n_shards - 1);
		free_if_stuck(c, index, now);
		if (!take_shard(c, index, batch, max_records))
			break;
	}
	c->next_shard = (c->next_shard + i) & (c->n_shards - 1);
	memcpy(batch->to, c->read, sizeof(batch->to));
	if (batch->n != 0) {
		c->in_flight++;
	} else if (c->in_flight == 0) {
		/* What was skipped is all there was. */
		c->in_flight++;
		consumer_release(c, batch);
	}
	return batch->n;
}

static bool is_ours_to_free(struct segment_process *process, uint32_t pid, bool look)
{
	uint32_t left = atomic_load(&process->left);

	if (left == SEGMENT_FREED_BY_CONSUMER)
		return true; /* one before us marked it */
	if (left == SEGMENT_STAYS && (!look || task_is_alive(pid, atomic_load(&process->start_time))))
		return false;
	return left != SEGMENT_FREED_BY_WRITER &&
	       atomic_compare_exchange_strong(&process->left, &left, SEGMENT_FREED_BY_CONSUMER);
}

static void collect_gone(struct consumer *c)
{
	uint64_t now = clock_monotonic_ns();
	bool look = now - c->checked_ns >= PROCESS_CHECK_NS;
	uint32_t i;

	if (look)
		c->checked_ns = now;
	for (i = 0; i < SEGMENT_MAX_PROCESSES; i++) {
		struct segment_process *process = &c->header->processes[i];
		uint32_t pid = atomic_load(&process->pid);

		if (pid != 0 && is_ours_to_free(process, pid, look))
			c->gone[i / 64] |= 1ull << (i % 64);
	}
	for (i = 0; i < c->n_shards; i++)
		c->gone_mark[i] = atomic_load(&c->header->shards[i].head);
}

static bool marks_are_released(const struct consumer *c)
{
	uint32_t i;

	for (i = 0; i < c->n_shards; i++)
		if ((int64_t)(c->tail[i] - c->gone_mark[i]) < 0)
			return false;
	return true;
}

/*
 * Entries of processes that are gone may be given to others only when no record speaks of them any more: note where
 * the shards ended when they were found gone, and free them when all of that is released.
 */
static void reap_processes(struct consumer *c)
{
	uint32_t i;
	uint64_t any = 0;

	for (i = 0; i < SEGMENT_MAX_PROCESSES / 64; i++)
		any |= c->gone[i];
	if (any == 0)
		collect_gone(c);
	if (!marks_are_released(c))
		return;
	for (i = 0; i < SEGMENT_MAX_PROCESSES; i++) {
		struct segment_process *process = &c->header->processes[i];

		if ((c->gone[i / 64] >> (i % 64) & 1) == 0)
			continue;
		atomic_store(&process->start_time, 0);
		atomic_store(&process->left, 0);
		atomic_store(&process->pid, 0);
	}
	memset(c->gone, 0, sizeof(c->gone));
}

bool consumer_release(struct consumer *c, const struct consumer_batch *batch)
{
	uint32_t i;

	if (!consumer_heartbeat(c))
		return false;
	for (i = 0; i < c->n_shards; i++) {
		uint64_t forward = batch->to[i] - c->tail[i];

		/* Repaired since: what the batch says of this shard is no more. */
		if (forward == 0 || forward > c->read[i] - c->tail[i])
			continue;
		c->tail[i] = batch->to[i];
		atomic_store_explicit(&c->header->shards[i].tail, c->tail[i], memory_order_release);
		rewind_if_empty(c, i);
	}
	if (c->in_flight != 0)
		c->in_flight--;
	reap_processes(c);
	return true;
}

void consumer_rewind(struct consumer *c)
{
	memcpy(c->read, c->tail, sizeof(c->read));
	c->in_flight = 0;
}

bool consumer_is_empty(const struct consumer *c)
{
	uint32_t i;

	for (i = 0; i < c->n_shards; i++)
		if (atomic_load(&c->header->shards[i].head) != c->tail[i])
			return false;
	return true;
}
