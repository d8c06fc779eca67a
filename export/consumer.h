/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/segment.h"

/*
 * The reading side of a segment: claims it, copies finished spans out of its shards, and gives the room back
 * once the collector has them. The order of a consumer's life:
 *
 *   consumer_attach or consumer_open; consumer_claim;
 *   loop: consumer_heartbeat; consumer_take; deliver; consumer_release (or consumer_rewind: take them again later);
 *         consumer_wait;
 *   consumer_resign; consumer_detach.
 *
 * Everything in a segment may have been written by a broken or hostile process of the same user. Sizes are read once and checked
 * against the mapping, positions and records are checked on private copies, and the worst that bad contents
 * can do is lose spans, which the batch says and the caller counts as dropped.invalid.
 *
 * Context: one thread per struct consumer; makes system calls; allocates nothing.
 */

struct consumer_watch {
	uint64_t owner;    /* the shard's owner word as last seen */
	uint64_t since_ns; /* CLOCK_MONOTONIC when it was first seen so */
};

struct consumer {
	struct segment_header *header; /* NULL: not attached */
	uint8_t *rings;
	size_t map_bytes;
	bool mapped;          /* by consumer_open() */
	bool elsewhere;       /* its processes are of another pid namespace: their numbers mean nothing here */
	bool abandoned;       /* and none of them is left */
	uint32_t n_shards;    /* checked copies */
	uint64_t shard_bytes;
	uint64_t word;        /* our consumer word; 0: nothing claimed */
	uint32_t flush_seen;  /* last value of header->flush that the caller was told of */
	uint32_t next_shard;  /* where the next take begins */
	uint32_t in_flight;   /* batches taken, neither released nor rewound */
	uint64_t tail[SEGMENT_MAX_SHARDS]; /* released up to here */
	uint64_t read[SEGMENT_MAX_SHARDS]; /* taken up to here */
	struct consumer_watch watch[SEGMENT_MAX_SHARDS];
	/* Process slots whose owner is gone, and the heads to be released before they can be given to others. */
	uint64_t gone[SEGMENT_MAX_PROCESSES / 64];
	uint64_t gone_mark[SEGMENT_MAX_SHARDS];
	uint64_t checked_ns; /* when the processes were last looked for */
	uint64_t trimmed_ns; /* when unused memory was last given back */
};

/* Where records are copied to. bytes and cap are the caller's; the rest is consumer_take()'s. */
struct consumer_batch {
	uint8_t *bytes; /* 8-aligned */
	size_t cap;     /* at least RECORD_MAX_BYTES */
	size_t len;     /* bytes used: n valid records, back to back */
	uint32_t n;
	uint32_t invalid; /* records left out because they did not hold together: the caller's to count */
	uint64_t to[SEGMENT_MAX_SHARDS]; /* releasing it frees each shard up to here */
};

/* What the process table says about the process that wrote a record. */
struct consumer_process {
	uint32_t pid;
	uint32_t parent_pid;
	uint64_t start_time; /* clock ticks after boot; 0: not known */
	bool stays;          /* it has not said that it leaves */
	uint8_t instance_id[16];
};

/*
 * Use the segment mapped at map (map_bytes long), which must stay mapped. Returns 0, or -EINVAL when it is not a segment of our
 * version or its sizes do not fit.
 */
int consumer_attach(struct consumer *c, void *map, size_t map_bytes);
/* The same for a segment that this process has created or joined. */
int consumer_attach_segment(struct consumer *c, const struct segment *segment);
/*
 * Open and map a segment file (no symlink, a regular file of our user). Returns 0 or -errno. dir: AT_FDCWD or a directory. A file
 * that is truncated while it is mapped raises SIGBUS, which only our own user could bring about.
 */
int consumer_open(struct consumer *c, int dir, const char *path);
void consumer_detach(struct consumer *c);

/*
 * Become the segment's consumer, for the calling thread. Returns 0 (also when it is us already), or -EBUSY while a live one
 * serves it, or -EXDEV for one of another pid namespace. A dead or stale one is taken over from; what it had taken and not released will be taken again.
 */
int consumer_claim(struct consumer *c);
/* Call at least every 10 s while not in consumer_wait(). False: another consumer took over; stop, release nothing. */
bool consumer_heartbeat(struct consumer *c);
/* Give the segment up. What is taken and not released stays in it. */
void consumer_resign(struct consumer *c);

/*
 * Copy up to max_records finished spans into the batch, as far as they fit. Returns batch->n; 0: nothing to take. The records of
 * one batch: for (p = bytes; p < bytes + len; p += ((struct record *)p)->size), each of them record_valid().
 * Several batches may be out at once; release them in the order in which they were taken. A batch with no records needs
 * no release.
 */
uint32_t consumer_take(struct consumer *c, struct consumer_batch *batch, uint32_t max_records);
/* The batch is delivered or given up: free its room. False: another consumer took over meanwhile. */
bool consumer_release(struct consumer *c, const struct consumer_batch *batch);
/* Forget what was taken and not released: the next take returns it again. */
void consumer_rewind(struct consumer *c);
/* Is nothing left, taken and unreleased records included? */
bool consumer_is_empty(const struct consumer *c);

enum consumer_wait {
	WAIT_RECORD = SEGMENT_SLEEP_RECORD, /* until there is a record that was not taken yet: an idle program is never woken */
	WAIT_HALF = SEGMENT_SLEEP_HALF,     /* collecting a batch: until a shard is half full */
	WAIT_FLUSH = SEGMENT_SLEEP_FLUSH,   /* backing off: until a flush is asked for */
};
/*
 * Sleep until what the mode says, at most timeout_ms (negative: for ever). Every mode also ends when a flush that
 * consumer_flush_wanted() has not reported is asked for, when *stop is not 0 (stop may be NULL), and possibly for no reason.
 */
void consumer_wait(struct consumer *c, enum consumer_wait mode, int timeout_ms, const _Atomic uint32_t *stop);

/* Was a flush asked for since the last call? *ret_flush is to be handed to consumer_flush_done(). */
bool consumer_flush_wanted(struct consumer *c, uint32_t *ret_flush);
/* Everything that was in the segment when this flush was asked for is delivered or dropped: wake who waits for it. */
void consumer_flush_done(struct consumer *c, uint32_t flush);
/* While true, nobody waits for a flush at exit. */
void consumer_set_collector_down(struct consumer *c, bool down);

/* Count for the consumer (STAT_EXPORTED, STAT_DROPPED_REJECTED, ...). */
void consumer_count(struct consumer *c, enum stat_id stat, uint64_t n);
/* All counters of all processes and of the consumers, summed. Needs no claim. */
void consumer_totals(const struct consumer *c, uint64_t ret_totals[STAT_N]);
/* Who wrote record->process? False: no such entry. Valid until the record is released. */
bool consumer_process(const struct consumer *c, uint32_t index, struct consumer_process *ret);
/* Who made the segment. */
void consumer_creator(const struct consumer *c, struct consumer_process *ret);
/*
 * Copy the shared resource (items_valid(); walk it with items_next()) to items. Returns its bytes; 0: none that
 * fits cap or holds together. ITEM_NAMED here is a plain string, and not an array's element.
 */
uint32_t consumer_resource(const struct consumer *c, uint8_t *items, uint32_t cap);
/*
 * Do its processes live in another pid namespace than ours? It is left alone, and neither claimed nor taken for dead. Found out
 * by consumer_open(): once nobody has the file mapped any more, it is as those of our own dead.
 */
static inline bool consumer_is_foreign(const struct consumer *c)
{
	return c->elsewhere && !c->abandoned;
}
/* Is any process registered that still runs, or may it be for all we know? None: when empty as well, the file can be unlinked. */
bool consumer_has_writers(const struct consumer *c);
