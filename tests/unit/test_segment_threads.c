/* SPDX-License-Identifier: Apache-2.0 */
/* Writers in threads, signal handlers and forked children against a consumer. Also run under ThreadSanitizer. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/segment_fixture.h"

#define WRITERS 4
#define PER_WRITER 20000

static struct segment segment;
static _Atomic uint64_t written, dropped;
static _Atomic unsigned writing;

static void write_records(uint32_t source, uint64_t count)
{
	uint64_t number;
	bool wake;

	for (number = 0; number < count; number++) {
		if (put(&segment, 128 + (uint32_t)(number % 40) * 8, source, number, &wake) == 0)
			atomic_fetch_add(&written, 1);
		else
			atomic_fetch_add(&dropped, 1);
		if (wake)
			segment_wake(&segment);
	}
}

static void *writer(void *arg)
{
	write_records((uint32_t)(uintptr_t)arg, PER_WRITER);
	atomic_fetch_sub(&writing, 1);
	segment_wake(&segment);
	return NULL;
}

/* Drain until the writers are done and nothing is left; sleep in between as an exporter does. Returns the records taken. */
static uint64_t consume(struct consumer *c, const _Atomic unsigned *running)
{
	struct consumer_batch *batch = make_batch(1 << 20);
	uint64_t taken = 0;
	bool done;

	do {
		done = atomic_load(running) == 0;
		taken += drain(c, batch);
		if (!done)
			consumer_wait(c, WAIT_RECORD, 5, NULL);
	} while (!done);
	free_batch(batch);
	return taken;
}

static void begin(struct consumer *c, int64_t queue)
{
	atomic_store(&written, 0);
	atomic_store(&dropped, 0);
	make_segment(&segment, queue);
	assert_int_equal(consumer_attach_segment(c, &segment), 0);
	assert_int_equal(consumer_claim(c), 0);
}

static void threads_lose_nothing(void **state)
{
	pthread_t threads[WRITERS];
	struct consumer c;
	uint64_t taken;
	uintptr_t i;

	(void)state;
	begin(&c, 1);
	atomic_store(&writing, WRITERS);
	for (i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, writer, (void *)i), 0);
	taken = consume(&c, &writing);
	assert_int_equal(taken, atomic_load(&written));
	for (i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&written) + atomic_load(&dropped), WRITERS * PER_WRITER);
	assert_true(atomic_load(&written) > 0);
	drop_segment(&segment);
}

/* ---- a sleeping consumer and its wake-ups ---- */

static _Atomic uint32_t rounds_taken;

static void *sleeper(void *arg)
{
	struct consumer *c = arg;
	struct consumer_batch *batch = make_batch(1 << 16);
	uint32_t taken = 0;

	assert_int_equal(consumer_claim(c), 0);
	while (taken < 3000) {
		consumer_wait(c, WAIT_RECORD, -1, NULL);
		while (consumer_take(c, batch, 100) != 0) {
			taken += batch->n;
			consumer_release(c, batch);
		}
		atomic_store(&rounds_taken, taken);
	}
	consumer_resign(c);
	free_batch(batch);
	return NULL;
}

/* One record at a time, at the moment the consumer goes to sleep: a wake-up lost once would hang here for ever. */
static void no_wake_up_is_lost(void **state)
{
	struct consumer c;
	pthread_t thread;
	uint32_t i;
	bool wake;

	(void)state;
	make_segment(&segment, 1);
	assert_int_equal(consumer_attach_segment(&c, &segment), 0);
	atomic_store(&rounds_taken, 0);
	assert_int_equal(pthread_create(&thread, NULL, sleeper, &c), 0);
	for (i = 0; i < 3000; i++) {
		assert_int_equal(put(&segment, 128, 1, i, &wake), 0);
		if (wake)
			segment_wake(&segment);
		while (atomic_load(&rounds_taken) < i + 1 && i % 2 == 0)
			;
	}
	pthread_join(thread, NULL);
	drop_segment(&segment);
}

/* ---- signal handlers ---- */

static volatile sig_atomic_t handled;

static void append_in_handler(int signal)
{
	_Alignas(8) uint8_t memory[256];
	static uint32_t home;
	bool wake;

	(void)signal;
	if (segment_append(&segment, make_record(memory, 256, 99, 1), &home, &wake) == 0)
		atomic_fetch_add(&written, 1);
	handled = handled + 1;
}

static void *send_signals(void *arg)
{
	pthread_t to = *(pthread_t *)arg;

	while (atomic_load(&writing) != 0) {
		pthread_kill(to, SIGUSR1);
		pause_briefly();
	}
	return NULL;
}

/* A handler that interrupts an append meets its own thread's shard busy, and takes the next. */
static void handlers_may_append(void **state)
{
	struct sigaction action = {.sa_handler = append_in_handler};
	pthread_t self = pthread_self(), sender;
	struct consumer c;
	uint64_t taken;

	(void)state;
	begin(&c, 32768);
	sigaction(SIGUSR1, &action, NULL);
	atomic_store(&writing, 1);
	handled = 0;
	assert_int_equal(pthread_create(&sender, NULL, send_signals, &self), 0);
	while (handled < 200)
		write_records(1, 10);
	atomic_store(&writing, 0);
	pthread_join(sender, NULL);
	taken = consume(&c, &writing);
	assert_int_equal(taken, atomic_load(&written));
	drop_segment(&segment);
}

/* ---- forked children ---- */

static void children_lose_nothing(void **state)
{
	_Atomic uint64_t *total = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct consumer_batch *batch = make_batch(1 << 20);
	struct consumer c;
	uint64_t taken = 0;
	unsigned i, running = 3;

	(void)state;
	begin(&c, 1);
	for (i = 0; i < 3; i++) {
		if (fork() != 0)
			continue;
		if (segment_join(&segment) == 0)
			write_records(i, PER_WRITER);
		atomic_fetch_add(total, atomic_load(&written));
		segment_leave(&segment);
		_exit(0);
	}
	while (running > 0) {
		taken += drain(&c, batch);
		if (waitpid(-1, NULL, WNOHANG) > 0)
			running--;
	}
	taken += drain(&c, batch);
	assert_int_equal(taken, atomic_load(total));
	assert_true(taken > 0);
	free_batch(batch);
	drop_segment(&segment);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_lose_nothing),
		cmocka_unit_test(no_wake_up_is_lost),
		cmocka_unit_test(handlers_may_append),
		cmocka_unit_test(children_lose_nothing),
	};

	return cmocka_run_group_tests(tests, set_deadline, NULL);
}
