/* SPDX-License-Identifier: Apache-2.0 */
/* ns for one append, at one and two writers: bursts into a warm segment, drained in between, the best of several runs. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim/clock.h"
#include "shim/config.h"
#include "shim/segment.h"

#define BURST 8000
#define ROUNDS 200
#define RUNS 5

static struct segment segment;
static pthread_barrier_t barrier;
static uint32_t size;
static _Atomic uint64_t spent_ns, failed;

/* As a consumer that has taken everything. */
static void empty_shards(void)
{
	uint32_t i;

	for (i = 0; i < segment.n_shards; i++) {
		atomic_store(&segment.header->shards[i].head, 0);
		atomic_store(&segment.header->shards[i].tail, 0);
	}
}

static void *writer(void *arg)
{
	static __thread _Alignas(8) uint8_t memory[RECORD_MAX_BYTES];
	struct record *r = (struct record *)(void *)memory;
	uint32_t home = (uint32_t)(uintptr_t)arg;
	unsigned round, i;
	uint64_t start;
	bool wake;

	memset(memory, 0, sizeof(memory));
	r->size = size;
	for (round = 0; round < ROUNDS; round++) {
		if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
			empty_shards();
		pthread_barrier_wait(&barrier);
		start = clock_monotonic_ns();
		for (i = 0; i < BURST; i++)
			if (segment_append(&segment, r, &home, &wake) != 0)
				atomic_fetch_add(&failed, 1);
		atomic_fetch_add(&spent_ns, clock_monotonic_ns() - start);
	}
	return NULL;
}

static double run(unsigned threads)
{
	pthread_t ids[8];
	uintptr_t i;

	atomic_store(&spent_ns, 0);
	pthread_barrier_init(&barrier, NULL, threads);
	for (i = 0; i < threads; i++)
		pthread_create(&ids[i], NULL, writer, (void *)i);
	for (i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	pthread_barrier_destroy(&barrier);
	return (double)atomic_load(&spent_ns) / threads / ROUNDS / BURST;
}

int main(void)
{
	static const uint32_t sizes[] = {128, 320};
	unsigned s, threads, i;

	if (segment_create(&segment, &config) != 0)
		return 1;
	for (s = 0; s < 2; s++) {
		for (threads = 1; threads <= 2; threads++) {
			double best = 1e9;

			size = sizes[s];
			for (i = 0; i < RUNS; i++) {
				double ns = run(threads);

				best = ns < best ? ns : best;
			}
			printf("append of %u bytes, %u writer(s): %.1f ns\n", size, threads, best);
		}
	}
	segment_leave(&segment);
	if (segment.path[0] != '\0')
		unlink(segment.path);
	return atomic_load(&failed) != 0;
}
