/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/clock.h"
#include "shim/task.h"
#include "tests/unit/segment_fixture.h"

static struct segment s;
static struct consumer c;
static struct consumer_batch *batch;

static int begin(void **state)
{
	(void)state;
	make_segment(&s, 1);
	assert_int_equal(consumer_attach_segment(&c, &s), 0);
	assert_int_equal(consumer_claim(&c), 0);
	batch = make_batch(1 << 20);
	return 0;
}

static int end(void **state)
{
	(void)state;
	consumer_detach(&c);
	free_batch(batch);
	drop_segment(&s);
	return 0;
}

static void put_many(unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		assert_int_equal(put(&s, 256, 1, i, NULL), 0);
}

/* ---- taking ---- */

static void what_is_not_released_stays(void **state)
{
	(void)state;
	put_many(10);
	assert_int_equal(consumer_take(&c, batch, 100), 10);
	assert_int_equal(batch->len, 2560);
	assert_false(consumer_is_empty(&c));
	assert_int_equal(consumer_take(&c, batch, 100), 0);
	consumer_rewind(&c);
	assert_int_equal(consumer_take(&c, batch, 100), 10);
	assert_true(consumer_release(&c, batch));
	assert_true(consumer_is_empty(&c));
	consumer_rewind(&c);
	assert_int_equal(consumer_take(&c, batch, 100), 0);
}

static void batches_have_limits(void **state)
{
	struct consumer_batch *small = make_batch(RECORD_MAX_BYTES);
	unsigned i, n = 0;

	(void)state;
	put_many(100);
	assert_int_equal(consumer_take(&c, batch, 7), 7);
	assert_true(consumer_release(&c, batch));
	assert_int_equal(consumer_take(&c, small, 100), 32);
	assert_true(consumer_release(&c, small));
	for (i = 0; i < 61; i++) {
		assert_int_equal(consumer_take(&c, batch, 1), 1);
		n += record_number((struct record *)(void *)batch->bytes) >= 39;
		assert_true(consumer_release(&c, batch));
	}
	assert_int_equal(n, 61);
	assert_int_equal(consumer_take(&c, batch, 1), 0);
	free_batch(small);
}

static void several_batches_may_be_out(void **state)
{
	struct consumer_batch *second = make_batch(1 << 16);

	(void)state;
	put_many(20);
	assert_int_equal(consumer_take(&c, batch, 5), 5);
	assert_int_equal(consumer_take(&c, second, 5), 5);
	assert_true(consumer_release(&c, batch));
	put_many(5);
	assert_true(consumer_release(&c, second));
	assert_int_equal(drain(&c, batch), 15);
	assert_true(consumer_is_empty(&c));
	free_batch(second);
}

/* At low rates the same few pages are used, however long it goes on. */
static void memory_stays_small(void **state)
{
	uint64_t populated = 0;
	unsigned round, i;

	(void)state;
	for (round = 0; round < 2000; round++) {
		put_many(20);
		assert_int_equal(drain(&c, batch), 20);
	}
	for (i = 0; i < s.n_shards; i++) {
		populated += atomic_load(&s.header->shards[i].populated);
		assert_int_equal(atomic_load(&s.header->shards[i].head) % s.shard_bytes, 0);
	}
	assert_true(populated <= 8192);
}

static size_t resident(const uint8_t *from, size_t len)
{
	static unsigned char pages[65536];
	size_t i, n = 0;

	assert_true(len / 4096 <= sizeof(pages));
	assert_int_equal(mincore((void *)(uintptr_t)from, len, pages), 0);
	for (i = 0; i < len / 4096; i++)
		n += pages[i] & 1;
	return n * 4096;
}

/* What a burst has used is given back when the program is idle again, and is there again when it is needed. */
static void a_burst_leaves_no_memory(void **state)
{
	struct segment big = {0};
	struct consumer d;
	size_t len;

	(void)state;
	make_segment(&big, 32768);
	len = big.n_shards * big.shard_bytes;
	assert_int_equal(consumer_attach_segment(&d, &big), 0);
	assert_int_equal(consumer_claim(&d), 0);
	while (put(&big, 1024, 1, 0, NULL) == 0)
		;
	assert_int_equal(resident(big.rings, len), len);
	drain(&d, batch);
	consumer_wait(&d, WAIT_RECORD, 1, NULL);
	assert_true(resident(big.rings, len) <= big.n_shards * 128 * 1024);
	assert_int_equal(put(&big, 1024, 1, 0, NULL), 0);
	assert_int_equal(drain(&d, batch), 1);
	drop_segment(&big);
}

/* ---- claiming ---- */

static void claim_and(void *arg)
{
	int *step = arg;
	struct consumer mine;

	if (consumer_attach_segment(&mine, &s) != 0 || consumer_claim(&mine) != 0)
		_exit(1);
	if (consumer_take(&mine, batch, 100) != 10)
		_exit(2);
	if (write(*step, "x", 1) != 1)
		_exit(3);
	pause();
}

static pid_t start_other(void)
{
	int ends[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		claim_and(&ends[1]);
		_exit(0);
	}
	assert_int_equal(read(ends[0], &byte, 1), 1);
	close(ends[0]);
	close(ends[1]);
	return pid;
}

static void one_consumer_at_a_time(void **state)
{
	pid_t pid;

	(void)state;
	consumer_resign(&c);
	assert_int_equal(s.header->consumer, 0);
	put_many(10);
	pid = start_other();
	assert_int_equal(consumer_claim(&c), -EBUSY);
	assert_false(consumer_heartbeat(&c));
	assert_false(consumer_release(&c, batch));
	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	/* Dead, though not yet waited for and its heartbeat fresh. What it had taken is taken again. */
	assert_int_equal(consumer_claim(&c), 0);
	waitpid(pid, NULL, 0);
	assert_int_equal(consumer_claim(&c), 0);
	assert_int_equal(consumer_take(&c, batch, 100), 10);
	assert_true(consumer_release(&c, batch));
}

static void a_stale_consumer_is_taken_over_from(void **state)
{
	pid_t pid;

	(void)state;
	consumer_resign(&c);
	put_many(10);
	pid = start_other();
	kill(pid, SIGSTOP);
	atomic_store(&s.header->heartbeat_ns,
		     clock_monotonic_ns() - (SEGMENT_CONSUMER_STALE_MS + 1000) * 1000000ull);
	atomic_store(&s.header->sleeping, SEGMENT_SLEEP_RECORD);
	assert_int_equal(consumer_claim(&c), -EBUSY);
	atomic_store(&s.header->sleeping, SEGMENT_AWAKE);
	assert_int_equal(consumer_claim(&c), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Who was taken over from notices, and moves nothing. */
static void a_late_release_is_refused(void **state)
{
	uint64_t tails[SEGMENT_MAX_SHARDS];
	uint32_t i;

	(void)state;
	put_many(10);
	assert_int_equal(consumer_take(&c, batch, 100), 10);
	atomic_store(&s.header->consumer, 0x123400000001ull);
	for (i = 0; i < s.n_shards; i++)
		tails[i] = atomic_load(&s.header->shards[i].tail);
	assert_false(consumer_heartbeat(&c));
	assert_false(consumer_release(&c, batch));
	for (i = 0; i < s.n_shards; i++)
		assert_int_equal(atomic_load(&s.header->shards[i].tail), tails[i]);
	consumer_resign(&c);
	assert_int_equal(s.header->consumer, 0x123400000001ull);
}

/* ---- sleeping ---- */

static _Atomic uint32_t stop;
static _Atomic bool awake;

struct sleep_args {
	enum consumer_wait mode;
	int timeout_ms;
};

static void *sleep_once(void *arg)
{
	struct sleep_args *args = arg;

	assert_int_equal(consumer_claim(&c), 0);
	consumer_wait(&c, args->mode, args->timeout_ms, &stop);
	atomic_store(&awake, true);
	consumer_resign(&c);
	return NULL;
}

static pthread_t fall_asleep(struct sleep_args *args)
{
	pthread_t thread;

	consumer_resign(&c);
	atomic_store(&awake, false);
	atomic_store(&stop, 0);
	assert_int_equal(pthread_create(&thread, NULL, sleep_once, args), 0);
	WAIT_UNTIL(atomic_load(&s.header->sleeping) == (uint32_t)args->mode);
	return thread;
}

static void a_record_wakes_an_idle_consumer(void **state)
{
	struct sleep_args args = {WAIT_RECORD, -1};
	pthread_t thread = fall_asleep(&args);
	bool wake;

	(void)state;
	assert_int_equal(put(&s, 256, 1, 1, &wake), 0);
	assert_true(wake);
	assert_in_range(segment_wake(&s), 0, 1);
	pthread_join(thread, NULL);
	assert_int_equal(s.header->sleeping, SEGMENT_AWAKE);
}

static void half_a_shard_ends_a_batch(void **state)
{
	struct sleep_args args = {WAIT_HALF, -1};
	pthread_t thread = fall_asleep(&args);
	bool wake = false;

	(void)state;
	while (!wake) {
		assert_false(atomic_load(&awake));
		assert_int_equal(put(&s, 1024, 1, 1, &wake), 0);
	}
	assert_int_equal(s.header->sleeping, SEGMENT_AWAKE);
	segment_wake(&s);
	pthread_join(thread, NULL);
}

static void a_flush_ends_every_sleep(void **state)
{
	static const enum consumer_wait modes[] = {WAIT_RECORD, WAIT_HALF, WAIT_FLUSH};
	uint32_t flush;
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct sleep_args args = {modes[i], -1};
		pthread_t thread = fall_asleep(&args);

		atomic_fetch_add(&s.header->flush, 1);
		segment_wake(&s);
		pthread_join(thread, NULL);
		/* Not reported yet: no sleep begins over it. */
		assert_int_equal(consumer_claim(&c), 0);
		consumer_wait(&c, modes[i], -1, NULL);
		assert_true(consumer_flush_wanted(&c, &flush));
		assert_int_equal(flush, i + 1);
		assert_false(consumer_flush_wanted(&c, &flush));
		consumer_flush_done(&c, i + 1);
		assert_int_equal(s.header->flushed, i + 1);
	}
}

/* In a sandbox writers wake nobody. */
static void mute_writers_are_heard(void **state)
{
	static const enum consumer_wait modes[] = {WAIT_RECORD, WAIT_HALF};
	unsigned i;

	(void)state;
	segment_seal(&s);
	for (i = 0; i < 2; i++) {
		struct sleep_args args = {modes[i], -1};
		pthread_t thread = fall_asleep(&args);
		bool wake = false;

		while (put(&s, 1024, 1, 1, &wake) == 0 && modes[i] == WAIT_HALF)
			assert_false(wake);
		assert_false(wake);
		pthread_join(thread, NULL);
		assert_int_equal(consumer_claim(&c), 0);
		drain(&c, batch);
		consumer_resign(&c);
	}
}

/* Whether processes of another namespace live cannot be known: they are taken neither for dead nor over from. */
static void other_pid_namespaces_are_left_alone(void **state)
{
	struct consumer d;

	(void)state;
	segment_leave(&s);
	s.header->pid_namespace++;
	assert_int_equal(consumer_attach_segment(&d, &s), 0);
	assert_true(consumer_is_foreign(&d));
	assert_int_equal(consumer_claim(&d), -EXDEV);
	assert_true(consumer_has_writers(&d));
	s.header->pid_namespace = 0; /* not known */
	assert_int_equal(consumer_attach_segment(&d, &s), 0);
	assert_false(consumer_is_foreign(&d));
	assert_int_equal(consumer_claim(&d), 0);
	consumer_resign(&d);
}

static void leave_a_segment(void *path)
{
	struct segment mine;

	make_segment(&mine, 64);
	put(&mine, 1024, 1, 1, NULL);
	mine.header->pid_namespace++;
	strcpy(path, mine.path);
}

/* No number tells who lives there, but whether anybody has the file mapped does. */
static void dead_pid_namespaces_are_drained(void **state)
{
	char *path = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct consumer d;

	(void)state;
	s.header->pid_namespace++;
	assert_int_equal(consumer_open(&d, AT_FDCWD, s.path), 0);
	assert_true(consumer_is_foreign(&d)); /* we have it mapped ourselves */
	consumer_detach(&d);
	s.header->pid_namespace--;
	assert_int_equal(in_child(leave_a_segment, path), 0);
	assert_int_equal(consumer_open(&d, AT_FDCWD, path), 0);
	assert_false(consumer_is_foreign(&d));
	assert_false(consumer_has_writers(&d));
	assert_int_equal(consumer_claim(&d), 0);
	assert_int_equal(drain(&d, batch), 1);
	consumer_resign(&d);
	consumer_detach(&d);
	unlink(path);
	munmap(path, 4096);
}

static void stop_ends_every_sleep(void **state)
{
	struct sleep_args args = {WAIT_FLUSH, -1};
	pthread_t thread = fall_asleep(&args);

	(void)state;
	atomic_store(&stop, 1);
	segment_wake(&s);
	pthread_join(thread, NULL);
	assert_int_equal(consumer_claim(&c), 0);
	consumer_wait(&c, WAIT_RECORD, -1, &stop);
}

/* No sleep begins over what it would wait for; each ends at its timeout otherwise. */
static void sleeps_end_by_themselves(void **state)
{
	unsigned i;

	(void)state;
	consumer_wait(&c, WAIT_RECORD, 1, NULL);
	put_many(1);
	consumer_wait(&c, WAIT_RECORD, -1, NULL);
	consumer_wait(&c, WAIT_HALF, 1, NULL);
	consumer_wait(&c, WAIT_FLUSH, 1, NULL);
	assert_int_equal(consumer_take(&c, batch, 10), 1);
	consumer_wait(&c, WAIT_RECORD, 1, NULL); /* taken already: no reason to get up */
	assert_true(consumer_release(&c, batch));
	for (i = 0; put(&s, 1024, 1, 1, NULL) == 0; i++)
		;
	consumer_wait(&c, WAIT_HALF, -1, NULL);
	consumer_resign(&c);
	consumer_wait(&c, WAIT_FLUSH, -1, NULL); /* not ours: no sleep at all */
}

/* ---- hostile segments ---- */

static void wrong_sizes_are_refused(void **state)
{
	struct consumer d;
	struct segment_header good;

	(void)state;
	memcpy(&good, s.header, sizeof(good));
	assert_int_equal(consumer_attach(&d, s.header, s.map_bytes), 0);
	assert_int_equal(consumer_attach(&d, s.header, s.map_bytes - 1), -EINVAL);
	assert_int_equal(consumer_attach(&d, s.header, 100), -EINVAL);
#define REFUSED(field, value)                                                                                          \
	s.header->field = (value);                                                                                     \
	assert_int_equal(consumer_attach(&d, s.header, s.map_bytes), -EINVAL);                                         \
	memcpy(s.header, &good, 128)
	REFUSED(magic[0], 'x');
	REFUSED(version, SEGMENT_VERSION + 1);
	REFUSED(n_shards, 0);
	REFUSED(n_shards, 3);
	REFUSED(n_shards, good.n_shards * 2);
	REFUSED(n_shards, 128);
	REFUSED(n_shards, 1u << 31);
	REFUSED(shard_bytes, 0);
	REFUSED(shard_bytes, good.shard_bytes * 2);
	REFUSED(shard_bytes, good.shard_bytes - 8);
	REFUSED(shard_bytes, 8);
	REFUSED(shard_bytes, 1ull << 63);
#undef REFUSED
	assert_int_equal(consumer_attach(&d, s.header, s.map_bytes), 0);
}

static void strange_files_are_refused(void **state)
{
	char dir[] = "/tmp/interspan-test-XXXXXX";
	struct consumer d;
	int at;

	(void)state;
	assert_non_null(mkdtemp(dir));
	at = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(consumer_open(&d, at, "missing"), -ENOENT);
	assert_int_equal(close(openat(at, "empty", O_CREAT | O_WRONLY, 0600)), 0);
	assert_int_equal(consumer_open(&d, at, "empty"), -EINVAL);
	assert_int_equal(mkfifoat(at, "fifo", 0600), 0);
	assert_int_equal(consumer_open(&d, at, "fifo"), -EINVAL);
	assert_int_equal(consumer_open(&d, AT_FDCWD, dir), -EISDIR);
	assert_int_equal(symlinkat(s.path, at, "link"), 0);
	assert_int_equal(consumer_open(&d, at, "link"), -ELOOP);
	if (s.path[0] != '\0') {
		assert_int_equal(consumer_open(&d, AT_FDCWD, s.path), 0);
		consumer_detach(&d);
		assert_null(d.header);
	}
	unlinkat(at, "empty", 0);
	unlinkat(at, "fifo", 0);
	unlinkat(at, "link", 0);
	close(at);
	rmdir(dir);
}

static void expect_recovery(void)
{
	unsigned i;

	for (i = 0; i < 3; i++)
		drain(&c, batch);
	assert_true(consumer_is_empty(&c));
	put_many(50);
	assert_int_equal(drain(&c, batch), 50);
	assert_int_equal(batch->invalid, 0);
}

/* Whatever head says, the consumer ends with an empty shard that works again, and one loss counted. */
static void impossible_heads_are_repaired(void **state)
{
	uint64_t heads[] = {0, 1, 12, s.shard_bytes + 8, s.shard_bytes * 3, UINT64_MAX, UINT64_MAX - 7, 1ull << 63};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		uint64_t tail = atomic_load(&s.header->shards[0].tail);

		if (heads[i] == 0 && tail == 0)
			continue;
		atomic_store(&s.header->shards[0].head, heads[i] >= tail ? heads[i] : tail + heads[i]);
		consumer_take(&c, batch, 100);
		assert_in_range(batch->invalid, 0, 1);
		expect_recovery();
	}
	/* Behind tail, by more than a dying consumer leaves it. */
	atomic_store(&s.header->shards[0].head, atomic_load(&s.header->shards[0].tail) - 8);
	consumer_take(&c, batch, 100);
	expect_recovery();
}

/* A shard that cannot be repaired, because somebody alive holds it, does not keep an idle consumer awake. */
static void a_held_broken_shard_is_left_alone(void **state)
{
	uint64_t word = (uint64_t)(s.process + 1) << 32 | 1;
	struct sleep_args args = {WAIT_RECORD, -1};
	pthread_t thread;

	(void)state;
	atomic_store(&s.header->shards[0].owner, word);
	atomic_store(&s.header->shards[0].head, atomic_load(&s.header->shards[0].tail) + 13);
	assert_int_equal(consumer_take(&c, batch, 100), 0);
	thread = fall_asleep(&args);
	assert_false(atomic_load(&awake));
	atomic_store(&stop, 1);
	segment_wake(&s);
	pthread_join(thread, NULL);
	assert_int_equal(consumer_claim(&c), 0);
	assert_int_equal(s.header->shards[0].owner, word);
	atomic_store(&s.header->shards[0].owner, 0);
	consumer_take(&c, batch, 100);
	assert_int_equal(batch->invalid, 1);
	expect_recovery();
}

/* A consumer that died between the two stores of a rewind has lost nothing, and counts nothing. */
static void an_unfinished_rewind_is_finished(void **state)
{
	(void)state;
	put_many(3);
	assert_int_equal(drain(&c, batch), 3);
	atomic_store(&s.header->shards[0].head, s.shard_bytes + 512);
	atomic_store(&s.header->shards[0].tail, s.shard_bytes * 2);
	consumer_resign(&c);
	assert_int_equal(consumer_claim(&c), 0);
	assert_int_equal(consumer_take(&c, batch, 100), 0);
	assert_int_equal(batch->invalid, 0);
	expect_recovery();
}

static struct record *record_at(uint32_t shard, uint64_t offset)
{
	return (struct record *)(void *)(s.rings + shard * s.shard_bytes + offset);
}

/* Where ten records lie: put() keeps to one shard while it has room. */
static uint32_t put_ten(void)
{
	uint32_t shard = 0;

	put_many(10);
	while (atomic_load(&s.header->shards[shard].head) == atomic_load(&s.header->shards[shard].tail))
		shard++;
	return shard;
}

/* Bad contents of good size cost that record alone; a bad size costs what stands behind it too. */
static void broken_records_cost_what_they_must(void **state)
{
	uint32_t shard = put_ten();
	uint64_t tail = atomic_load(&s.header->shards[shard].tail) % s.shard_bytes;
	static const uint32_t sizes[] = {0, 8, 7, 64, 250, 8200, UINT32_MAX, UINT32_MAX - 7, 1u << 31};
	unsigned i;

	(void)state;
	record_at(shard, tail + 256)->kind = 9;
	record_at(shard, tail + 512)->items_len = 100000;
	record_at(shard, tail + 768)->version = 77;
	assert_int_equal(consumer_take(&c, batch, 100), 7);
	assert_int_equal(batch->invalid, 3);
	assert_true(consumer_release(&c, batch));
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		shard = put_ten();
		tail = atomic_load(&s.header->shards[shard].tail) % s.shard_bytes;
		record_at(shard, tail + 768)->size = sizes[i];
		assert_int_equal(consumer_take(&c, batch, 100), 3);
		assert_int_equal(batch->invalid, 1);
		assert_true(consumer_release(&c, batch));
		assert_true(consumer_is_empty(&c));
	}
	/* A padding that does not reach the ring's end. */
	shard = put_ten();
	tail = atomic_load(&s.header->shards[shard].tail) % s.shard_bytes;
	record_at(shard, tail)->version = 0;
	assert_int_equal(consumer_take(&c, batch, 100), 9);
	assert_int_equal(batch->invalid, 1);
	assert_true(consumer_release(&c, batch));
	expect_recovery();
}

static void random_contents_do_no_harm(void **state)
{
	unsigned seed = 3, round, i;

	(void)state;
	for (round = 0; round < 200; round++) {
		for (i = 0; i < s.n_shards * s.shard_bytes / 4; i += 1 + (unsigned)rand_r(&seed) % 64)
			((uint32_t *)(void *)s.rings)[i] = rand_r(&seed) % 3 ? (uint32_t)rand_r(&seed) % 512 & ~7u : 1;
		for (i = 0; i < s.n_shards; i++) {
			struct segment_shard *shard = &s.header->shards[i];

			atomic_fetch_add(&shard->head, (uint64_t)rand_r(&seed) % (2 * s.shard_bytes));
			atomic_store(&shard->owner, rand_r(&seed) % 8 ? 0 : (uint64_t)rand_r(&seed) << 32);
		}
		for (i = 0; i < 1000 && consumer_take(&c, batch, 100) != 0; i++)
			assert_true(consumer_release(&c, batch));
	}
	for (i = 0; i < s.n_shards; i++)
		atomic_store(&s.header->shards[i].owner, 0);
	consumer_take(&c, batch, 100);
	consumer_release(&c, batch);
	expect_recovery();
}

/* ---- the rest ---- */

static void processes_resources_and_totals(void **state)
{
	struct consumer_process process;
	uint8_t items[SEGMENT_RESOURCE_BYTES];
	uint64_t totals[STAT_N];
	uint32_t len;

	(void)state;
	assert_true(consumer_process(&c, s.process, &process));
	assert_int_equal(process.pid, getpid());
	assert_int_equal(process.start_time, task_start_time((uint32_t)getpid()));
	assert_false(consumer_process(&c, s.process + 1, &process));
	assert_false(consumer_process(&c, SEGMENT_MAX_PROCESSES, &process));
	assert_false(consumer_process(&c, UINT32_MAX, &process));
	len = consumer_resource(&c, items, sizeof(items));
	assert_true(len > 0);
	assert_int_equal(consumer_resource(&c, items, len - 1), 0);
	s.header->resource_len = SEGMENT_RESOURCE_BYTES + 1;
	assert_int_equal(consumer_resource(&c, items, sizeof(items)), 0);
	s.header->resource_len = len - 1;
	assert_int_equal(consumer_resource(&c, items, sizeof(items)), 0);
	atomic_store(&s.header->processes[3].counters[STAT_STARTED], 4);
	atomic_store(&s.header->processes[0].counters[STAT_STARTED], 3);
	consumer_count(&c, STAT_EXPORTED, 2);
	consumer_totals(&c, totals);
	assert_int_equal(totals[STAT_STARTED], 7);
	assert_int_equal(totals[STAT_EXPORTED], 2);
}

static void who_writes(void **state)
{
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		segment_join(&s);
		pause();
	}
	WAIT_UNTIL(atomic_load(&s.header->processes[1].start_time) != 0);
	segment_leave(&s);
	assert_true(consumer_has_writers(&c));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_false(consumer_has_writers(&c));
	consumer_set_collector_down(&c, true);
	assert_int_equal(s.header->collector_down, 1);
	consumer_set_collector_down(&c, false);
	assert_int_equal(s.header->collector_down, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_not_released_stays),
		TEST(batches_have_limits),
		TEST(several_batches_may_be_out),
		TEST(memory_stays_small),
		TEST(a_burst_leaves_no_memory),
		TEST(one_consumer_at_a_time),
		TEST(a_stale_consumer_is_taken_over_from),
		TEST(a_late_release_is_refused),
		TEST(a_record_wakes_an_idle_consumer),
		TEST(half_a_shard_ends_a_batch),
		TEST(a_flush_ends_every_sleep),
		TEST(mute_writers_are_heard),
		TEST(other_pid_namespaces_are_left_alone),
		TEST(dead_pid_namespaces_are_drained),
		TEST(stop_ends_every_sleep),
		TEST(sleeps_end_by_themselves),
		TEST(wrong_sizes_are_refused),
		TEST(strange_files_are_refused),
		TEST(impossible_heads_are_repaired),
		TEST(a_held_broken_shard_is_left_alone),
		TEST(an_unfinished_rewind_is_finished),
		TEST(broken_records_cost_what_they_must),
		TEST(random_contents_do_no_harm),
		TEST(processes_resources_and_totals),
		TEST(who_writes),
	};

	return cmocka_run_group_tests(tests, set_deadline, NULL);
}
