/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/reserve.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

#define CHUNK ((size_t)2304 << 20) /* holds what is reserved at start; later tables have mappings of their own */
#define ALIGNMENT 4096u

static _Atomic(uint8_t *) chunk;
static _Atomic size_t used;

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	(void)madvise(p, bytes, MADV_NOHUGEPAGE);
	return p;
}

static uint8_t *have_chunk(void)
{
	uint8_t *now = atomic_load(&chunk), *fresh;

	if (now || !(fresh = map(CHUNK)) || atomic_compare_exchange_strong(&chunk, &now, fresh))
		return now ? now : fresh;
	(void)munmap(fresh, CHUNK); /* another thread was first */
	return now;
}

void *reserve(size_t bytes)
{
	size_t size = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, at;
	uint8_t *from = size < CHUNK ? have_chunk() : NULL;

	if (!from)
		return map(size);
	at = atomic_load(&used);
	do {
		if (size > CHUNK - at)
			return map(size);
	} while (!atomic_compare_exchange_weak(&used, &at, at + size));
	return from + at;
}
