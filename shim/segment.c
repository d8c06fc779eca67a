/* SPDX-License-Identifier: Apache-2.0 */
/* The writing side of a segment. What a hook calls is here; making one is in segment_file.c. */
#include "shim/segment.h"

#include <errno.h>
#include <string.h>

#include "shim/clock.h"
#include "shim/sys.h"
#include "shim/task.h"

/* A consumer that stepped this recently lives: no need to look for it. */
#define HEARTBEAT_FRESH_NS 2000000000ull

/*
 * A page of a file in /dev/shm gets its memory when it is first touched, and where there is none left the touch is a SIGBUS.
 * The kernel answers EFAULT instead when it is the one to touch: a shared wake looks its page up for writing.
 */
static bool touch_pages(uint8_t *ring, uint64_t at, uint64_t end)
{
	for (; at < end; at += SEGMENT_PAGE)
		if (sys_futex_wake((_Atomic uint32_t *)(void *)(ring + at), 1) < 0)
			return false;
	return true;
}

static __attribute__((noinline)) bool shard_populate(struct segment_shard *shard, uint8_t *ring, uint64_t end)
{
	uint64_t at = atomic_load_explicit(&shard->populated, memory_order_relaxed) & ~(uint64_t)(SEGMENT_PAGE - 1);

	end = (end + SEGMENT_PAGE - 1) & ~(uint64_t)(SEGMENT_PAGE - 1);
	if (at >= end)
		return true;
	if (!touch_pages(ring, at, end))
		return false;
	atomic_store_explicit(&shard->populated, end, memory_order_relaxed);
	return true;
}

/*
 * The same before the shard is claimed. The kernel may have a thread wait here for whoever maps memory in this process; many did
 * at once, each with a shard of its own, until there was none left. In a shard that we own nothing is left to wait for, then.
 */
static __attribute__((noinline)) void shard_touch(const struct segment *segment, uint32_t index, uint64_t size)
{
	const struct segment_shard *shard = &segment->header->shards[index];
	uint64_t at = atomic_load_explicit(&shard->populated, memory_order_relaxed) & ~(uint64_t)(SEGMENT_PAGE - 1);
	uint64_t offset = atomic_load_explicit(&shard->head, memory_order_relaxed) & (segment->shard_bytes - 1) & ~7ull;
	uint64_t end = offset + size <= segment->shard_bytes ? offset + size : size;

	(void)touch_pages(segment->rings + index * segment->shard_bytes, at, end);
}

/* A record of version 0 fills what is left at a ring's end when the next record does not fit there. */
static void write_padding(uint8_t *at, uint64_t size)
{
	struct record pad = {.size = (uint32_t)size, .version = 0};

	memcpy(at, &pad, sizeof(uint64_t));
}

enum { APPENDED = 1, PASSED_HALF = 2 };

/*
 * In a shard that we own: copy the record in, publish it. head and tail may hold anything: whatever they say, the offset stays in
 * the ring. Returns 0 when there is no room.
 */
static inline unsigned write_record(const struct segment *segment, struct segment_shard *shard, uint8_t *ring,
				    const struct record *record, uint64_t word)
{
	uint64_t size = record->size, bytes = segment->shard_bytes;
	uint64_t head = atomic_load_explicit(&shard->head, memory_order_relaxed) & ~7ull;
	uint64_t used = head - atomic_load_explicit(&shard->tail, memory_order_acquire);
	uint64_t end = (head & (bytes - 1)) + size, pad = 0;

	if (__builtin_expect(end > bytes, 0)) {
		pad = bytes - (end - size);
		end = size;
	}
	if (used > bytes || used + pad + size > bytes)
		return 0;
	if (__builtin_expect(end > atomic_load_explicit(&shard->populated, memory_order_relaxed), 0) &&
	    (segment->mute || !shard_populate(shard, ring, end)))
		return 0;
	if (__builtin_expect(pad != 0, 0))
		write_padding(ring + bytes - pad, pad);
	memcpy(ring + end - size, record, size);
	/* Taken for dead and freed, which must not happen while we live: then this is no longer ours to publish. */
	if (atomic_load_explicit(&shard->owner, memory_order_relaxed) != word)
		return 0;
	atomic_store_explicit(&shard->head, head + pad + size, memory_order_release);
	return used < bytes / 2 && used + pad + size >= bytes / 2 ? APPENDED | PASSED_HALF : APPENDED;
}

static inline __attribute__((always_inline)) unsigned shard_append(const struct segment *segment, uint32_t index,
								   const struct record *record)
{
	struct segment_shard *shard = &segment->header->shards[index];
	uint64_t head = atomic_load_explicit(&shard->head, memory_order_relaxed);
	uint64_t word = (uint64_t)(segment->process + 1) << 32 | (segment->incarnation & 0xffff) << 16 |
			(head >> 3 & 0xffff);
	uint64_t expected = 0;
	unsigned done;

	if (atomic_load_explicit(&shard->owner, memory_order_relaxed) != 0)
		return 0;
	if (__builtin_expect((head & (segment->shard_bytes - 1)) + record->size >
				     atomic_load_explicit(&shard->populated, memory_order_relaxed), 0) &&
	    !segment->mute)
		shard_touch(segment, index, record->size);
	if (!atomic_compare_exchange_strong_explicit(&shard->owner, &expected, word, memory_order_acquire,
						     memory_order_relaxed))
		return 0;
	done = write_record(segment, shard, segment->rings + index * segment->shard_bytes, record, word);
	if (atomic_load_explicit(&shard->owner, memory_order_relaxed) == word)
		atomic_store_explicit(&shard->owner, 0, memory_order_release);
	return done;
}

/*
 * Must the caller wake the consumer, now that a record is in? Of those who see it sleep, one is told so. No fence keeps this look
 * behind the store of head: it would double the price of an append. The consumer looks twice instead.
 */
static inline bool wake_is_due(struct segment_header *header, bool half)
{
	uint32_t sleeping = atomic_load_explicit(&header->sleeping, memory_order_relaxed);

	if (sleeping == SEGMENT_SLEEP_RECORD || (half && sleeping == SEGMENT_SLEEP_HALF))
		return atomic_compare_exchange_strong(&header->sleeping, &sleeping, SEGMENT_AWAKE);
	/* Nobody sleeps: half full may also mean that nobody is there, and the caller's wake-up finds that out. */
	return half && sleeping == SEGMENT_AWAKE;
}

/* The thread's own shard is taken or full: any other. */
static __attribute__((noinline)) unsigned append_elsewhere(const struct segment *segment, const struct record *record,
							    uint32_t *home)
{
	unsigned done = 0;

	for (uint32_t i = 1; i < segment->n_shards && !done; i++) {
		uint32_t index = (*home + i) & (segment->n_shards - 1);

		done = shard_append(segment, index, record);
		if (done)
			*home = index;
	}
	return done;
}

int segment_append(struct segment *segment, struct record *record, uint32_t *home, bool *ret_wake)
{
	unsigned done;

	*ret_wake = false;
	if (record->size < sizeof(*record) || record->size > RECORD_MAX_BYTES || record->size % 8 != 0)
		return -ENOBUFS;
	record->process = segment->process;
	done = shard_append(segment, *home & (segment->n_shards - 1), record);
	if (__builtin_expect(!done, 0))
		done = append_elsewhere(segment, record, home);
	*ret_wake = done && !segment->mute && wake_is_due(segment->header, done & PASSED_HALF);
	return done ? 0 : -ENOBUFS;
}

static void populate_for_good(struct segment *segment, uint32_t index)
{
	struct segment_shard *shard = &segment->header->shards[index];
	uint64_t bytes = segment->shard_bytes < SEGMENT_KEEP_BYTES ? segment->shard_bytes : SEGMENT_KEEP_BYTES;
	uint64_t word = (uint64_t)(segment->process + 1) << 32 | (segment->incarnation & 0xffff) << 16;
	uint64_t expected = 0;

	/* One that somebody is writing to is left as it is: with a little less room, then. */
	if (!atomic_compare_exchange_strong(&shard->owner, &expected, word))
		return;
	if (atomic_load(&shard->populated) < bytes)
		(void)shard_populate(shard, segment->rings + index * segment->shard_bytes, bytes);
	atomic_compare_exchange_strong(&shard->owner, &word, 0);
}

void segment_seal(struct segment *segment)
{
	uint32_t i;

	for (i = 0; i < segment->n_shards; i++)
		populate_for_good(segment, i);
	atomic_store(&segment->header->mute, 1);
	segment->mute = true;
	segment_wake(segment);
}

int segment_wake(struct segment *segment)
{
	int woken;

	atomic_store(&segment->header->sleeping, SEGMENT_AWAKE);
	woken = sys_futex_wake(&segment->header->sleeping, 1);
	return woken < 0 ? 0 : woken;
}

bool segment_is_empty(const struct segment *segment)
{
	uint32_t i;

	for (i = 0; i < segment->n_shards; i++)
		if (atomic_load(&segment->header->shards[i].head) != atomic_load(&segment->header->shards[i].tail))
			return false;
	return true;
}

bool segment_has_consumer(const struct segment *segment)
{
	const struct segment_header *header = segment->header;
	uint64_t word = atomic_load(&header->consumer);
	uint64_t age = clock_monotonic_ns() - atomic_load(&header->heartbeat_ns);
	uint64_t start;

	if (word == 0)
		return false;
	if (age < HEARTBEAT_FRESH_NS)
		return true;
	if (age > SEGMENT_CONSUMER_STALE_MS * 1000000ull && atomic_load(&header->sleeping) == SEGMENT_AWAKE)
		return false;
	start = task_start_time((uint32_t)(word >> 32));
	return task_is_alive((uint32_t)(word >> 32), start) && (start == 0 || (uint32_t)start == (uint32_t)word);
}
