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

/* Open this user's directory, which must be ours and nobody else's to write. Returns a descriptor or -errno. */
int segments_open_dir(void);

/*
 * Call each(arg, dir, name) for every segment file in the directory dir until it returns false. Returns 0 or -errno.
 */
int segments_each(int dir, bool (*each)(void *arg, int dir, const char *name), void *arg);

struct orphan_counts {
	unsigned found;
	unsigned drained; /* emptied and unlinked */
	unsigned left;    /* not emptied: the collector did not take it all, or told to stop */
};

/*
 * Export what dead processes left, and unlink it. proto: a struct drain with everything but the consumer filled in.
 */
struct orphan_counts segments_drain_orphans(int dir, const struct drain *proto);
