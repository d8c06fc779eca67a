/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/record.h"
#include "shim/stats.h"

/*
 * The segment: shared memory of one process image (and of its forked children of the same user), in
 * which finished spans wait for an exporter. It holds n_shards rings. A writer claims a shard by one
 * compare-and-swap on the shard's owner word, appends a record, publishes head with release and frees
 * the shard; it never waits. A writer killed half-way has published nothing.
 *
 * File: /dev/shm/interspan-<uid>/<pid>-<start time>.seg, mode 0600; where that cannot be had, an
 * anonymous shared mapping. Nothing read from a segment may be trusted by its consumer.
 *
 * Context of the writer calls: any thread, async-signal-safe, no allocation, no lock, no wait.
 */

#define SEGMENT_MAGIC "intspan1"
#define SEGMENT_MAX_SHARDS 64
#define SEGMENT_MAX_PROCESSES 256
#define SEGMENT_RESOURCE_BYTES 8192
#define SEGMENT_BYTES_PER_SPAN 512

/* Owner words: process slot + 1 (or pid) in the high half, a generation in the low half; 0 = free. */
struct segment_shard {
	_Alignas(64) _Atomic uint64_t owner; /* who is writing (or, the consumer, rewinding) */
	_Alignas(64) _Atomic uint64_t head;  /* bytes ever published; pairs with tail; offset = head % shard_bytes */
	_Alignas(64) _Atomic uint64_t tail;  /* bytes ever released by the consumer */
};

/* One per process that writes here: the resource attributes that differ between forked children. */
struct segment_process {
	_Atomic uint32_t pid;        /* 0 = free */
	uint32_t parent_pid;
	uint64_t start_time;         /* /proc/PID/stat field 22, clock ticks since boot: pid + this is unique */
	uint8_t instance_id[16];     /* service.instance.id, random UUID v4 */
	_Atomic uint64_t counters[STAT_N]; /* what this process counted (shim/stats.def) */
};

struct segment_header {
	char magic[8];
	uint32_t version;      /* RECORD_VERSION */
	uint32_t n_shards;     /* a power of two, <= SEGMENT_MAX_SHARDS */
	uint64_t shard_bytes;  /* a power of two */
	uint64_t total_bytes;  /* of the whole file */
	uint32_t creator_pid;
	uint32_t uid;
	/* Written by consumers. */
	_Alignas(64) _Atomic uint64_t consumer;     /* owner word (pid << 32 | generation); 0 = none */
	_Atomic uint64_t heartbeat_ns;              /* CLOCK_MONOTONIC of the consumer's last step */
	_Atomic uint32_t collector_down;            /* the last delivery failed: nobody need wait at exit */
	_Atomic uint64_t consumer_counters[STAT_N]; /* exported, dropped at export, ... */
	/* Written by writers and consumers: the wake-up word. */
	_Alignas(64) _Atomic uint32_t sleeping;     /* futex: 1 = the consumer sleeps until somebody stores 0 and wakes it */
	_Atomic uint32_t flush;                     /* bumped to ask for everything to be sent now */
	_Atomic uint32_t flushed;                   /* flush value that the consumer has satisfied */
	/* The resource that all processes here share: record items (ITEM_STRING, ITEM_INT, ITEM_NAMED). */
	_Alignas(64) uint32_t resource_len;
	uint8_t resource[SEGMENT_RESOURCE_BYTES];
	struct segment_process processes[SEGMENT_MAX_PROCESSES];
	struct segment_shard shards[SEGMENT_MAX_SHARDS];
	/* The rings follow, page aligned: n_shards * shard_bytes. */
};

struct segment {
	struct segment_header *header; /* NULL: none */
	uint8_t *rings;
	uint32_t process;  /* our index in header->processes */
	uint32_t n_shards; /* our own copies: the mapped ones may be overwritten by anybody */
	uint64_t shard_bytes;
	char path[96];     /* "" = anonymous */
};

struct config;

/*
 * Create the segment of this process image (queue_spans * SEGMENT_BYTES_PER_SPAN bytes over the
 * shards) and register this process in it. The file is mapped and closed: no descriptor stays open.
 * Returns 0, or -errno when not even an anonymous mapping can be had.
 * Context: one thread at a time (process.c serialises); makes syscalls.
 */
int segment_create(struct segment *segment, const struct config *config);
/* Register the calling (forked) process in the inherited segment. -ENOSPC when the table is full. */
int segment_join(struct segment *segment);
/* Give this process's table entry back; unlink the file if nobody else is registered and it is empty. */
void segment_leave(struct segment *segment);
/*
 * Append one finished record (record->process is filled in). Returns 0; -ENOBUFS when no shard has room
 * or all are busy: the caller counts the drop. ret_wake says whether the consumer should be woken with
 * segment_wake(): the first record after idleness, or a shard that passed half full. home is the
 * thread's preferred shard and is updated to the one that was used.
 */
int segment_append(struct segment *segment, struct record *record, uint32_t *home, bool *ret_wake);
/* Wake the consumer. Returns the number of sleepers woken (0: nobody listens there). */
int segment_wake(struct segment *segment);
/* Does a live consumer serve this segment? Heartbeat first, then the process's existence (a zombie is dead). */
bool segment_has_consumer(const struct segment *segment);

/*
 * Resource attributes of this process image, as record items, from config and /proc (section "resource"
 * of the README). Returns the bytes written, at most cap.
 */
uint32_t segment_describe_resource(uint8_t *items, uint32_t cap, const struct config *config);
