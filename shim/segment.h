/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
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
#define SEGMENT_VERSION 3 /* of the header; the records have their own */
#define SEGMENT_MIN_SHARDS 32
#define SEGMENT_MAX_SHARDS 64
#define SEGMENT_MAX_PROCESSES 256
#define SEGMENT_RESOURCE_BYTES 8192
#define SEGMENT_BYTES_PER_SPAN 512

/*
 * A shard's owner word: process slot + 1 in the high half (SEGMENT_OWNER_CONSUMER: the consumer, rewinding); in the low half
 * the slot's incarnation and 16 bits of head, so that no two claims look alike; 0 = free.
 */
#define SEGMENT_OWNER_CONSUMER 0xffffffffu

struct segment_shard {
	_Alignas(64) _Atomic uint64_t owner; /* who is writing */
	_Atomic uint64_t populated;          /* ring bytes, from its start, that are known to have memory behind them */
	_Alignas(64) _Atomic uint64_t head;  /* bytes ever published; pairs with tail; offset = head % shard_bytes */
	_Alignas(64) _Atomic uint64_t tail;  /* bytes ever released by the consumer */
};

/*
 * One per process that writes here: the resource attributes that differ between forked children. A process takes a free entry by
 * a compare-and-swap on pid. It is freed when its process is gone and its records are released: by the consumer, or by a process that
 * finds the table crowded and the segment empty. The counters stay and the next owner goes on from them: only their sum over the table means anything.
 */
struct segment_process {
	_Atomic uint32_t pid;        /* 0 = free */
	_Atomic uint32_t left;       /* enum segment_left */
	_Atomic uint64_t start_time; /* /proc/PID/stat field 22, clock ticks since boot: pid + this is unique; 0: unknown */
	_Atomic uint32_t incarnation; /* how many owners this entry has had */
	uint32_t parent_pid;
	uint8_t instance_id[16];     /* service.instance.id, random UUID v4 */
	_Atomic uint64_t counters[STAT_N]; /* what this process counted (shim/stats.def) */
};

/* Whoever frees an entry first changes left from what it found to its own mark, so that only one does. */
enum segment_left {
	SEGMENT_STAYS = 0,
	SEGMENT_LEFT, /* gave the entry back; it may be reused once its records are released */
	SEGMENT_FREED_BY_WRITER,
	SEGMENT_FREED_BY_CONSUMER,
};

/* What the consumer sleeps for. */
enum segment_sleep {
	SEGMENT_AWAKE = 0,
	SEGMENT_SLEEP_RECORD, /* idle: the next record wakes it */
	SEGMENT_SLEEP_HALF,   /* collecting a batch: a half-full shard wakes it */
	SEGMENT_SLEEP_FLUSH,  /* backing off: no record wakes it */
};

struct segment_header {
	char magic[8];
	uint32_t version;      /* SEGMENT_VERSION */
	uint32_t n_shards;     /* a power of two, <= SEGMENT_MAX_SHARDS */
	uint64_t shard_bytes;  /* a power of two */
	uint64_t total_bytes;  /* of the whole file */
	/* Who made it: whose counters they are, as metrics. Its entry below may be another process's by then. */
	uint32_t creator_pid;
	uint32_t creator_parent_pid;
	uint64_t creator_start_time;
	uint8_t creator_instance_id[16];
	uint32_t uid;
	uint64_t pid_namespace; /* in which the numbers of processes and threads here mean something; 0: not known */
	/* Written by consumers. */
	_Alignas(64) _Atomic uint64_t consumer;     /* thread id << 32 | low half of its start time; 0 = none. The thread
						       and not the process: it is gone after an exec, the pid is not */
	_Atomic uint64_t heartbeat_ns;              /* CLOCK_MONOTONIC of the consumer's last step */
	_Atomic uint32_t collector_down;            /* the last delivery failed: nobody need wait at exit */
	_Atomic uint32_t counts_untold;             /* spans were delivered since the counters last were */
	_Atomic uint64_t consumer_counters[STAT_N]; /* exported, dropped at export, ... */
	/* Written by writers and consumers: the wake-up word. */
	_Alignas(64) _Atomic uint32_t sleeping;     /* futex, enum segment_sleep: who ends the sleep stores AWAKE, then wakes */
	_Atomic uint32_t mute;                      /* 1: writers in a sandbox wake nobody: the consumer is to look by itself */
	_Atomic uint32_t flush;                     /* bumped to ask for everything to be sent now */
	_Atomic uint32_t flushed;                   /* flush value that the consumer has satisfied */
	/* A process that forks for each request, and its children (output.c). */
	_Atomic uint32_t standby_wanted;            /* a child had to export at its exit */
	_Atomic uint64_t standby_ns;                /* until then its parent stands by to export: children need not */
	_Atomic uint64_t due_ns;                    /* from then on a child that exits exports all the same */
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
	uint32_t incarnation; /* of that entry, ours */
	uint32_t n_shards; /* our own copies: the mapped ones may be overwritten by anybody */
	uint64_t shard_bytes;
	uint64_t map_bytes;   /* of the whole mapping */
	bool mute;         /* no system call is made here any more: only memory that is there already is written to */
	char path[96];     /* "" = anonymous */
};

/* Memory that every idle shard keeps. */
#define SEGMENT_KEEP_BYTES 131072ull

/* Where the rings begin in the file. */
#define SEGMENT_PAGE 4096u
#define SEGMENT_RINGS_OFFSET ((sizeof(struct segment_header) + SEGMENT_PAGE - 1) & ~(uint64_t)(SEGMENT_PAGE - 1))

struct config;

/*
 * Create the segment of this process image (queue_spans * SEGMENT_BYTES_PER_SPAN bytes over the
 * shards) and register this process in it. The file is mapped and closed: no descriptor stays open.
 * Returns 0, or -errno when not even an anonymous mapping can be had.
 * Context: one thread at a time (process.c serialises); makes syscalls.
 */
int segment_create(struct segment *segment, const struct config *settings);
/*
 * Register the calling (forked) process in the inherited segment. -ENOSPC when the table is full: the caller may go on
 * writing under its parent's entry.
 */
int segment_join(struct segment *segment);
/*
 * Give this process's table entry back; unlink the file if nobody else is registered and it is empty. The mapping stays, for
 * threads that are still writing.
 */
void segment_leave(struct segment *segment);
/*
 * Append one finished record (record->process is filled in). Returns 0; -ENOBUFS when no shard has room
 * or all are busy: the caller counts the drop. ret_wake says whether the consumer should be woken with
 * segment_wake(): the first record after idleness, or a shard that passed half full while the consumer does not back off. home is the
 * thread's preferred shard and is updated to the one that was used.
 */
int segment_append(struct segment *segment, struct record *record, uint32_t *home, bool *ret_wake);
/* Wake the consumer. Returns the number of sleepers woken (0: nobody listens there). */
int segment_wake(struct segment *segment);
/*
 * A sandbox is coming: from now on segment_append() makes no system call and never asks for a wake-up. The first SEGMENT_KEEP_BYTES
 * of each shard get their memory now, and bound what it holds; the consumer looks by itself.
 */
void segment_seal(struct segment *segment);
/* Nothing written that was not released? */
bool segment_is_empty(const struct segment *segment);
/* Are other live processes registered in it? */
bool segment_has_others(const struct segment *segment);
/* A consumer that neither sleeps nor steps for this long is taken for dead. */
#define SEGMENT_CONSUMER_STALE_MS 60000
/* Does a live consumer serve this segment? Heartbeat first, then the thread's existence (a zombie is dead). */
bool segment_has_consumer(const struct segment *segment);

/*
 * Resource attributes of this process image, as record items (items_next()), from settings and /proc (section "resource"
 * of the README). ITEM_NAMED is a plain string here. What differs between forked children is not in it (process.pid,
 * process.parent_pid, process.creation.time, service.instance.id: from the process table; a service.instance.id that
 * the user set is here, and wins). Returns the bytes written, at most cap.
 */
uint32_t segment_describe_resource(uint8_t *items, uint32_t cap, const struct config *settings);
