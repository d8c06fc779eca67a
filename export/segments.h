/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "export/drain.h"

/*
 * The segment files of a user: /dev/shm/interspan-<uid>/<pid>-<start time>.seg (shim/segment.h).
 * Context: may block and allocate.
 */

#define SEGMENT_NAME_MAX 64

/* Call each(arg, dir, name) for every segment file until it returns false. dir: as from rundir_open(). 0 or -errno. */
int segments_each(int dir, bool (*each)(void *arg, int dir, const char *name), void *arg);

struct orphan_counts {
	unsigned found;
	unsigned drained; /* emptied and unlinked */
	unsigned left;    /* not emptied: the collector did not take it all, or we were told to stop */
};

/*
 * Export what dead processes left, and unlink it. proto: a struct drain with everything but the consumer filled in;
 * room: as for drain_begin().
 */
struct orphan_counts segments_drain_orphans(int dir, const struct drain *proto, uint8_t *room);
/* Unlink the drain's segment if it is empty and nobody writes to it; first tell its counters. False: it is still of use. */
bool segments_retire(struct drain *drain, int dir, const char *name);

/*
 * Without a collector the segments of dead processes would fill the machine's memory: remove the oldest until those
 * left take up at most max_bytes. Returns how many were removed; *ret_spans: the spans that were lost with them.
 */
unsigned segments_prune(int dir, uint64_t max_bytes, uint64_t *ret_spans);
