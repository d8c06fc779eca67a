/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A span id is 24 bits of slot, 16 bits of generation and 24 bits of check, run through a permutation keyed per process:
 * multiplications by secret odd numbers, whose inverses undo them, and shifts between them. A foreign id passes the check once in 16 million; whoever finds one then compares the whole id
 * with the exchange's own, so that chance can cost a parent but never make a wrong one.
 */
#include "shim/ids.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#include "shim/clock.h"
#include "shim/process.h"
#include "shim/thread.h"

#define SLOT_BITS 24
#define GENERATION_BITS 16
#define CHECK_BITS 24

struct key {
	uint64_t mask, factor[3];
	uint32_t check;
	uint64_t inverse[3]; /* of the factors */
};

/* Written by ids_start() and ids_after_fork(), single-threaded both. */
static struct key key, parent_key;
static bool has_parent_key;
static uint32_t epoch; /* bumped at fork: threads reseed their generators */

/* What is random in a sandbox, where nobody may be asked: seeded before it closed, another for every draw. */
static _Atomic uint64_t reserve;

static uint64_t scramble(uint64_t x)
{
	/* The finalizer of MurmurHash3. */
	x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
	x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
	return x ^ x >> 33;
}

static void draw_from_reserve(void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
		/* The clock tells children apart that were forked with the same reserve. */
		uint64_t x = scramble(atomic_fetch_add(&reserve, 0x9e3779b97f4a7c15u) ^ clock_monotonic_ns() << 24);

		memcpy((uint8_t *)bytes + i, &x, len - i < sizeof(x) ? len - i : sizeof(x));
	}
}

static void fill_random(void *bytes, size_t len)
{
	if (process_is_sandboxed()) {
		draw_from_reserve(bytes, len);
		return;
	}
	if (getrandom(bytes, len, GRND_NONBLOCK) == (ssize_t)len)
		return;
	/* No entropy yet (early boot) or no such call: unpredictable enough to be unique, which is what ids need. */
	uint64_t x = clock_monotonic_ns() ^ (uint64_t)(uintptr_t)&bytes ^ (uint64_t)clock_unix_offset_ns() << 20;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		((uint8_t *)bytes)[i] = (uint8_t)x;
	}
}

/* Of an odd number, modulo 2^64: each step doubles the bits that are right, and of an odd number three are its own. */
static uint64_t inverse_of(uint64_t factor)
{
	uint64_t inverse = factor;

	for (int bits = 3; bits < 64; bits *= 2)
		inverse *= 2 - factor * inverse;
	return inverse;
}

void ids_start(void)
{
	fill_random(&key, sizeof(key));
	for (int i = 0; i < 3; i++) {
		key.factor[i] |= 1;
		key.inverse[i] = inverse_of(key.factor[i]);
	}
	epoch++;
}

void ids_prepare_for_sandbox(void)
{
	uint64_t seed;

	fill_random(&seed, sizeof(seed));
	atomic_store(&reserve, seed);
	(void)ids_random();
}

void ids_before_fork(void)
{
	atomic_fetch_add_explicit(&reserve, 0x9e3779b97f4a7c15u, memory_order_relaxed);
}

void ids_after_fork(void)
{
	parent_key = key;
	has_parent_key = true;
	ids_start();
}

static uint64_t next_random(uint64_t state[2])
{
	/* xoroshiro128++ (Blackman and Vigna). */
	uint64_t a = state[0], b = state[1], sum = a + b;
	uint64_t result = (sum << 17 | sum >> 47) + a;

	b ^= a;
	state[0] = (a << 49 | a >> 15) ^ b ^ b << 21;
	state[1] = b << 28 | b >> 36;
	return result;
}

static inline uint64_t *generator(struct thread *t)
{
	if (__builtin_expect(t->random_epoch != epoch, 0)) {
		fill_random(t->random, sizeof(t->random));
		t->random[0] |= 1; /* never all zero */
		t->random_epoch = epoch;
	}
	return t->random;
}

uint64_t ids_random(void)
{
	return next_random(generator(thread_self()));
}

void ids_new_trace(uint8_t trace_id[16])
{
	uint64_t *state = generator(thread_self());
	uint64_t w[2] = {next_random(state), next_random(state)};

	w[1] |= w[1] == 0;
	memcpy(trace_id, w, 16);
}

static uint64_t encrypt(uint64_t x, const struct key *k)
{
	x = (x ^ k->mask) * k->factor[0];
	x = (x ^ x >> 32) * k->factor[1];
	x = (x ^ x >> 29) * k->factor[2];
	return x ^ x >> 32;
}

static uint64_t decrypt(uint64_t x, const struct key *k)
{
	x = (x ^ x >> 32) * k->inverse[2];
	x = (x ^ x >> 29 ^ x >> 58) * k->inverse[1];
	x = (x ^ x >> 32) * k->inverse[0];
	return x ^ k->mask;
}

void ids_new_span(uint8_t span_id[8], struct handle handle)
{
	uint64_t plain = (uint64_t)(handle.slot & ((1u << SLOT_BITS) - 1)) << 40 |
			 (uint64_t)(handle.gen & ((1u << GENERATION_BITS) - 1)) << 24 | key.check >> 8;
	uint64_t cipher = encrypt(plain, &key);
	uint64_t id = cipher ? cipher : 1; /* never zero; decrypting this one fails its check, which is harmless */

	memcpy(span_id, &id, 8);
}

static bool recognised_by(const struct key *k, uint64_t cipher, struct handle *ret)
{
	uint64_t plain = decrypt(cipher, k);

	if ((plain & ((1u << CHECK_BITS) - 1)) != k->check >> 8)
		return false;
	ret->slot = (uint32_t)(plain >> 40);
	ret->gen = (uint32_t)(plain >> 24) & ((1u << GENERATION_BITS) - 1);
	return ret->slot != 0;
}

enum ids_origin ids_recognise(const uint8_t span_id[8], struct handle *ret)
{
	uint64_t cipher;

	memcpy(&cipher, span_id, 8);
	if (recognised_by(&key, cipher, ret))
		return IDS_OURS;
	if (has_parent_key && recognised_by(&parent_key, cipher, ret))
		return IDS_INHERITED;
	return IDS_FOREIGN;
}

bool ids_same_generation(struct handle from_id, struct handle real)
{
	return from_id.slot == real.slot && from_id.gen == (real.gen & ((1u << GENERATION_BITS) - 1));
}
