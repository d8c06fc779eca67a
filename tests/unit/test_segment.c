/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/clock.h"
#include "shim/config.h"
#include "shim/rundir.h"
#include "shim/sys.h"
#include "shim/task.h"
#include "tests/unit/segment_fixture.h"

static bool private_shm;

static int begin(void **state)
{
	private_shm = use_private_shm("8m");
	return set_deadline(state);
}

/* ---- the file ---- */

static void the_file_is_ours_alone(void **state)
{
	struct segment s = {0};
	struct stat st;
	char dir[RUNDIR_PATH_MAX], expected[128];
	int fds = count_fds();

	(void)state;
	make_segment(&s, 4096);
	assert_int_equal(count_fds(), fds);
	rundir_path(dir);
	snprintf(expected, sizeof(expected), "%s/%d-%lu.seg", dir, getpid(), task_start_time((uint32_t)getpid()));
	assert_string_equal(s.path, expected);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(s.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, s.map_bytes);
	assert_memory_equal(s.header->magic, SEGMENT_MAGIC, 8);
	assert_int_equal(s.header->total_bytes, s.map_bytes);
	assert_int_equal(s.header->creator_pid, getpid());
	assert_int_equal(s.header->processes[s.process].pid, getpid());
	assert_int_equal(s.header->processes[s.process].parent_pid, getppid());
	segment_leave(&s);
	assert_int_equal(stat(s.path, &st), -1);
	drop_segment(&s);
}

static void sizes_follow_the_queue(void **state)
{
	static const int64_t queues[] = {1, 512, 4096, 10000, 32768};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
		struct segment s = {0};
		uint64_t bytes;

		make_segment(&s, queues[i]);
		bytes = s.n_shards * s.shard_bytes;
		assert_int_equal(s.n_shards & (s.n_shards - 1), 0);
		assert_int_equal(s.shard_bytes & (s.shard_bytes - 1), 0);
		assert_in_range(s.n_shards, 2, SEGMENT_MAX_SHARDS);
		assert_true(s.shard_bytes >= 64 * 1024);
		assert_true(bytes >= (uint64_t)queues[i] * SEGMENT_BYTES_PER_SPAN);
		assert_true(s.shard_bytes == 64 * 1024 ||
			    bytes < 2 * (uint64_t)queues[i] * SEGMENT_BYTES_PER_SPAN);
		assert_int_equal(s.n_shards, s.header->n_shards);
		assert_int_equal(s.shard_bytes, s.header->shard_bytes);
		drop_segment(&s);
	}
}

static void create_without_stdio(void *arg)
{
	struct segment s = {0};
	int fd;

	(void)arg;
	for (fd = 0; fd <= 2; fd++)
		close(fd);
	make_segment(&s, 1);
	for (fd = 0; fd < 20; fd++)
		if (fcntl(fd, F_GETFD) != -1 && fd <= 2)
			_exit(1);
	if (s.path[0] == '\0')
		_exit(2);
	drop_segment(&s);
}

static void open_without_stdio(void *arg)
{
	(void)arg;
	close(0);
	close(2);
	if (sys_open("/", O_PATH) <= 2 || fcntl(0, F_GETFD) != -1 || fcntl(2, F_GETFD) != -1)
		_exit(1);
}

static void closed_stdio_stays_closed(void **state)
{
	(void)state;
	assert_int_equal(in_child(open_without_stdio, NULL), 0);
	assert_int_equal(in_child(create_without_stdio, NULL), 0);
}

static void expect_anonymous(void)
{
	struct segment s = {0};

	make_segment(&s, 1);
	assert_string_equal(s.path, "");
	assert_int_equal(put(&s, 128, 1, 1, NULL), 0);
	segment_leave(&s);
	drop_segment(&s);
}

static void a_strange_directory_is_not_used(void **state)
{
	char dir[RUNDIR_PATH_MAX];

	(void)state;
	if (!private_shm)
		skip();
	rundir_path(dir);
	assert_int_equal(chmod(dir, 0750), 0);
	expect_anonymous();
	assert_int_equal(rmdir(dir), 0);
	/* Not by way of a symlink either, wherever it leads. */
	assert_int_equal(mkdir("/dev/shm/elsewhere", 0700), 0);
	assert_int_equal(symlink("/dev/shm/elsewhere", dir), 0);
	expect_anonymous();
	assert_int_equal(unlink(dir), 0);
	assert_int_equal(rmdir("/dev/shm/elsewhere"), 0);
	assert_int_equal(close(creat(dir, 0700)), 0);
	expect_anonymous();
	assert_int_equal(unlink(dir), 0);
	if (geteuid() == 0) {
		assert_int_equal(mkdir(dir, 0700), 0);
		assert_int_equal(chown(dir, 12345, 12345), 0);
		expect_anonymous();
		assert_int_equal(rmdir(dir), 0);
	}
}

static void create_with_file_limit(void *arg)
{
	struct rlimit limit = {4096, 4096};

	(void)arg;
	setrlimit(RLIMIT_FSIZE, &limit);
	expect_anonymous();
}

static void create_with_no_fds(void *arg)
{
	struct rlimit limit = {3, 3};

	(void)arg;
	setrlimit(RLIMIT_NOFILE, &limit);
	expect_anonymous();
}

/* SIGXFSZ, or no descriptor to be had: memory without a name. */
static void limits_are_survived(void **state)
{
	(void)state;
	assert_int_equal(in_child(create_with_file_limit, NULL), 0);
	assert_int_equal(in_child(create_with_no_fds, NULL), 0);
}

/* Not a SIGBUS but a drop, when /dev/shm is full; with no room for the header, memory without a name. */
static void a_full_dev_shm_is_survived(void **state)
{
	struct segment s = {0};
	struct consumer c;
	struct consumer_batch *batch;
	char *zeros;
	uint64_t n = 0;
	int fd;

	(void)state;
	if (!private_shm)
		skip();
	batch = make_batch(1 << 20);
	zeros = calloc(1, 1 << 16);
	make_segment(&s, 65536); /* 32 MiB, of which 8 can be had */
	assert_string_not_equal(s.path, "");
	while (put(&s, 1024, 1, n, NULL) == 0)
		n++;
	assert_in_range(n, 4000, 8 * 1024);
	expect_anonymous();
	assert_int_equal(consumer_attach_segment(&c, &s), 0);
	assert_int_equal(consumer_claim(&c), 0);
	assert_int_equal(drain(&c, batch), n);
	assert_int_equal(put(&s, 1024, 1, n, NULL), 0);
	free_batch(batch);
	drop_segment(&s);
	fd = open("/dev/shm/filler", O_CREAT | O_RDWR, 0600);
	while (write(fd, zeros, 1 << 16) > 0)
		;
	close(fd);
	expect_anonymous();
	unlink("/dev/shm/filler");
	free(zeros);
}

/* An exec keeps pid and start time: the later image numbers its file, and retires the earlier one's entry. */
static void a_second_image_of_a_process(void **state)
{
	struct segment first = {0}, second = {0};
	uint64_t word = 1ull << 32 | 7;

	(void)state;
	make_segment(&first, 1);
	atomic_store(&first.header->shards[1].owner, word);
	atomic_store(&first.header->shards[0].owner, word + (1ull << 32));
	assert_int_equal(first.process, 0);
	make_segment(&second, 1);
	assert_string_not_equal(second.path, "");
	assert_string_not_equal(first.path, second.path);
	assert_int_equal(first.header->processes[0].left, 1);
	assert_int_equal(first.header->shards[1].owner, 0);
	assert_int_not_equal(first.header->shards[0].owner, 0);
	assert_int_equal(second.header->processes[0].left, 0);
	drop_segment(&first);
	drop_segment(&second);
}

/* ---- appending ---- */

static void a_full_segment_drops(void **state)
{
	struct segment s = {0};
	struct consumer c;
	struct consumer_batch *batch = make_batch(1 << 20);
	uint64_t n = 0;
	int r;

	(void)state;
	make_segment(&s, 1);
	while ((r = put(&s, 512, 1, n, NULL)) == 0)
		n++;
	assert_int_equal(r, -ENOBUFS);
	assert_int_equal(n, s.n_shards * s.shard_bytes / 512);
	assert_false(segment_is_empty(&s));
	assert_int_equal(consumer_attach_segment(&c, &s), 0);
	assert_int_equal(consumer_claim(&c), 0);
	assert_int_equal(drain(&c, batch), n);
	assert_true(segment_is_empty(&s));
	assert_int_equal(put(&s, 512, 1, 0, NULL), 0);
	free_batch(batch);
	drop_segment(&s);
}

/* Many laps, with sizes that leave every kind of rest at the ring's end: nothing lost, torn or out of order. */
static void records_go_round(void **state)
{
	struct segment s = {0};
	struct consumer c;
	struct consumer_batch *batch = make_batch(1 << 20);
	uint64_t written = 0, taken = 0, last[SEGMENT_MAX_SHARDS] = {0};
	unsigned seed = 1, round;
	uint8_t *at;

	(void)state;
	make_segment(&s, 1);
	assert_int_equal(consumer_attach_segment(&c, &s), 0);
	assert_int_equal(consumer_claim(&c), 0);
	for (round = 0; round < 400; round++) {
		unsigned burst = (unsigned)rand_r(&seed) % 120;

		while (burst-- > 0) {
			uint32_t size = 128 + (uint32_t)(rand_r(&seed) % 200) * 8;

			if (put(&s, size, 0, written + 1, NULL) == 0)
				written++;
		}
		consumer_take(&c, batch, (uint32_t)(rand_r(&seed) % 150) + 1);
		for (at = batch->bytes; at < batch->bytes + batch->len; at += ((struct record *)(void *)at)->size) {
			assert_true(is_intact((struct record *)(void *)at));
			last[0] = record_number((struct record *)(void *)at);
		}
		taken += batch->n;
		assert_int_equal(batch->invalid, 0);
		assert_true(consumer_release(&c, batch));
	}
	assert_int_equal(taken + drain(&c, batch), written);
	assert_true(last[0] <= written);
	free_batch(batch);
	drop_segment(&s);
}

static void a_busy_shard_means_the_next(void **state)
{
	static _Alignas(8) uint8_t memory[256];
	struct segment s = {0};
	struct record *r = make_record(memory, 256, 1, 1);
	uint32_t home = 0, i;
	bool wake;

	(void)state;
	make_segment(&s, 1);
	atomic_store(&s.header->shards[0].owner, 5);
	assert_int_equal(segment_append(&s, r, &home, &wake), 0);
	assert_int_equal(home, 1);
	assert_int_equal(s.header->shards[1].head, 256);
	assert_int_equal(s.header->shards[1].owner, 0);
	assert_int_equal(s.header->shards[0].owner, 5);
	for (i = 0; i < s.n_shards; i++)
		atomic_store(&s.header->shards[i].owner, 5);
	assert_int_equal(segment_append(&s, r, &home, &wake), -ENOBUFS);
	assert_false(wake);
	drop_segment(&s);
}

/* Whatever stands in a shard's words, nothing but that shard's ring is written to. */
static void corrupt_positions_lead_nowhere_else(void **state)
{
	static _Alignas(8) uint8_t memory[256];
	struct segment s = {0};
	struct record *r = make_record(memory, 256, 1, 1);
	unsigned seed = 1, round;
	uint8_t *before;
	bool wake;

	(void)state;
	make_segment(&s, 1);
	memset(s.rings, 0xaa, s.n_shards * s.shard_bytes);
	before = malloc(s.map_bytes);
	for (round = 0; round < 300; round++) {
		struct segment_shard *shard = &s.header->shards[1];
		uint64_t word = (uint64_t)rand_r(&seed) << 33 ^ (uint64_t)rand_r(&seed) << 16 ^ (uint64_t)rand_r(&seed);
		uint32_t home = 1, i;

		for (i = 0; i < s.n_shards; i++)
			atomic_store(&s.header->shards[i].owner, i != 1);
		atomic_store(&shard->head, round < 100 ? word : UINT64_MAX - round);
		atomic_store(&shard->tail, round % 3 == 0 ? word - round : round % 3 == 1 ? 0 : word);
		atomic_store(&shard->populated, s.shard_bytes);
		memcpy(before, s.header, s.map_bytes);
		segment_append(&s, r, &home, &wake);
		memcpy(before + ((uint8_t *)shard - (uint8_t *)s.header), shard, sizeof(*shard));
		memcpy(before + (s.rings + s.shard_bytes - (uint8_t *)s.header), s.rings + s.shard_bytes, s.shard_bytes);
		assert_memory_equal(before, s.header, s.map_bytes);
	}
	free(before);
	/* tail ahead of head: no room, and not all of it. */
	for (round = 8; round < 4096; round += 8) {
		uint32_t home = 1;

		atomic_store(&s.header->shards[1].head, 8192);
		atomic_store(&s.header->shards[1].tail, 8192 + round);
		assert_int_equal(segment_append(&s, r, &home, &wake), -ENOBUFS);
	}
	drop_segment(&s);
}

/* The mapped sizes are not looked at again after the start. */
static void corrupt_sizes_change_nothing(void **state)
{
	struct segment s = {0};

	(void)state;
	make_segment(&s, 1);
	s.header->n_shards = 1u << 31;
	s.header->shard_bytes = UINT64_MAX;
	s.header->total_bytes = 0;
	assert_int_equal(put(&s, 512, 1, 1, NULL), 0);
	drop_segment(&s);
}

/* ---- wake-ups ---- */

static void count_wakes(struct segment *s, uint32_t sleeping, unsigned records, unsigned expected)
{
	static _Alignas(8) uint8_t memory[1024];
	struct record *r = make_record(memory, 1024, 1, 1);
	uint32_t home = 0, i;
	unsigned wakes = 0;
	bool wake;

	for (i = 0; i < s->n_shards; i++)
		atomic_store(&s->header->shards[i].tail, atomic_load(&s->header->shards[i].head));
	atomic_store(&s->header->sleeping, sleeping);
	for (; records > 0; records--) {
		assert_int_equal(segment_append(s, r, &home, &wake), 0);
		wakes += wake;
	}
	assert_int_equal(wakes, expected);
}

/* The first record after idleness, and the half-full mark of a shard: no other. */
static void wake_ups(void **state)
{
	struct segment s = {0};
	unsigned half;

	(void)state;
	make_segment(&s, 1);
	half = (unsigned)(s.shard_bytes / 1024 / 2);
	count_wakes(&s, SEGMENT_SLEEP_RECORD, 1, 1);
	assert_int_equal(s.header->sleeping, SEGMENT_AWAKE);
	count_wakes(&s, SEGMENT_SLEEP_RECORD, half - 1, 1);
	count_wakes(&s, SEGMENT_SLEEP_RECORD, half, 2);
	count_wakes(&s, SEGMENT_SLEEP_HALF, half - 1, 0);
	assert_int_equal(s.header->sleeping, SEGMENT_SLEEP_HALF);
	count_wakes(&s, SEGMENT_SLEEP_HALF, 2 * half - 1, 1);
	assert_int_equal(s.header->sleeping, SEGMENT_AWAKE);
	count_wakes(&s, SEGMENT_AWAKE, half - 1, 0);
	count_wakes(&s, SEGMENT_AWAKE, half, 1);
	count_wakes(&s, SEGMENT_SLEEP_FLUSH, 2 * half - 1, 0);
	assert_int_equal(s.header->sleeping, SEGMENT_SLEEP_FLUSH);
	assert_int_equal(segment_wake(&s), 0);
	assert_int_equal(s.header->sleeping, SEGMENT_AWAKE);
	drop_segment(&s);
}

/* ---- processes ---- */

/* What a sandbox may hold against a writer: touching a page that is not there yet, and waking. */
static void a_sealed_segment_asks_for_nothing(void **state)
{
	struct segment s = {0};
	bool wake = false;
	uint64_t n = 0;
	uint32_t i;

	(void)state;
	make_segment(&s, 32768);
	segment_seal(&s);
	assert_int_equal(s.header->mute, 1);
	atomic_store(&s.header->sleeping, SEGMENT_SLEEP_RECORD);
	while (put(&s, 1024, 1, 1, &wake) == 0) {
		assert_false(wake);
		n++;
	}
	assert_int_equal(n, s.n_shards * SEGMENT_KEEP_BYTES / 1024);
	assert_int_equal(s.header->sleeping, SEGMENT_SLEEP_RECORD);
	for (i = 0; i < s.n_shards; i++)
		assert_int_equal(s.header->shards[i].populated, SEGMENT_KEEP_BYTES);
	drop_segment(&s);
}

static void join_and_leave(void *arg)
{
	struct segment *s = arg;
	uint32_t parent = s->process;

	if (segment_join(s) != 0 || s->process == parent)
		_exit(1);
	if (memcmp(s->header->processes[s->process].instance_id, s->header->processes[parent].instance_id, 16) == 0)
		_exit(2);
	if (put(s, 256, 2, 1, NULL) != 0)
		_exit(3);
	stats_move(s->header->processes[s->process].counters);
	stats_count(STAT_WRITTEN);
	segment_leave(s);
}

static void children_share(void **state)
{
	struct segment s = {0};
	struct consumer c;
	struct consumer_batch *batch = make_batch(1 << 16);
	struct consumer_process process;
	uint64_t totals[STAT_N];

	(void)state;
	make_segment(&s, 1);
	assert_int_equal(consumer_attach_segment(&c, &s), 0);
	assert_int_equal(consumer_claim(&c), 0);
	assert_int_equal(put(&s, 256, 1, 1, NULL), 0);
	assert_int_equal(consumer_take(&c, batch, 10), 1);
	assert_int_equal(in_child(join_and_leave, &s), 0);
	assert_int_equal(access(s.path, F_OK), 0);
	/* The child's entry is given to nobody before its record is released, and keeps its counts after. */
	assert_true(consumer_release(&c, batch));
	assert_int_equal(consumer_take(&c, batch, 10), 1);
	assert_true(consumer_process(&c, ((struct record *)(void *)batch->bytes)->process, &process));
	assert_int_not_equal(process.pid, getpid());
	assert_int_equal(process.parent_pid, getpid());
	assert_int_equal(process.instance_id[6] & 0xf0, 0x40);
	assert_int_equal(process.instance_id[8] & 0xc0, 0x80);
	consumer_totals(&c, totals);
	assert_int_equal(totals[STAT_WRITTEN], 1);
	assert_true(consumer_release(&c, batch));
	assert_int_equal(s.header->processes[1].pid, 0);
	consumer_totals(&c, totals);
	assert_int_equal(totals[STAT_WRITTEN], 1);
	segment_leave(&s);
	assert_int_equal(access(s.path, F_OK), -1);
	free_batch(batch);
	drop_segment(&s);
}

static void leave_without_joining(void *arg)
{
	segment_leave(arg);
}

static void join_full_table(void *arg)
{
	struct segment *s = arg;
	uint32_t parent = s->process;

	if (segment_join(s) != -ENOSPC || s->process != parent || put(s, 256, 1, 1, NULL) != 0)
		_exit(1);
	segment_leave(s);
}

static void a_full_table(void **state)
{
	struct segment s = {0};
	uint32_t i;

	(void)state;
	make_segment(&s, 1);
	assert_int_equal(in_child(leave_without_joining, &s), 0);
	assert_int_equal(s.header->processes[0].left, 0);
	for (i = 1; i < SEGMENT_MAX_PROCESSES; i++)
		atomic_store(&s.header->processes[i].pid, (uint32_t)getpid());
	assert_int_equal(in_child(join_full_table, &s), 0);
	assert_int_equal(s.header->processes[0].left, 0);
	/* The last quarter asks for the entries of those that are gone. */
	atomic_store(&s.header->processes[SEGMENT_MAX_PROCESSES - 1].pid, 0);
	assert_int_equal(s.header->flush, 0);
	assert_int_equal(in_child(join_and_leave, &s), 0);
	assert_int_equal(s.header->flush, 1);
	drop_segment(&s);
}

static void join_and_write_nothing(void *arg)
{
	struct segment *s = arg;

	if (segment_join(s) != 0)
		_exit(1);
	segment_leave(s);
}

/* Where nothing in the segment speaks of them any more, entries of processes that left need no consumer to become free. */
static void children_come_and_go(void **state)
{
	struct segment s = {0};
	unsigned i;

	(void)state;
	make_segment(&s, 1);
	for (i = 0; i < 3 * SEGMENT_MAX_PROCESSES; i++)
		assert_int_equal(in_child(join_and_write_nothing, &s), 0);
	assert_int_equal(s.header->processes[0].pid, getpid());
	/* One record is enough to keep them: whose it is, only its consumer says. */
	assert_int_equal(put(&s, 256, 1, 1, NULL), 0);
	for (i = 0; i < SEGMENT_MAX_PROCESSES; i++)
		(void)in_child(join_and_write_nothing, &s);
	for (i = 0; i < SEGMENT_MAX_PROCESSES; i++)
		assert_int_not_equal(s.header->processes[i].pid, 0);
	drop_segment(&s);
}

static void sleep_for_ever(void *arg)
{
	(void)arg;
	for (;;)
		pause();
}

static void who_is_alive(void **state)
{
	pid_t pid = fork();
	uint64_t start;

	(void)state;
	if (pid == 0)
		sleep_for_ever(NULL);
	start = task_start_time((uint32_t)pid);
	assert_true(start > 0);
	assert_true(task_is_alive((uint32_t)pid, start));
	assert_true(task_is_alive((uint32_t)pid, 0));
	assert_false(task_is_alive((uint32_t)pid, start + 1));
	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	assert_false(task_is_alive((uint32_t)pid, start)); /* a zombie */
	waitpid(pid, NULL, 0);
	assert_false(task_is_alive((uint32_t)pid, start));
	assert_int_equal(task_start_time((uint32_t)pid), 0);
	assert_false(task_is_alive(0, 0));
	assert_false(task_is_alive(UINT32_MAX, 0));
}

static void who_consumes(void **state)
{
	struct segment s = {0};
	uint32_t pid = (uint32_t)getpid();
	uint64_t now = clock_monotonic_ns();
	uint64_t me = (uint64_t)pid << 32 | (uint32_t)task_start_time(pid);

	(void)state;
	make_segment(&s, 1);
	assert_false(segment_has_consumer(&s));
	atomic_store(&s.header->consumer, 0x7ffffffeull << 32);
	assert_false(segment_has_consumer(&s));
	atomic_store(&s.header->heartbeat_ns, now);
	assert_true(segment_has_consumer(&s)); /* believed, for a moment */
	atomic_store(&s.header->heartbeat_ns, now - 10000000000ull);
	assert_false(segment_has_consumer(&s));
	atomic_store(&s.header->consumer, me);
	assert_true(segment_has_consumer(&s));
	atomic_store(&s.header->consumer, me + 1); /* the number was given to another since */
	assert_false(segment_has_consumer(&s));
	atomic_store(&s.header->consumer, me);
	atomic_store(&s.header->heartbeat_ns, now - (SEGMENT_CONSUMER_STALE_MS + 1000) * 1000000ull);
	assert_false(segment_has_consumer(&s)); /* awake and silent */
	atomic_store(&s.header->sleeping, SEGMENT_SLEEP_RECORD);
	assert_true(segment_has_consumer(&s)); /* asleep */
	drop_segment(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_file_is_ours_alone),
		cmocka_unit_test(sizes_follow_the_queue),
		cmocka_unit_test(closed_stdio_stays_closed),
		cmocka_unit_test(limits_are_survived),
		cmocka_unit_test(a_full_dev_shm_is_survived),
		cmocka_unit_test(a_second_image_of_a_process),
		cmocka_unit_test(a_full_segment_drops),
		cmocka_unit_test(records_go_round),
		cmocka_unit_test(a_busy_shard_means_the_next),
		cmocka_unit_test(corrupt_positions_lead_nowhere_else),
		cmocka_unit_test(corrupt_sizes_change_nothing),
		cmocka_unit_test(wake_ups),
		cmocka_unit_test(a_sealed_segment_asks_for_nothing),
		cmocka_unit_test(children_share),
		cmocka_unit_test(a_full_table),
		cmocka_unit_test(children_come_and_go),
		cmocka_unit_test(who_is_alive),
		cmocka_unit_test(who_consumes),
		cmocka_unit_test(a_strange_directory_is_not_used),
	};

	return cmocka_run_group_tests(tests, begin, NULL);
}
