/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/segment.h"

/*
 * Where this process puts its finished spans: its current segment, and how that comes to have somebody who drains it.
 * Outside of signal handlers, unless it says otherwise.
 */

/* The current segment; its header may be used while output_is_ready(). Async-signal-safe, as is the next. */
struct segment *output_segment(void);
bool output_is_ready(void);
/* Make it if there is none yet. False: it cannot be had, or another thread is just making it. */
bool output_have(void);
/* Somebody else made it: the process that we were forked from. */
bool output_is_inherited(void);
/* From now on this process writes to a segment of its own. */
void output_take_own(void);
/* In a forked child whose parent had none. */
void output_forget(void);
/* Count under this process's entry in the segment. */
void output_count_here(void);

/* Read the settings, before any of these is asked. */
void output_start(void);
/* Does a helper thread export, or is that another process's business? */
bool output_exports_here(void);
/* A record was written; wake: the consumer has to be told so. Starts one where there is none. */
void output_written(uint64_t now_ns, bool wake);
/* Stop the helper: nothing of ours runs in this process any more, until the next record. */
void output_stop(void);
/* There is something to export from now on: take notice of the exit before the libraries that the exporter uses do. */
void output_watch_exit(void);

/*
 * Forks that follow one another quickly. The parent, alone at each fork, can keep no helper that is at work, and no child lives long
 * enough for one to pay: it would load all its libraries for three spans. So the parent has one stand by, which begins when no
 * fork has come for a schedule delay; while forks go on, every other delay one of the children that exit exports for all.
 */
void output_stand_by(void);
bool output_is_stood_by(const struct segment_header *header);
/* One child is told so, and has the others' records to export with its own. */
bool output_is_our_turn(struct segment_header *header);
