/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "export/exporter.h"

/*
 * Segment to exporter: wait, take, encode, deliver, release. The helper thread runs drain_run() on its process's
 * segment; the agent runs drain_all() on many. Spans leave the segment only once they are delivered or refused for
 * good; everything else is tried again for as long as the segment lasts.
 * Context: one thread, the one that claimed the consumer.
 */

struct drain {
	struct consumer *consumer; /* claimed */
	struct exporter *exporter;
	const struct config *config;
	const _Atomic uint32_t *stop; /* 0 go on, 1 return soon, 2 return now */
	/* Called at least every 20 ms while a delivery is waited for; may be NULL. False: return now. */
	bool (*meanwhile)(void *arg);
	/* drain_run(): called when everything that was there is delivered; flushed: at somebody's wish. May be NULL. */
	void (*caught_up)(void *arg, bool flushed);
	void *arg;
	struct metrics *metrics; /* where its counters go, too; NULL: nowhere */
	bool no_retry; /* give up, with the spans left where they are, where one would back off */
	uint32_t retry_after_ms; /* no_retry: how long the receiver asked to be left alone */
	/* Private. */
	struct consumer_batch batch;
	uint32_t max_spans;
	uint64_t beat_ns;    /* last heartbeat */
	uint64_t told_ns;    /* when the counters were last exported, or drain_begin() */
	uint64_t stopped_ns; /* when stop was first seen; 0 = not yet */
	uint32_t flush;      /* asked for and not done */
	uint64_t flush_ns;   /* since when it is known to be wanted */
	bool flush_wanted;
	bool down;           /* what we said with consumer_set_collector_down() */
	bool lost;           /* another consumer took over */
};

/* Bytes of records in a request: some receivers take 4 MB at most, and the encoding is about as large. */
#define DRAIN_ROOM (2u << 20)

/*
 * What is not private is filled in by the caller. room: DRAIN_ROOM bytes, 8-aligned, in use during drain_all() and
 * drain_run() only.
 */
void drain_begin(struct drain *drain, uint8_t *room);

/* Deliver everything that is there now. False: stopped, or taken over, with spans left. */
bool drain_all(struct drain *drain);
/* Until stopped or taken over. */
void drain_run(struct drain *drain);
/* May what else the thread sends go on? Keeps the heartbeat. leaving: somebody waits for it who exits. */
bool drain_may_send(struct drain *drain, bool leaving);
/* Is somebody waiting for a flush, or a quarter of a shard waiting to be taken? */
bool drain_is_urgent(struct drain *drain);
/* Is whoever waits for a flush, or for the thread to return, about to go without what is still to be sent? struct drain. */
bool drain_is_late(void *drain);
/* For what else the thread does between two batches: keeps the heartbeat. False: back to work. */
bool drain_may_dally(struct drain *drain);
