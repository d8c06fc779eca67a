/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/coroutine.h"

#include <errno.h>
#include <stdatomic.h>

#include "shim/carrier.h"
#include "shim/engine.h"
#include "shim/large_table.h"
#include "shim/reserve.h"
#include "shim/stats.h"
#include "shim/thread.h"

#define REGIONS 8192
/*
 * Bytes: what is this near the place of a read is on the same stack. Stacks nearer to each other than twice that
 * stay unknown.
 */
#define NEAR 16384
#define ANSWERS_TO_TRUST 16  /* seen before nearness counts */
#define REMADE_TO_TRUST 64   /* stacks seen made anew before makers count */
#define CLASSES 256
#define PAGE_SHIFT 12
#define PAGES_MAX 64         /* of a stack, from its top, in which it is looked for */
#define MAP_BITS 17
#define PROBES 16

/* Of a start function; the first is that of all coroutines whose start was not seen. */
struct class {
	_Atomic(uintptr_t) entry;
	_Atomic uint32_t answered, remade;
	_Atomic bool revoked;         /* they do not answer what they read */
	_Atomic bool maker_revoked;   /* they outlive what they were made for */
};

/*
 * One stack. A coroutine runs on one thread at a time, and what hands it to another thread orders memory. Regions
 * are reused in turn when there are too many: who finds a stale one sees that its bounds do not fit.
 */
struct region {
	_Atomic(uintptr_t) low, high;
	struct class *class;
	_Atomic uint64_t serving;     /* the open exchange whose request was read here, as packed(); 0: none */
	struct label made;            /* by whom, until it reads a request; LABEL_UNKNOWN: does not matter any more */
};

static struct region *regions;
_Atomic uint32_t coroutine_regions;
/* Pages of stacks, hashed: page number << 16 | region. */
static _Atomic uint64_t *map;
static struct class classes[CLASSES] LARGE_TABLE;

int coroutine_start(void)
{
	size_t map_bytes = sizeof(*map) << MAP_BITS, region_bytes = sizeof(*regions) * (REGIONS + 1);
	uint8_t *memory = reserve(map_bytes + region_bytes);

	if (!memory)
		return -ENOMEM;
	map = (void *)memory;
	regions = (void *)(memory + map_bytes);
	return 0;
}

static uint64_t packed(struct handle h)
{
	return (uint64_t)h.gen << 32 | h.slot;
}

static struct handle unpacked(uint64_t word)
{
	return (struct handle){(uint32_t)word, (uint32_t)(word >> 32)};
}

static struct handle served(const struct region *r)
{
	struct handle h = unpacked(atomic_load_explicit(&r->serving, memory_order_relaxed));

	return exchange_is_open(h) ? h : HANDLE_NONE;
}

/* ---- classes ---- */

static struct class *class_for(uintptr_t entry)
{
	for (uint32_t probe = 0; entry && probe < CLASSES - 1; probe++) {
		struct class *c = &classes[1 + (entry / 16 + probe) % (CLASSES - 1)];
		uintptr_t found = 0;

		if (atomic_compare_exchange_strong(&c->entry, &found, entry) || found == entry)
			return c;
	}
	return &classes[0];
}

static void revoke(_Atomic bool *what)
{
	if (!atomic_exchange_explicit(what, true, memory_order_relaxed))
		stats_count(STAT_RULES_REVOKED);
}

/* Bounds that are a guess need proof that they are good ones. */
static bool is_trusted(const struct class *c)
{
	return !atomic_load_explicit(&c->revoked, memory_order_relaxed) &&
	       (c != &classes[0] ||
		atomic_load_explicit(&c->answered, memory_order_relaxed) >= ANSWERS_TO_TRUST);
}

static bool makers_are_trusted(const struct class *c)
{
	return !atomic_load_explicit(&c->maker_revoked, memory_order_relaxed) &&
	       atomic_load_explicit(&c->remade, memory_order_relaxed) >= REMADE_TO_TRUST;
}

/* ---- from a stack pointer to its region ---- */

static uint32_t place(uintptr_t page)
{
	return (uint32_t)((page * 0x9e3779b97f4a7c15ull) >> (64 - MAP_BITS));
}

static _Atomic uint64_t *probe(uint32_t first, uint32_t i)
{
	return &map[(first + i) & ((1u << MAP_BITS) - 1)];
}

static bool covers(const struct region *r, uintptr_t sp)
{
	return atomic_load_explicit(&r->low, memory_order_relaxed) <= sp &&
	       sp < atomic_load_explicit(&r->high, memory_order_relaxed);
}

/*
 * The place where the page of a region is, or can be noted: one that is free, or says nothing that is true any
 * more.
 */
static _Atomic uint64_t *place_for(uintptr_t page, uint32_t id)
{
	uint32_t first = place(page);
	_Atomic uint64_t *free_place = NULL;

	for (uint32_t i = 0; i < PROBES; i++) {
		_Atomic uint64_t *p = probe(first, i);
		uint64_t word = atomic_load_explicit(p, memory_order_relaxed);
		uintptr_t there = (uintptr_t)(word >> 16) << PAGE_SHIFT;
		const struct region *r = &regions[word & 0xffff];

		if (word == ((uint64_t)page << 16 | id))
			return p;
		if (!free_place && (word == 0 || (!covers(r, there) && !covers(r, there + (1 << PAGE_SHIFT) - 1))))
			free_place = p;
	}
	return free_place ? free_place : probe(first, (uint32_t)page % PROBES);
}

static void note_pages(uint32_t id)
{
	const struct region *r = &regions[id];
	uintptr_t first = atomic_load(&r->low) >> PAGE_SHIFT, page = (atomic_load(&r->high) - 1) >> PAGE_SHIFT;

	for (unsigned n = 0; n < PAGES_MAX && page >= first && page > 0; n++, page--)
		atomic_store_explicit(place_for(page, id), (uint64_t)page << 16 | id, memory_order_release);
}

/*
 * The region that sp lies in. Where two guesses do, neither counts: *ret_near are stacks too near to be told
 * apart.
 */
static uint32_t find(uintptr_t sp, bool *ret_near)
{
	uintptr_t page = sp >> PAGE_SHIFT;
	uint32_t found = 0, first = place(page);

	*ret_near = false;
	for (uint32_t i = 0; i < PROBES; i++) {
		uint64_t word = atomic_load_explicit(probe(first, i), memory_order_acquire);
		uint32_t id = word & 0xffff;

		if (word >> 16 != page || id == found || !covers(&regions[id], sp))
			continue;
		if (regions[id].class != &classes[0])
			return id;
		/* A guess that serves nothing is one of the past. */
		if (handle_is_none(served(&regions[id])) && found)
			continue;
		*ret_near = *ret_near || (found && !handle_is_none(served(&regions[found])));
		found = id;
	}
	return found;
}

static uint32_t new_region(uintptr_t low, uintptr_t high, struct class *class)
{
	uint32_t id = 1 + atomic_fetch_add(&coroutine_regions, 1) % REGIONS;
	struct region *r = &regions[id];

	atomic_store(&r->high, 0); /* nobody's while it changes */
	atomic_store(&r->serving, 0);
	r->made.kind = LABEL_UNKNOWN;
	r->class = class;
	atomic_store(&r->low, low);
	atomic_store(&r->high, high);
	note_pages(id);
	return id;
}

static uintptr_t stack_pointer(void)
{
	return (uintptr_t)__builtin_frame_address(0);
}

static bool is_made(uint32_t id)
{
	return regions[id].class != &classes[0];
}

coroutine_id coroutine_seek(const struct thread *t, uintptr_t sp)
{
	bool own = thread_stack_covers(t, sp), near;
	uint32_t found = find(sp, &near);

	if (own)
		return found && is_made(found) ? found : COROUTINE_NONE;
	if (near)
		revoke(&classes[0].revoked);
	return found && !near ? found : COROUTINE_OTHER;
}

/* ---- labels ---- */

static bool is_known(coroutine_id id)
{
	return id != COROUTINE_NONE && id != COROUTINE_OTHER;
}

/* Outliving what it was made for: it is detached, or it is kept and has other work now. That cannot be told. */
static bool makers_label(struct region *r, struct label *ret)
{
	struct context c;

	if (r->made.kind == LABEL_UNKNOWN || !makers_are_trusted(r->class))
		return false;
	*ret = r->made;
	if (label_resolve(ret, &c) != LABEL_STATE_OVER)
		return true;
	revoke(&r->class->maker_revoked);
	return false;
}

bool coroutine_label(coroutine_id id, struct label *ret)
{
	struct region *r = &regions[id];
	struct context c;

	if (!is_known(id))
		return false;
	if (!exchange_context(served(r), &c))
		return makers_label(r, ret);
	if (!is_trusted(r->class))
		return false;
	*ret = label_snapshot(&c);
	return true;
}

void coroutine_adopt(coroutine_id id, const struct label *label)
{
	if (is_known(id))
		regions[id].made = *label;
}

void coroutine_made(uintptr_t low, size_t size, uintptr_t entry, const struct label *label)
{
	struct class *class = class_for(entry);
	bool near;
	uint32_t id = find(low + size - 1, &near);
	struct region *r = &regions[id];

	if (size == 0 || low + size < low || class == &classes[0])
		return; /* no stack; or too many start functions to tell them apart */
	if (!id || r->low != low || r->high != low + size)
		id = new_region(low, low + size, class);
	else
		atomic_fetch_add_explicit(&class->remade, 1, memory_order_relaxed);
	r = &regions[id];
	r->class = class;
	atomic_store_explicit(&r->serving, 0, memory_order_relaxed);
	r->made = *label;
	/* Made while nothing was open: it will get its work from somebody else. */
	if (label->kind != LABEL_CONTEXT)
		r->made.kind = LABEL_UNKNOWN;
}

void engine_coroutine_made(const void *stack, size_t size, void *entry)
{
	struct label label;

	if (!guard_enter())
		return;

	int errno_saved = errno;

	carrier_capture(thread_self(), &label);
	coroutine_made((uintptr_t)stack, size, (uintptr_t)entry, &label);
	errno = errno_saved;
	guard_leave();
}

/* ---- what is seen ---- */

/* It reads a request of its own: whoever made it, it is no part of that work. */
static void left_maker(struct region *r, const struct exchange *e)
{
	if (r->made.kind == LABEL_CONTEXT && !handle_equal(r->made.context.exchange, exchange_handle(e)))
		revoke(&r->class->maker_revoked);
	r->made.kind = LABEL_UNKNOWN;
}

/* A guess that serves nothing may be of another stack that was here before. */
static void centre(uint32_t id)
{
	atomic_store(&regions[id].low, stack_pointer() - NEAR);
	atomic_store(&regions[id].high, stack_pointer() + NEAR);
	note_pages(id);
}

void coroutine_reads(coroutine_id id, struct exchange *e)
{
	const struct exchange *before;
	struct region *r;

	if (id == COROUTINE_OTHER)
		id = new_region(stack_pointer() - NEAR, stack_pointer() + NEAR, &classes[0]);
	r = &regions[id];
	if (!is_made(id) && handle_is_none(served(r)))
		centre(id);
	e->coroutine = id;
	left_maker(r, e);
	before = exchange_of(served(r));
	if (before && before->connection == e->connection)
		return; /* pipelined: the older one is served first */
	if (before)
		revoke(&r->class->revoked);
	atomic_store_explicit(&r->serving, packed(exchange_handle(e)), memory_order_relaxed);
}

void coroutine_writes(coroutine_id here, const struct exchange *e)
{
	struct handle own = is_known(here) ? served(&regions[here]) : HANDLE_NONE;

	if (e->coroutine && e->coroutine == here)
		atomic_fetch_add_explicit(&regions[here].class->answered, 1, memory_order_relaxed);
	else if (e->coroutine)
		revoke(&regions[e->coroutine].class->revoked);
	if (!handle_is_none(own) && !handle_equal(own, exchange_handle(e)))
		revoke(&regions[here].class->revoked);
}

void coroutine_done(struct handle over, const struct exchange *e, struct handle next)
{
	uint64_t expected = packed(over);

	(void)atomic_compare_exchange_strong(&regions[e->coroutine].serving, &expected, packed(next));
}
