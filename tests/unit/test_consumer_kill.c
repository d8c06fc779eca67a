/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writers killed at any moment, many times: what they published is taken once and whole, what they were at is not seen, and their
 * shards and table entries come back into use.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/clock.h"
#include "tests/unit/segment_fixture.h"

#define WRITERS 3
#define KILL_NS 2500000000ull
#define MAX_LIVES 8192
#define NO_PTRACE 77

/* Per life of a writer, in memory that survives it: how many appends have returned 0. */
static _Atomic uint64_t *acknowledged;
static uint64_t taken[MAX_LIVES];
static struct segment segment;
static unsigned lives;

static pid_t start_writer(void)
{
	unsigned life = lives++;
	uint64_t number = 0;
	pid_t pid;

	assert_true(lives < MAX_LIVES);
	pid = fork();
	assert_true(pid >= 0);
	if (pid != 0)
		return pid;
	if (segment_join(&segment) != 0)
		_exit(1);
	for (;;)
		if (put(&segment, 128 + (uint32_t)(number % 50) * 8, life, number, NULL) == 0)
			atomic_store(&acknowledged[life], ++number);
}

/* A life's records may lie in several shards, but each shard keeps their order, and none comes twice: counting is enough. */
static void take_some(struct consumer *c, struct consumer_batch *batch, unsigned batches)
{
	uint8_t *at;

	/* Writers that live fill faster than this takes: no waiting for empty. */
	while (batches-- > 0 && consumer_take(c, batch, 1000) != 0) {
		assert_int_equal(batch->invalid, 0);
		for (at = batch->bytes; at < batch->bytes + batch->len; at += ((struct record *)(void *)at)->size) {
			assert_true(is_intact((struct record *)(void *)at));
			taken[record_source((struct record *)(void *)at)]++;
		}
		assert_true(consumer_release(c, batch));
	}
	assert_int_equal(batch->invalid, 0);
}

static void take_all(struct consumer *c, struct consumer_batch *batch)
{
	take_some(c, batch, UINT32_MAX);
}

static bool all_shards_free(void)
{
	uint32_t i;

	for (i = 0; i < segment.n_shards; i++)
		if (atomic_load(&segment.header->shards[i].owner) != 0)
			return false;
	return true;
}

static unsigned entries_in_use(void)
{
	unsigned i, n = 0;

	for (i = 0; i < SEGMENT_MAX_PROCESSES; i++)
		n += atomic_load(&segment.header->processes[i].pid) != 0;
	return n;
}

static void kills_lose_and_break_nothing(void **state)
{
	struct consumer_batch *batch = make_batch(1 << 20);
	uint64_t end = clock_monotonic_ns() + KILL_NS, total = 0;
	pid_t writers[WRITERS];
	struct consumer c;
	unsigned seed = 1, i;

	(void)state;
	acknowledged = mmap(NULL, MAX_LIVES * sizeof(*acknowledged), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	make_segment(&segment, 1);
	assert_int_equal(consumer_attach_segment(&c, &segment), 0);
	assert_int_equal(consumer_claim(&c), 0);
	for (i = 0; i < WRITERS; i++)
		writers[i] = start_writer();
	while (clock_monotonic_ns() < end) {
		unsigned spin = (unsigned)rand_r(&seed) % 20000;

		i = (unsigned)rand_r(&seed) % WRITERS;
		take_some(&c, batch, 2);
		while (spin-- > 0)
			__asm__ volatile("" ::: "memory");
		kill(writers[i], SIGKILL);
		waitpid(writers[i], NULL, 0);
		/* The table is full for a moment when many die between two looks: the consumer frees it as it goes. */
		WAIT_UNTIL(entries_in_use() < SEGMENT_MAX_PROCESSES - WRITERS || (take_some(&c, batch, 2), false));
		writers[i] = start_writer();
	}
	for (i = 0; i < WRITERS; i++) {
		kill(writers[i], SIGKILL);
		waitpid(writers[i], NULL, 0);
	}
	take_all(&c, batch);
	WAIT_UNTIL(all_shards_free() || (take_all(&c, batch), false));
	WAIT_UNTIL(entries_in_use() == 1 || (take_all(&c, batch), consumer_release(&c, batch), false));
	for (i = 0; i < lives; i++) {
		/* One may have been published and its writer killed before it could say so. */
		assert_in_range(taken[i], acknowledged[i], acknowledged[i] + 1);
		total += taken[i];
	}
	assert_true(total > 0);
	print_message("%u lives, %lu records\n", lives, total);
	assert_int_equal(put(&segment, 128, 0, 0, NULL), 0);
	free_batch(batch);
	drop_segment(&segment);
}

/* ---- and the consumer ---- */

static void consume_and_die(void *arg)
{
	struct consumer_batch *batch = make_batch(1 << 16);
	struct consumer c;
	unsigned i;

	(void)arg;
	if (consumer_attach_segment(&c, &segment) != 0)
		_exit(1);
	while (consumer_claim(&c) != 0)
		;
	for (i = 0;; i++) {
		if (consumer_take(&c, batch, 10) != 0)
			consumer_release(&c, batch);
	}
}

/* A consumer killed while it frees or rewinds a shard: the next one finds every shard in order. */
static void killed_consumers_are_taken_over_from(void **state)
{
	struct consumer_batch *batch = make_batch(1 << 16);
	uint64_t end = clock_monotonic_ns() + KILL_NS / 2, number = 0, handovers = 0;
	struct consumer c;
	unsigned seed = 2;

	(void)state;
	make_segment(&segment, 1);
	while (clock_monotonic_ns() < end) {
		unsigned spin = (unsigned)rand_r(&seed) % 3000;
		pid_t pid = fork();

		if (pid == 0)
			consume_and_die(NULL);
		while (spin-- > 0)
			if (put(&segment, 128, 1, number, NULL) == 0)
				number++;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		handovers++;
	}
	assert_int_equal(consumer_attach_segment(&c, &segment), 0);
	assert_int_equal(consumer_claim(&c), 0);
	drain(&c, batch);
	WAIT_UNTIL(all_shards_free() || (drain(&c, batch), false));
	assert_true(consumer_is_empty(&c));
	assert_int_equal(batch->invalid, 0);
	assert_int_equal(put(&segment, 128, 1, number, NULL), 0);
	assert_int_equal(drain(&c, batch), 1);
	print_message("%lu consumers, %lu records\n", handovers, number);
	free_batch(batch);
	drop_segment(&segment);
}

/* ---- every instruction ---- */

/* Per shard: the highest number seen in it, and below which everything has been released. */
static uint64_t seen[SEGMENT_MAX_SHARDS], released[SEGMENT_MAX_SHARDS];

/* What a consumer that came now would make of a shard: whole records, none of them released before; or a rewind to finish. */
static bool shard_is_sound(uint32_t i)
{
	struct segment_shard *shard = &segment.header->shards[i];
	uint64_t head = atomic_load(&shard->head), at = atomic_load(&shard->tail);
	const uint8_t *ring = segment.rings + i * segment.shard_bytes;

	if (at == head)
		released[i] = seen[i] + 1;
	else if (at - head < segment.shard_bytes)
		return at % segment.shard_bytes == 0;
	while (at != head) {
		const struct record *r = (const struct record *)(const void *)(ring + at % segment.shard_bytes);

		if (head - at > segment.shard_bytes || !is_intact(r) || record_number(r) < released[i])
			return false;
		if (record_number(r) > seen[i])
			seen[i] = record_number(r);
		at += r->size;
	}
	return true;
}

static void write_and_release(void *arg)
{
	struct consumer_batch *batch = arg;
	struct consumer c;
	uint64_t number;

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(NO_PTRACE);
	if (consumer_attach_segment(&c, &segment) != 0 || consumer_claim(&c) != 0)
		_exit(1);
	raise(SIGSTOP);
	for (number = 1; number <= 6; number += 2) {
		if (put(&segment, 128, 1, number, NULL) != 0 || put(&segment, 136, 1, number + 1, NULL) != 0)
			_exit(2);
		if (consumer_take(&c, batch, 10) != 2 || !consumer_release(&c, batch))
			_exit(3);
	}
}

/* A kill may come between any two instructions: the segment is looked at after each. */
static void every_step_is_sound(void **state)
{
	struct consumer_batch *batch = make_batch(1 << 16);
	uint64_t steps = 0;
	uint32_t i;
	int status;
	pid_t pid;

	(void)state;
	make_segment(&segment, 1);
	pid = fork();
	if (pid == 0) {
		write_and_release(batch);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_PTRACE)
		skip();
	while (WIFSTOPPED(status)) {
		for (i = 0; i < segment.n_shards; i++)
			assert_true(shard_is_sound(i));
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		steps++;
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	print_message("%lu steps\n", steps);
	free_batch(batch);
	drop_segment(&segment);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kills_lose_and_break_nothing),
		cmocka_unit_test(killed_consumers_are_taken_over_from),
		cmocka_unit_test(every_step_is_sound),
	};

	return cmocka_run_group_tests(tests, set_deadline, NULL);
}
