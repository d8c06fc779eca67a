/* SPDX-License-Identifier: Apache-2.0 */
/* A segment's consumer: attaching, claiming, sleeping, counting. Taking records is in consumer_take.c. */
#include "export/consumer.h"

#include <string.h>

#include "shim/clock.h"
#include "shim/sys.h"
#include "shim/task.h"

/* How often memory beyond what an idle shard keeps may be given back. */
#define TRIM_INTERVAL_NS 10000000000ull

/* Far longer than a store takes to be seen by all CPUs. */
#define SECOND_LOOK_MS 10
/* How often to look where no writer wakes us. */
#define MUTE_LOOK_MS 100

static bool is_power_of_two(uint64_t value)
{
	return value != 0 && (value & (value - 1)) == 0;
}

static void read_positions(struct consumer *c)
{
	uint32_t i;

	for (i = 0; i < c->n_shards; i++) {
		c->tail[i] = atomic_load_explicit(&c->header->shards[i].tail, memory_order_acquire) & ~7ull;
		c->read[i] = c->tail[i];
	}
	c->in_flight = 0;
}

/* Where either is not known, there is no telling: then it is taken for ours. */
static bool is_elsewhere(uint64_t pid_namespace)
{
	uint64_t ours = task_pid_namespace();

	return pid_namespace != 0 && ours != 0 && pid_namespace != ours;
}

int consumer_attach(struct consumer *c, void *map, size_t map_bytes)
{
	struct segment_header *header = map;

	memset(c, 0, sizeof(*c));
	if (map_bytes < SEGMENT_RINGS_OFFSET || memcmp(header->magic, SEGMENT_MAGIC, sizeof(header->magic)) != 0 ||
	    header->version != SEGMENT_VERSION)
		return -EINVAL;
	c->n_shards = *(volatile uint32_t *)&header->n_shards;
	c->shard_bytes = *(volatile uint64_t *)&header->shard_bytes;
	if (!is_power_of_two(c->n_shards) || c->n_shards > SEGMENT_MAX_SHARDS || !is_power_of_two(c->shard_bytes) ||
	    c->shard_bytes < SEGMENT_PAGE || c->shard_bytes > (map_bytes - SEGMENT_RINGS_OFFSET) / c->n_shards)
		return -EINVAL;
	c->header = header;
	c->elsewhere = is_elsewhere(*(volatile uint64_t *)&header->pid_namespace);
	c->rings = (uint8_t *)map + SEGMENT_RINGS_OFFSET;
	c->map_bytes = map_bytes;
	c->flush_seen = atomic_load(&header->flushed);
	read_positions(c);
	return 0;
}

int consumer_attach_segment(struct consumer *c, const struct segment *segment)
{
	return consumer_attach(c, segment->header, segment->map_bytes);
}

static int open_mapped(struct consumer *c, int dir, const char *path)
{
	struct stat st;
	void *map = MAP_FAILED;
	int fd, r;

	memset(c, 0, sizeof(*c));
	fd = sys_openat(dir, path, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	r = sys_fstat(fd, &st);
	if (r == 0 && (!S_ISREG(st.st_mode) || st.st_uid != sys_geteuid() || st.st_size <= 0))
		r = -EINVAL;
	if (r == 0)
		map = sys_mmap((size_t)st.st_size, MAP_SHARED | MAP_NORESERVE, fd);
	sys_close(fd);
	if (r < 0)
		return r;
	if (map == MAP_FAILED)
		return -ENOMEM;
	r = consumer_attach(c, map, (size_t)st.st_size);
	if (r < 0)
		sys_munmap(map, (size_t)st.st_size);
	c->mapped = r == 0;
	return r;
}

/*
 * A lease for reading is given only while nobody, in whichever namespace, has the file open for writing, and a mapping counts. Whoever
 * opens it before the lease is given back makes the kernel send a signal: to this thread, which as a helper has all blocked.
 */
static bool is_unmapped(int dir, const char *path)
{
	int fd = sys_openat(dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	struct f_owner_ex us = {F_OWNER_TID, sys_gettid()};
	bool given;

	if (fd < 0)
		return false;
	given = sys_fcntl(fd, F_SETOWN_EX, (long)&us) == 0 && sys_fcntl(fd, F_SETLEASE, F_RDLCK) == 0;
	if (given)
		sys_fcntl(fd, F_SETLEASE, F_UNLCK);
	sys_close(fd);
	return given;
}

int consumer_open(struct consumer *c, int dir, const char *path)
{
	int r = open_mapped(c, dir, path);

	if (r == 0 && c->elsewhere) {
		bool abandoned;

		consumer_detach(c); /* our own mapping counts, too */
		abandoned = is_unmapped(dir, path);
		r = open_mapped(c, dir, path);
		c->abandoned = r == 0 && abandoned;
	}
	return r;
}

void consumer_detach(struct consumer *c)
{
	if (c->mapped)
		sys_munmap(c->header, c->map_bytes);
	memset(c, 0, sizeof(*c));
}

static bool holds(const struct consumer *c)
{
	return c->word != 0 && atomic_load(&c->header->consumer) == c->word;
}

/* Unlike segment_has_consumer(), believe no heartbeat: one that has just been killed has left a fresh one. */
static bool is_served(const struct consumer *c, uint64_t word)
{
	uint64_t age = clock_monotonic_ns() - atomic_load(&c->header->heartbeat_ns);
	uint64_t start = task_start_time((uint32_t)(word >> 32));

	if (word == 0 || (start != 0 && (uint32_t)start != (uint32_t)word))
		return false;
	if (age > SEGMENT_CONSUMER_STALE_MS * 1000000ull && atomic_load(&c->header->sleeping) == SEGMENT_AWAKE)
		return false;
	return task_is_alive((uint32_t)(word >> 32), start);
}

int consumer_claim(struct consumer *c)
{
	uint32_t tid = (uint32_t)sys_gettid();
	uint64_t mine = (uint64_t)tid << 32 | (uint32_t)task_start_time(tid);
	uint64_t word = atomic_load(&c->header->consumer);

	if (consumer_is_foreign(c))
		return -EXDEV;
	if (c->word == mine && word == mine)
		return 0;
	if ((word != mine && is_served(c, word)) ||
	    !atomic_compare_exchange_strong(&c->header->consumer, &word, mine))
		return -EBUSY;
	c->word = mine;
	atomic_store(&c->header->heartbeat_ns, clock_monotonic_ns());
	atomic_store(&c->header->sleeping, SEGMENT_AWAKE);
	read_positions(c);
	return 0;
}

bool consumer_heartbeat(struct consumer *c)
{
	if (!holds(c))
		return false;
	atomic_store_explicit(&c->header->heartbeat_ns, clock_monotonic_ns(), memory_order_relaxed);
	return true;
}

void consumer_resign(struct consumer *c)
{
	uint64_t word = c->word;

	if (word != 0)
		atomic_compare_exchange_strong(&c->header->consumer, &word, 0);
	c->word = 0;
	consumer_rewind(c);
}

/* Give back what a burst has left behind, beyond a little. In an empty shard that we have claimed. */
static void trim_shard(struct consumer *c, uint32_t i)
{
	struct segment_shard *shard = &c->header->shards[i];
	uint8_t *ring = c->rings + i * c->shard_bytes;
	uint64_t populated = atomic_load_explicit(&shard->populated, memory_order_relaxed);
	uint64_t expected = 0;

	if (populated <= SEGMENT_KEEP_BYTES || c->shard_bytes <= SEGMENT_KEEP_BYTES ||
	    !atomic_compare_exchange_strong(&shard->owner, &expected, (uint64_t)SEGMENT_OWNER_CONSUMER << 32))
		return;
	if (atomic_load(&shard->head) == c->tail[i] && (c->tail[i] & (c->shard_bytes - 1)) == 0) {
		atomic_store(&shard->populated, SEGMENT_KEEP_BYTES);
		sys_call3(SYS_madvise, (long)(ring + SEGMENT_KEEP_BYTES), (long)(c->shard_bytes - SEGMENT_KEEP_BYTES),
			  MADV_REMOVE);
	}
	atomic_store_explicit(&shard->owner, 0, memory_order_release);
}

static void trim(struct consumer *c)
{
	uint64_t now = clock_monotonic_ns();
	uint32_t i;

	if (now - c->trimmed_ns < TRIM_INTERVAL_NS)
		return;
	c->trimmed_ns = now;
	for (i = 0; i < c->n_shards; i++)
		trim_shard(c, i);
}

/* Is there something that a sleep of this mode must not begin over? */
static bool has_reason(const struct consumer *c, enum consumer_wait mode, const _Atomic uint32_t *stop)
{
	bool mute = atomic_load(&c->header->mute) != 0;
	/* Mute writers have only the memory that was there before. */
	uint64_t room = mute && c->shard_bytes > SEGMENT_KEEP_BYTES ? SEGMENT_KEEP_BYTES : c->shard_bytes;
	uint64_t least = mode == WAIT_RECORD ? 8 : room / 2;
	uint64_t waiting;
	uint32_t i;

	if (atomic_load(&c->header->flush) != c->flush_seen || (stop != NULL && atomic_load(stop) != 0))
		return true;
	for (i = 0; i < c->n_shards && mode != WAIT_FLUSH; i++) {
		waiting = atomic_load(&c->header->shards[i].head) - c->read[i];
		/* What cannot be is no reason either, or a shard that cannot be repaired would keep us spinning. */
		if (waiting >= least && waiting <= c->shard_bytes && waiting % 8 == 0)
			return true;
	}
	return false;
}

/*
 * A writer may have looked at sleeping before we set it while its store of head was still on its way out of its CPU: it will not wake
 * us, and we have not seen its record. A while later such a store has arrived: then one more look, and sleep.
 */
static void sleep_after_second_look(struct consumer *c, enum consumer_wait mode, int timeout_ms,
				    const _Atomic uint32_t *stop)
{
	bool longer = timeout_ms < 0 || timeout_ms > SECOND_LOOK_MS;
	int r = sys_futex_wait_ms(&c->header->sleeping, (uint32_t)mode, longer ? SECOND_LOOK_MS : timeout_ms);

	if (r != -ETIMEDOUT || !longer || has_reason(c, mode, stop))
		return;
	sys_futex_wait_ms(&c->header->sleeping, (uint32_t)mode, timeout_ms < 0 ? -1 : timeout_ms - SECOND_LOOK_MS);
}

static void sleep_in_slices(struct consumer *c, enum consumer_wait mode, int timeout_ms, const _Atomic uint32_t *stop)
{
	int slice, r;

	do {
		slice = timeout_ms < 0 || timeout_ms > MUTE_LOOK_MS ? MUTE_LOOK_MS : timeout_ms;
		r = sys_futex_wait_ms(&c->header->sleeping, (uint32_t)mode, slice);
		timeout_ms -= timeout_ms < 0 ? 0 : slice;
	} while (r == -ETIMEDOUT && timeout_ms != 0 && !has_reason(c, mode, stop));
}

void consumer_wait(struct consumer *c, enum consumer_wait mode, int timeout_ms, const _Atomic uint32_t *stop)
{
	if (!consumer_heartbeat(c))
		return;
	if (mode == WAIT_RECORD && !has_reason(c, mode, stop))
		trim(c);
	atomic_store(&c->header->sleeping, (uint32_t)mode);
	if (!has_reason(c, mode, stop)) {
		if (atomic_load(&c->header->mute) != 0)
			sleep_in_slices(c, mode, timeout_ms, stop);
		else
			sleep_after_second_look(c, mode, timeout_ms, stop);
	}
	atomic_store(&c->header->sleeping, SEGMENT_AWAKE);
	consumer_heartbeat(c);
}

bool consumer_flush_wanted(struct consumer *c, uint32_t *ret_flush)
{
	*ret_flush = atomic_load(&c->header->flush);
	if (*ret_flush == c->flush_seen)
		return false;
	c->flush_seen = *ret_flush;
	return true;
}

void consumer_flush_done(struct consumer *c, uint32_t flush)
{
	atomic_store(&c->header->flushed, flush);
	sys_futex_wake(&c->header->flushed, INT32_MAX);
}

void consumer_set_collector_down(struct consumer *c, bool down)
{
	atomic_store(&c->header->collector_down, down);
}

void consumer_count(struct consumer *c, enum stat_id stat, uint64_t n)
{
	atomic_fetch_add_explicit(&c->header->consumer_counters[stat], n, memory_order_relaxed);
}

void consumer_totals(const struct consumer *c, uint64_t ret_totals[STAT_N])
{
	uint32_t i, stat;

	for (stat = 0; stat < STAT_N; stat++)
		ret_totals[stat] = atomic_load(&c->header->consumer_counters[stat]);
	for (i = 0; i < SEGMENT_MAX_PROCESSES; i++)
		for (stat = 0; stat < STAT_N; stat++)
			ret_totals[stat] += atomic_load(&c->header->processes[i].counters[stat]);
}

bool consumer_process(const struct consumer *c, uint32_t index, struct consumer_process *ret)
{
	const struct segment_process *process;

	if (index >= SEGMENT_MAX_PROCESSES)
		return false;
	process = &c->header->processes[index];
	ret->pid = atomic_load(&process->pid);
	ret->parent_pid = process->parent_pid;
	ret->start_time = atomic_load(&process->start_time);
	ret->stays = atomic_load(&process->left) == SEGMENT_STAYS;
	memcpy(ret->instance_id, process->instance_id, sizeof(ret->instance_id));
	return ret->pid != 0;
}

void consumer_creator(const struct consumer *c, struct consumer_process *ret)
{
	*ret = (struct consumer_process){.pid = c->header->creator_pid,
					 .parent_pid = c->header->creator_parent_pid,
					 .start_time = c->header->creator_start_time};
	memcpy(ret->instance_id, c->header->creator_instance_id, sizeof(ret->instance_id));
}

uint32_t consumer_resource(const struct consumer *c, uint8_t *items, uint32_t cap)
{
	uint32_t len = *(volatile const uint32_t *)&c->header->resource_len;

	if (len > cap || len > SEGMENT_RESOURCE_BYTES)
		return 0;
	memcpy(items, c->header->resource, len);
	return items_valid(items, len) ? len : 0;
}

bool consumer_has_writers(const struct consumer *c)
{
	uint32_t i;

	if (c->elsewhere)
		return !c->abandoned;
	for (i = 0; i < SEGMENT_MAX_PROCESSES; i++) {
		struct segment_process *process = &c->header->processes[i];

		if (atomic_load(&process->pid) != 0 && atomic_load(&process->left) == 0 &&
		    task_is_alive(atomic_load(&process->pid), atomic_load(&process->start_time)))
			return true;
	}
	return false;
}
