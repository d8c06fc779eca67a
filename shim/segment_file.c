/* SPDX-License-Identifier: Apache-2.0 */
/* Making, joining and leaving a segment. The writing itself is in segment.c. */
#include <limits.h>
#include <string.h>

#include "shim/config.h"
#include "shim/rundir.h"
#include "shim/segment.h"
#include "shim/sys.h"
#include "shim/task.h"
#include "shim/text.h"

#define SHARD_MIN_BYTES 65536ull
/* An exec keeps pid and start time: the images of one process number their files. */
#define MAX_IMAGES 64
/* From this entry on, the process table is about to be full. */
#define CROWDED (SEGMENT_MAX_PROCESSES * 3 / 4)

static uint64_t round_up_power(uint64_t value)
{
	uint64_t power = 1;

	while (power < value)
		power *= 2;
	return power;
}

/* CPUs that this thread may run on. */
static uint32_t count_cpus(void)
{
	unsigned long mask[1024 / (8 * sizeof(unsigned long))] = {0};
	uint32_t n = 0;
	unsigned i;

	if (sys_call3(SYS_sched_getaffinity, 0, sizeof(mask), (long)mask) < 0)
		return SEGMENT_MAX_SHARDS;
	for (i = 0; i < sizeof(mask) / sizeof(mask[0]); i++)
		n += (uint32_t)__builtin_popcountl(mask[i]);
	return n != 0 ? n : 1;
}

static void choose_sizes(struct segment *segment, uint64_t queue_spans)
{
	uint64_t shards = round_up_power(2 * (uint64_t)count_cpus());
	uint64_t bytes;

	/* A writer that is preempted holds its shard for a time slice: with many threads on few CPUs there must be others. */
	if (shards < SEGMENT_MIN_SHARDS)
		shards = SEGMENT_MIN_SHARDS;
	if (shards > SEGMENT_MAX_SHARDS)
		shards = SEGMENT_MAX_SHARDS;
	bytes = round_up_power(queue_spans * SEGMENT_BYTES_PER_SPAN) / shards;
	segment->n_shards = (uint32_t)shards;
	segment->shard_bytes = bytes > SHARD_MIN_BYTES ? bytes : SHARD_MIN_BYTES;
	segment->map_bytes = SEGMENT_RINGS_OFFSET + segment->n_shards * segment->shard_bytes;
}

/* A file found under our own name: an earlier image of this process made it, and exec has ended all its threads. */
static void retire_image(int dir, const char *name, uint32_t pid, uint64_t start_time)
{
	struct segment_header *header;
	struct stat st;
	unsigned i, k;
	int fd = sys_openat(dir, name, O_RDWR | O_NOFOLLOW, 0);

	if (fd < 0)
		return;
	header = sys_fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= (off_t)sizeof(*header) ?
			 sys_mmap(sizeof(*header), MAP_SHARED, fd) :
			 MAP_FAILED;
	sys_close(fd);
	if (header == MAP_FAILED)
		return;
	/* In another namespace somebody else may have our number, and have been born in the same instant. */
	if (header->pid_namespace != task_pid_namespace()) {
		sys_munmap(header, sizeof(*header));
		return;
	}
	for (i = 0; i < SEGMENT_MAX_PROCESSES; i++) {
		if (atomic_load(&header->processes[i].pid) != pid ||
		    atomic_load(&header->processes[i].start_time) != start_time)
			continue;
		for (k = 0; k < SEGMENT_MAX_SHARDS; k++) {
			uint64_t owner = atomic_load(&header->shards[k].owner);

			if (owner >> 32 == i + 1)
				atomic_compare_exchange_strong(&header->shards[k].owner, &owner, 0);
		}
		atomic_store(&header->processes[i].left, SEGMENT_LEFT);
	}
	sys_munmap(header, sizeof(*header));
}

/* Sets segment->path to the file of the image'th image of this process. Returns where the file's name begins. */
static const char *name_file(struct segment *segment, uint64_t start_time, unsigned image)
{
	char dir[RUNDIR_PATH_MAX];
	struct text t = {segment->path, sizeof(segment->path), 0};
	size_t dir_len = rundir_path(dir);

	text_add(&t, dir, dir_len);
	text_add_string(&t, "/");
	text_add_unsigned(&t, (uint64_t)sys_getpid());
	text_add_string(&t, "-");
	text_add_unsigned(&t, start_time);
	if (image != 0) {
		text_add_string(&t, "-");
		text_add_unsigned(&t, image);
	}
	text_add_string(&t, ".seg");
	return segment->path + dir_len + 1;
}

static int create_file(struct segment *segment, int dir, uint64_t start_time)
{
	const char *name;
	unsigned image;
	int fd = -EEXIST;

	for (image = 0; fd == -EEXIST && image < MAX_IMAGES; image++) {
		name = name_file(segment, start_time, image);
		fd = sys_openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
		if (fd == -EEXIST)
			retire_image(dir, name, (uint32_t)sys_getpid(), start_time);
	}
	return fd;
}

/* Returns the mapped file, or MAP_FAILED; then there is no file either. */
static void *map_file(struct segment *segment, uint64_t start_time)
{
	void *map = MAP_FAILED;
	int dir, fd, r;

	/* Beyond the limit, the kernel would not only refuse but send SIGXFSZ. */
	if (sys_file_size_limit() < segment->map_bytes)
		return MAP_FAILED;
	dir = rundir_open();
	fd = dir < 0 ? dir : create_file(segment, dir, start_time);
	if (dir >= 0)
		sys_close(dir);
	if (fd < 0) {
		segment->path[0] = '\0';
		return MAP_FAILED;
	}
	/* The header's memory is taken at once; that of the rings as they are used (shard_populate). */
	r = sys_ftruncate(fd, (int64_t)segment->map_bytes);
	if (r == 0)
		r = sys_fallocate(fd, 0, (int64_t)SEGMENT_RINGS_OFFSET);
	if (r == 0)
		map = sys_mmap(segment->map_bytes, MAP_SHARED | MAP_NORESERVE, fd);
	sys_close(fd);
	if (map == MAP_FAILED) {
		sys_unlink(segment->path);
		segment->path[0] = '\0';
	}
	return map;
}

/* A random UUID (RFC 9562, version 4). */
static void make_instance_id(uint8_t ret_id[16])
{
	if (sys_getrandom(ret_id, 16) != 16) {
		/* No randomness to be had: what is unique on this machine. */
		uint64_t words[2] = {((uint64_t)sys_getpid() << 32) ^ task_start_time((uint32_t)sys_getpid()),
				     (uint64_t)(uintptr_t)ret_id};

		memcpy(ret_id, words, 16);
	}
	ret_id[6] = (uint8_t)((ret_id[6] & 0x0f) | 0x40);
	ret_id[8] = (uint8_t)((ret_id[8] & 0x3f) | 0x80);
}

static void fill_entry(struct segment *segment, uint32_t index, uint64_t start_time)
{
	struct segment_process *process = &segment->header->processes[index];
	unsigned i;

	/* Whoever had the entry is gone: what it still holds was left by a kill. */
	for (i = 0; i < segment->n_shards; i++) {
		uint64_t owner = atomic_load(&segment->header->shards[i].owner);

		if (owner >> 32 == index + 1)
			atomic_compare_exchange_strong(&segment->header->shards[i].owner, &owner, 0);
	}
	segment->incarnation = atomic_fetch_add(&process->incarnation, 1) + 1;
	segment->process = index;
	process->parent_pid = (uint32_t)sys_getppid();
	make_instance_id(process->instance_id);
	atomic_store(&process->start_time, start_time);
}

/* The entries of processes that left, where nothing in the segment can speak of them any more. */
static bool free_left(struct segment *segment)
{
	bool any = false;
	uint32_t i;

	for (i = 0; i < SEGMENT_MAX_PROCESSES && segment_is_empty(segment); i++) {
		struct segment_process *process = &segment->header->processes[i];
		uint32_t left = SEGMENT_LEFT;

		if (atomic_load_explicit(&process->left, memory_order_relaxed) != SEGMENT_LEFT ||
		    !atomic_compare_exchange_strong(&process->left, &left, SEGMENT_FREED_BY_WRITER))
			continue;
		/* It may have written its last records since we looked. */
		if (!segment_is_empty(segment)) {
			atomic_store(&process->left, SEGMENT_LEFT);
			break;
		}
		atomic_store(&process->start_time, 0);
		atomic_store(&process->left, SEGMENT_STAYS);
		atomic_store(&process->pid, 0);
		any = true;
	}
	return any;
}

/* Entries of processes that are gone become free once their records are delivered: now, and not at the end of a batch's delay. */
static void ask_for_room(struct segment *segment)
{
	if (free_left(segment))
		return;
	atomic_store(&segment->header->due_ns, 0);
	atomic_fetch_add(&segment->header->flush, 1);
	segment_wake(segment);
}

static int join_table(struct segment *segment, uint64_t start_time)
{
	uint32_t pid = (uint32_t)sys_getpid();
	uint32_t i;

	for (i = 0; i < SEGMENT_MAX_PROCESSES; i++) {
		uint32_t expected = 0;

		if (atomic_load_explicit(&segment->header->processes[i].pid, memory_order_relaxed) != 0)
			continue;
		if (!atomic_compare_exchange_strong(&segment->header->processes[i].pid, &expected, pid))
			continue;
		fill_entry(segment, i, start_time);
		if (i >= CROWDED)
			ask_for_room(segment);
		return 0;
	}
	return -ENOSPC;
}

/* The mapping is all zero: what is not set here is empty. magic comes last: a file without it is not finished. */
static void fill_header(struct segment *segment, const struct config *settings)
{
	struct segment_header *header = segment->header;
	const struct segment_process *process = &header->processes[segment->process];
	uint64_t magic;

	header->version = SEGMENT_VERSION;
	header->n_shards = segment->n_shards;
	header->shard_bytes = segment->shard_bytes;
	header->total_bytes = segment->map_bytes;
	header->creator_pid = (uint32_t)sys_getpid();
	header->creator_parent_pid = process->parent_pid;
	header->creator_start_time = atomic_load(&process->start_time);
	memcpy(header->creator_instance_id, process->instance_id, sizeof(header->creator_instance_id));
	header->uid = sys_geteuid();
	header->pid_namespace = task_pid_namespace();
	header->resource_len = segment_describe_resource(header->resource, SEGMENT_RESOURCE_BYTES, settings);
	memcpy(&magic, SEGMENT_MAGIC, sizeof(magic));
	__atomic_store_n((uint64_t *)(void *)header->magic, magic, __ATOMIC_RELEASE);
}

int segment_create(struct segment *segment, const struct config *settings)
{
	uint64_t start_time = task_start_time((uint32_t)sys_getpid());
	struct segment fresh = {0};
	void *map;

	choose_sizes(&fresh, (uint64_t)settings->bsp_max_queue_size);
	map = map_file(&fresh, start_time);
	if (map == MAP_FAILED)
		map = sys_mmap(fresh.map_bytes, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	if (map == MAP_FAILED)
		return -ENOMEM;
	fresh.header = map;
	fresh.rings = (uint8_t *)map + SEGMENT_RINGS_OFFSET;
	join_table(&fresh, start_time);
	fill_header(&fresh, settings);
	*segment = fresh;
	return 0;
}

int segment_join(struct segment *segment)
{
	return join_table(segment, task_start_time((uint32_t)sys_getpid()));
}

bool segment_has_others(const struct segment *segment)
{
	uint32_t i;

	for (i = 0; i < SEGMENT_MAX_PROCESSES; i++) {
		struct segment_process *process = &segment->header->processes[i];

		if (i != segment->process && atomic_load(&process->pid) != 0 && atomic_load(&process->left) == 0 &&
		    task_is_alive(atomic_load(&process->pid), atomic_load(&process->start_time)))
			return true;
	}
	return false;
}

void segment_leave(struct segment *segment)
{
	/* A child that found no entry, or never asked for one, stands under its parent's. */
	if (atomic_load(&segment->header->processes[segment->process].pid) != (uint32_t)sys_getpid())
		return;
	atomic_store(&segment->header->processes[segment->process].left, SEGMENT_LEFT);
	if (segment->path[0] != '\0' && segment_is_empty(segment) && !segment_has_others(segment))
		sys_unlink(segment->path);
}
