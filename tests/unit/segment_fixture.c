/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/segment_fixture.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shim/config.h"

#define DEADLINE_S 120

bool use_private_shm(const char *size)
{
	char options[64];

	snprintf(options, sizeof(options), "mode=1777,size=%s", size);
	if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
		return false;
	/* Where the root directory is no mount, after a chroot, this one has to do. */
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 && mount("none", "/dev/shm", NULL, MS_PRIVATE, NULL) != 0)
		return false;
	return mount("none", "/dev/shm", "tmpfs", 0, options) == 0;
}

int set_deadline(void **state)
{
	(void)state;
	alarm(DEADLINE_S);
	return 0;
}

void make_segment(struct segment *ret, int64_t queue_spans)
{
	struct config settings;

	assert_int_equal(config_read(&settings, NULL, NULL), 0);
	settings.bsp_max_queue_size = queue_spans;
	assert_int_equal(segment_create(ret, &settings), 0);
}

void drop_segment(struct segment *segment)
{
	if (segment->path[0] != '\0')
		unlink(segment->path);
	munmap(segment->header, segment->map_bytes);
}

/* The bytes between the number and the end of the record. */
static void fill(uint8_t *bytes, size_t len, uint64_t seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		bytes[i] = (uint8_t)(seed * 31 + i * 7);
}

struct record *make_record(void *memory, uint32_t size, uint32_t source, uint64_t number)
{
	struct record_builder b;
	uint8_t payload[RECORD_MAX_BYTES];
	size_t len = size - sizeof(struct record) - sizeof(struct record_item);

	record_begin(&b, memory, size);
	b.record->kind = SPAN_SERVER;
	b.record->tid = source;
	b.record->start_ns = number;
	fill(payload, len, number ^ source);
	record_add(&b, ITEM_NAME, 0, payload, len);
	assert_int_equal(record_finish(&b), size);
	return b.record;
}

bool is_intact(const struct record *r)
{
	struct record_item item;
	const uint8_t *payload;
	uint32_t cursor = 0;
	uint8_t expected[RECORD_MAX_BYTES];

	if (!record_valid(r, r->size) || !record_next(r, &cursor, &item, &payload))
		return false;
	fill(expected, item.len, r->start_ns ^ r->tid);
	return memcmp(expected, payload, item.len) == 0;
}

uint32_t record_source(const struct record *r)
{
	return r->tid;
}

uint64_t record_number(const struct record *r)
{
	return r->start_ns;
}

int put(struct segment *segment, uint32_t size, uint32_t source, uint64_t number, bool *ret_wake)
{
	static __thread _Alignas(8) uint8_t memory[RECORD_MAX_BYTES];
	static __thread uint32_t home;
	bool wake;

	return segment_append(segment, make_record(memory, size, source, number), &home, ret_wake ? ret_wake : &wake);
}

struct consumer_batch *make_batch(size_t cap)
{
	struct consumer_batch *batch = calloc(1, sizeof(*batch));

	assert_non_null(batch);
	batch->bytes = aligned_alloc(8, cap);
	batch->cap = cap;
	assert_non_null(batch->bytes);
	return batch;
}

void free_batch(struct consumer_batch *batch)
{
	free(batch->bytes);
	free(batch);
}

uint64_t drain(struct consumer *c, struct consumer_batch *batch)
{
	uint64_t n = 0;
	uint8_t *at;

	while (consumer_take(c, batch, 1000) != 0) {
		n += batch->n;
		for (at = batch->bytes; at < batch->bytes + batch->len; at += ((struct record *)(void *)at)->size)
			assert_true(is_intact((struct record *)(void *)at));
		assert_true(consumer_release(c, batch));
	}
	return n;
}

int in_child(void (*run)(void *), void *arg)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		run(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

void pause_briefly(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}
