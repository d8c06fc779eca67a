/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "export/consumer.h"

/* What the tests of the segment share. */

/*
 * A /dev/shm of this program's own, in a mount namespace of its own; size as mount takes it ("1m"). False where this user
 * may not do that: the real one stays in use.
 */
bool use_private_shm(const char *size);
/* A deadline for the whole program: a hang is a failure, and not a wait. */
int set_deadline(void **state);

/* A segment for so many spans. */
void make_segment(struct segment *ret, int64_t queue_spans);
/* Unlink, unmap. */
void drop_segment(struct segment *segment);

/*
 * A record of so many bytes (a multiple of 8, at least 128) whose content follows from source and number;
 * is_intact() tells whether it still does.
 */
struct record *make_record(void *memory, uint32_t size, uint32_t source, uint64_t number);
bool is_intact(const struct record *r);
uint32_t record_source(const struct record *r);
uint64_t record_number(const struct record *r);

/* Append, with a record made for it; returns segment_append()'s answer. */
int put(struct segment *segment, uint32_t size, uint32_t source, uint64_t number, bool *ret_wake);

/* A batch with memory of its own. */
struct consumer_batch *make_batch(size_t cap);
void free_batch(struct consumer_batch *batch);
/* Take and release until nothing is left; every record must be intact. Returns how many there were. */
uint64_t drain(struct consumer *c, struct consumer_batch *batch);

/* Run in a forked child and wait: its exit status, or -signal. */
int in_child(void (*run)(void *), void *arg);
/* How many descriptors this process has open. */
int count_fds(void);
/* Poll until the condition holds; the program's deadline is the limit. */
#define WAIT_UNTIL(condition)                                                                                          \
	do {                                                                                                           \
		while (!(condition))                                                                                   \
			pause_briefly();                                                                               \
	} while (0)
void pause_briefly(void);
