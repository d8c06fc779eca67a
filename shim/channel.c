/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/channel.h"

#include <stdatomic.h>
#include <string.h>

#include "shim/carrier.h"
#include "shim/conn.h"
#include "shim/exchange.h"
#include "shim/iov.h"
#include "shim/pool.h"
#include "shim/stats.h"
#include "shim/thread.h"

#define CHANNELS 1024
#define MESSAGES 64
#define MESSAGE_LEAST sizeof(void *)
#define MESSAGE_MOST 512
#define NUMBER_MOST 65536 /* what is smaller is no pointer */

struct message {
	uint64_t hash; /* of its bytes; 0: none */
	uint32_t len;
	uint32_t times;
	struct label label;
	struct carrier_proof *via; /* of the channel from which the writer had what it writes for, or NULL */
};

struct channel {
	_Atomic uint32_t descriptors;
	_Atomic bool entered;
	bool written_here;
	uint32_t next;          /* the message that makes room where none is free */
	struct carrier_proof *proof;
	struct message messages[MESSAGES];
};

static struct pool channels;
static struct carrier_proof proofs[CHANNELS + 1];

int channel_start(void)
{
	return pool_start(&channels, sizeof(struct channel), CHANNELS);
}

static struct channel *at(uint32_t slot)
{
	return slot ? pool_at(&channels, slot) : NULL;
}

static bool spin_for(struct channel *c)
{
	for (unsigned tries = 0; tries < 1000; tries++)
		if (!atomic_exchange_explicit(&c->entered, true, memory_order_acquire))
			return true;
	return false;
}

/* False: who is in it has been put to sleep for long. What was missed now makes what stands there mean nothing, for good. */
static bool enter(struct channel *c)
{
	bool entered = spin_for(c);

	for (unsigned i = 0; !entered && i < CONN_YIELDS && conn_yield(); i++)
		entered = spin_for(c);
	if (entered)
		return true;
	atomic_store(&c->proof->revoked, true);
	stats_count(STAT_WORK_ITEMS_UNTRACKED);
	return false;
}

static void leave(struct channel *c)
{
	atomic_store_explicit(&c->entered, false, memory_order_release);
}

/* ---- its life ---- */

/* Threads that have read from the one before may still point to its proof: it stays, and is only made anew. */
uint32_t channel_new(uint32_t descriptors)
{
	uint32_t slot = pool_take(&channels);
	struct channel *c = at(slot);

	if (!c)
		return 0;
	for (unsigned i = 0; i < MESSAGES; i++)
		c->messages[i].hash = 0;
	c->proof = &proofs[slot];
	atomic_store(&c->proof->answered, 0);
	atomic_store(&c->proof->revoked, false);
	c->written_here = false;
	atomic_store(&c->entered, false);
	atomic_store(&c->descriptors, descriptors);
	return slot;
}

void channel_duplicated(uint32_t channel)
{
	if (channel)
		atomic_fetch_add(&at(channel)->descriptors, 1);
}

void channel_closed(uint32_t channel)
{
	if (channel && atomic_fetch_sub(&at(channel)->descriptors, 1) == 1)
		pool_give(&channels, channel);
}

void channel_after_fork(void)
{
	uint32_t last = atomic_load_explicit(&channels.used, memory_order_relaxed);

	for (uint32_t slot = 1; slot <= last; slot++) {
		for (unsigned i = 0; i < MESSAGES; i++)
			at(slot)->messages[i].hash = 0;
		atomic_store(&at(slot)->entered, false);
	}
}

/* ---- messages ---- */

static uint64_t hash_of(const uint8_t *bytes, size_t len)
{
	uint64_t h = 0x9e3779b97f4a7c15u ^ len;

	for (size_t i = 0; i < len; i++) {
		h = (h ^ bytes[i]) * 0x100000001b3u;
		h ^= h >> 29;
	}
	return h | 1;
}

static bool is_wake_up(const uint8_t *bytes, size_t len)
{
	uint64_t number;

	if (len < MESSAGE_LEAST)
		return true;
	memcpy(&number, bytes, sizeof(number));
	return len == sizeof(number) && number < NUMBER_MOST;
}

static struct message *find(struct channel *c, uint64_t hash, size_t len)
{
	for (unsigned i = 0; i < MESSAGES; i++)
		if (c->messages[i].hash == hash && c->messages[i].len == len)
			return &c->messages[i];
	return NULL;
}

static struct message *room(struct channel *c)
{
	for (unsigned i = 0; i < MESSAGES; i++)
		if (!c->messages[i].hash)
			return &c->messages[i];
	return &c->messages[c->next++ % MESSAGES];
}

static void put(struct channel *c, uint64_t hash, size_t len, const struct label *label, struct carrier_proof *via)
{
	struct message *m = find(c, hash, len);

	c->written_here = true;
	if (m) {
		m->times++;
		if (!label_same(&m->label, label))
			m->label.kind = LABEL_UNKNOWN;
		return;
	}
	*room(c) = (struct message){hash, (uint32_t)len, 1, *label, via};
}

static void take(struct message *m)
{
	if (--m->times == 0)
		m->hash = 0;
}

/* Copies what can be a message; 0: it is none. */
static size_t copy_out(const struct iovec *iov, int iovcnt, size_t n, uint8_t *ret)
{
	return n <= MESSAGE_MOST ? iov_copy_out(iov, iovcnt, 0, ret, n) : 0;
}

uint64_t channel_writing(struct thread *t, uint32_t channel, const struct iovec *iov, int iovcnt)
{
	struct channel *c = at(channel);
	uint8_t bytes[MESSAGE_MOST];
	size_t len = c ? copy_out(iov, iovcnt, iov_total(iov, iovcnt), bytes) : 0;
	struct label label;
	uint64_t hash;

	if (!c || is_wake_up(bytes, len))
		return 0;
	if (t->has_handed)
		label = t->handed; /* be it proven or not: the two are proven together */
	else
		carrier_capture_queued(t, &label);
	hash = hash_of(bytes, len);
	if (!enter(c))
		return 0;
	put(c, hash, len, &label, t->has_handed ? t->handed_proof : NULL);
	leave(c);
	return hash;
}

void channel_not_written(uint32_t channel, uint64_t message)
{
	struct channel *c = at(channel);

	if (!c || !message || !enter(c))
		return;
	for (unsigned i = 0; i < MESSAGES; i++) {
		if (c->messages[i].hash != message)
			continue;
		take(&c->messages[i]);
		break;
	}
	leave(c);
}

/* ---- reading ---- */

/* The message that these bytes begin with. */
static struct message *first_of(struct channel *c, const uint8_t *bytes, size_t len)
{
	for (unsigned i = 0; i < MESSAGES; i++) {
		struct message *m = &c->messages[i];

		if (m->hash && m->len <= len && hash_of(bytes, m->len) == m->hash)
			return m;
	}
	return NULL;
}

/* What was read, if it is whole messages of one label. */
static bool take_all(struct channel *c, const uint8_t *bytes, size_t len, struct message *ret)
{
	bool one = true;

	for (size_t done = 0; done < len;) {
		struct message *m = first_of(c, bytes + done, len - done);

		if (!m)
			return false;
		one = one && (done == 0 || label_same(&ret->label, &m->label));
		*ret = *m;
		done += m->len;
		take(m);
	}
	return one && len > 0 && ret->label.kind == LABEL_CONTEXT;
}

static bool works_for_its_own(const struct thread *t)
{
	return exchange_is_open(t->sync);
}

/* What it was started for, it still does if it is the same. */
static void disinherit(struct thread *t, bool known, const struct label *label)
{
	const struct label inherited = label_snapshot(&t->inherited);

	if (!known || !label_same(label, &inherited))
		t->has_inherited = false;
}

static void hand(struct thread *t, uint32_t channel, const struct message *m, bool known, struct carrier_proof *proof)
{
	bool borrows = t->loop == 0 && t->channel_home != 0 && t->channel_home != channel;

	t->has_handed = known && (!borrows || (t->has_handed && label_same(&t->handed, &m->label)));
	if (!t->has_handed || borrows)
		return;
	t->channel_home = channel;
	t->handed = m->label;
	t->handed_proof = proof;
	t->handed_via = m->via;
}

void channel_read(struct thread *t, uint32_t channel, const struct iovec *iov, int iovcnt, size_t n)
{
	struct channel *c = at(channel);
	uint8_t bytes[MESSAGE_MOST];
	size_t len = c ? copy_out(iov, iovcnt, n, bytes) : 0;
	struct message m = {.times = 0};
	bool known, written_here;

	if (!c)
		return;
	if (!enter(c)) {
		t->has_handed = t->has_inherited = false;
		return;
	}
	known = take_all(c, bytes, len, &m);
	written_here = c->written_here;
	leave(c);
	if (written_here && t->has_inherited)
		disinherit(t, known, &m.label);
	if (!works_for_its_own(t) && !t->has_inherited && written_here)
		hand(t, channel, &m, known, c->proof);
}

/* ---- timers ---- */

#define TIMER_HASH 2 /* no message's: those are odd */

static struct carrier_proof timers_proof; /* of all: one of a request's own is armed once or twice */

void channel_timer_arming(struct thread *t, uint32_t channel)
{
	struct channel *c = at(channel);
	struct label label;

	if (!c)
		return;
	carrier_capture_queued(t, &label);
	if (!enter(c))
		return;
	put(c, TIMER_HASH, 0, &label, NULL);
	leave(c);
}

void channel_timer_read(struct thread *t, uint32_t channel)
{
	struct channel *c = at(channel);
	const struct message *m;
	struct message armed = {.times = 0};

	if (!c)
		return;
	if (!enter(c)) {
		channel_forget(t);
		return;
	}
	m = find(c, TIMER_HASH, 0);
	if (m && !atomic_load_explicit(&c->proof->revoked, memory_order_relaxed)) /* each time that it was armed was seen */
		armed = *m;
	leave(c);
	if (!works_for_its_own(t) && !t->has_inherited)
		hand(t, channel, &armed, armed.label.kind == LABEL_CONTEXT, &timers_proof);
}

void channel_forget(struct thread *t)
{
	t->has_handed = false;
}

void channel_answers(struct thread *t, const struct exchange *e)
{
	if (!t->has_handed)
		return;
	carrier_prove(t->handed_proof, &t->handed, e);
	if (t->handed_via)
		carrier_prove(t->handed_via, &t->handed, e);
	channel_forget(t); /* that work is done */
}
