/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/exchange.h"

#include <stddef.h>
#include <string.h>

#include "shim/error_stack.h"
#include "shim/ids.h"
#include "shim/loop.h"
#include "shim/ownership.h"
#include "shim/process.h"
#include "shim/sampler.h"
#include "shim/stats.h"
#include "shim/thread.h"
#include "shim/watch.h"

#define EXCHANGES 262144u /* open at once; ids hold 24 bits of slot */

struct pool exchanges;
static _Atomic uint32_t open_servers, queued_servers;
static _Atomic int32_t waiting_servers, handed_servers, handed_waiting_servers;
static _Atomic bool fan_out_seen;
static _Atomic uint32_t requests; /* begun in this process and those it was forked from */

int exchange_start(void)
{
	return pool_start(&exchanges, sizeof(struct exchange), EXCHANGES);
}

EXCHANGE_GLIMPSE bool exchange_context(struct handle h, struct context *ret)
{
	const struct exchange *e = exchange_of(h);

	if (!e)
		return false;
	*ret = e->context;
	atomic_thread_fence(memory_order_acquire);
	return exchange_is_open(h);
}

struct exchange *exchange_named(struct handle from_id, const struct context *named)
{
	uint32_t open = exchange_open_generation(from_id.slot);

	if (!open || !ids_same_generation(from_id, (struct handle){from_id.slot, open - 1}))
		return NULL;

	struct exchange *e = exchange_at(from_id.slot);

	return memcmp(e->context.span_id, named->span_id, 8) == 0 &&
			       memcmp(e->context.trace_id, named->trace_id, 16) == 0
		       ? e
		       : NULL;
}

static __attribute__((noinline, cold)) struct exchange *none_left(void)
{
	stats_count(STAT_STARTED);
	stats_count(STAT_DROPPED_NO_SLOT);
	return NULL;
}

/* The slot that this thread kept from its last one, or one of all. */
static inline uint32_t take_slot(void)
{
	struct thread *t = thread_self();
	uint32_t slot = t->spare_exchange;

	t->spare_exchange = 0;
	return slot ? slot : pool_take(&exchanges);
}

static inline void give_slot(uint32_t slot)
{
	struct thread *t = thread_self();

	if (t->spare_exchange) {
		pool_give(&exchanges, slot);
		return;
	}
	pool_renew(&exchanges, slot);
	t->spare_exchange = slot;
}

void exchange_thread_ends(struct thread *t)
{
	if (t->spare_exchange)
		pool_give(&exchanges, t->spare_exchange);
	t->spare_exchange = 0;
}

struct exchange *exchange_begin(enum exchange_role role)
{
	uint32_t slot = take_slot(), gen;
	struct exchange *e;

	if (!slot)
		return none_left();
	e = exchange_at(slot);
	gen = pool_generation(&exchanges, slot);
	/* Everything but the text buffers behind it, which their lengths make void. */
	memset((char *)e + sizeof(e->open_generation), 0,
	       offsetof(struct exchange, baggage) - sizeof(e->open_generation));
	e->role = (uint8_t)role;
	e->context.exchange = (struct handle){slot, gen};
	atomic_store_explicit(&e->open_generation, gen + 1, memory_order_release);
	if (role == EXCHANGE_SERVER) {
		atomic_fetch_add_explicit(&open_servers, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&requests, 1, memory_order_relaxed);
	}
	return e;
}

void exchange_identify(struct exchange *e, const struct context *parent)
{
	uint8_t flags = TRACE_FLAG_RANDOM;

	if (parent) {
		memcpy(e->context.trace_id, parent->trace_id, 16);
		flags = parent->flags & TRACE_FLAG_RANDOM;
	} else {
		ids_new_trace(e->context.trace_id);
	}
	ids_new_span(e->context.span_id, exchange_handle(e));
	e->context.flags = (uint8_t)(flags | (sampler_wants(parent, e->context.trace_id) ? TRACE_FLAG_SAMPLED : 0));
}

/* ---- counts ---- */

void exchange_join_loop(struct exchange *e, uint32_t loop)
{
	e->loop = loop;
	if (loop)
		atomic_fetch_add_explicit(&loop_at(loop)->open, 1, memory_order_relaxed);
}

static void count_waiting(const struct exchange *e, bool handed, int32_t change)
{
	atomic_fetch_add_explicit(&waiting_servers, change, memory_order_relaxed);
	atomic_fetch_add_explicit(&loop_at(e->loop)->waiting, change, memory_order_relaxed);
	if (handed)
		atomic_fetch_add_explicit(&handed_waiting_servers, change, memory_order_relaxed);
}

void exchange_outstanding(struct handle h, int change)
{
	struct exchange *e = exchange_of(h);
	uint32_t before, count;

	if (!e || e->role != EXCHANGE_SERVER)
		return;
	before = atomic_fetch_add_explicit(&e->under_way, (uint32_t)change, memory_order_relaxed);
	count = before & ~EXCHANGE_HANDED;
	if ((count == 0 && change > 0) || (count == 1 && change < 0))
		count_waiting(e, before & EXCHANGE_HANDED, change);
}

void exchange_call_begins(struct exchange *server)
{
	if (atomic_fetch_add_explicit(&server->calls, 1, memory_order_relaxed) > 0)
		atomic_store_explicit(&fan_out_seen, true, memory_order_relaxed);
}

bool exchange_fan_out_seen(void)
{
	return atomic_load_explicit(&fan_out_seen, memory_order_relaxed);
}

void exchange_handed_off(struct handle h)
{
	struct exchange *e = exchange_of(h);
	uint32_t before;

	if (!e || e->role != EXCHANGE_SERVER)
		return;
	before = atomic_fetch_or_explicit(&e->under_way, EXCHANGE_HANDED, memory_order_relaxed);
	if (before & EXCHANGE_HANDED)
		return;
	atomic_fetch_add_explicit(&handed_servers, 1, memory_order_relaxed);
	if (before)
		atomic_fetch_add_explicit(&handed_waiting_servers, 1, memory_order_relaxed);
}

uint32_t exchange_handed(struct handle except, bool waiting_too)
{
	int32_t handed = atomic_load_explicit(&handed_servers, memory_order_relaxed);
	const struct exchange *e = handed ? exchange_of(except) : NULL;
	uint32_t under_way = e ? atomic_load_explicit(&e->under_way, memory_order_relaxed) : 0;

	if (handed && !waiting_too)
		handed -= atomic_load_explicit(&handed_waiting_servers, memory_order_relaxed);
	if (under_way & EXCHANGE_HANDED && (waiting_too || under_way == EXCHANGE_HANDED))
		handed--;
	return handed > 0 ? (uint32_t)handed : 0;
}

uint32_t exchange_requests(void)
{
	return atomic_load_explicit(&requests, memory_order_relaxed);
}

void exchange_queued(struct handle h)
{
	struct exchange *e = exchange_of(h);

	if (e && e->role == EXCHANGE_SERVER && !atomic_exchange_explicit(&e->queued, true, memory_order_relaxed))
		atomic_fetch_add_explicit(&queued_servers, 1, memory_order_relaxed);
}

bool exchange_has_unqueued(void)
{
	return exchange_open_count() != atomic_load_explicit(&queued_servers, memory_order_relaxed);
}

uint32_t exchange_open_count(void)
{
	return atomic_load_explicit(&open_servers, memory_order_relaxed);
}

uint32_t exchange_parked(uint32_t slot, struct handle except)
{
	const struct loop *loop = loop_at(slot);
	int32_t parked = slot ? atomic_load_explicit(&loop->open, memory_order_relaxed) -
					atomic_load_explicit(&loop->waiting, memory_order_relaxed)
			      : (int32_t)exchange_open_count() -
					atomic_load_explicit(&waiting_servers, memory_order_relaxed);
	const struct exchange *e = exchange_of(except);

	if (e && (!slot || e->loop == slot) && exchange_outstanding_count(e) == 0)
		parked--;
	return parked > 0 ? (uint32_t)parked : 0;
}

static void call_is_over(const struct exchange *client)
{
	struct exchange *server = exchange_of(client->parent);

	if (server)
		atomic_fetch_sub_explicit(&server->calls, 1, memory_order_relaxed);
}

/* Out of the counts of what it had under way, or whose it was. */
static __attribute__((noinline)) void leave_rare_counts(const struct exchange *e, uint32_t under_way)
{
	if (under_way & ~EXCHANGE_HANDED)
		count_waiting(e, under_way & EXCHANGE_HANDED, -1);
	if (under_way & EXCHANGE_HANDED)
		atomic_fetch_sub_explicit(&handed_servers, 1, memory_order_relaxed);
	if (atomic_load_explicit(&e->queued, memory_order_relaxed))
		atomic_fetch_sub_explicit(&queued_servers, 1, memory_order_relaxed);
}

static inline __attribute__((always_inline)) void leave_counts(const struct exchange *e)
{
	uint32_t under_way = atomic_load_explicit(&e->under_way, memory_order_relaxed);

	if (e->role != EXCHANGE_SERVER) {
		call_is_over(e);
		return;
	}
	if (__builtin_expect(under_way != 0 || atomic_load_explicit(&e->queued, memory_order_relaxed), 0))
		leave_rare_counts(e, under_way);
	if (e->loop)
		atomic_fetch_sub_explicit(&loop_at(e->loop)->open, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&open_servers, 1, memory_order_relaxed);
}

static inline __attribute__((always_inline)) void release(struct exchange *e)
{
	leave_counts(e);
	atomic_store_explicit(&e->open_generation, 0, memory_order_release);
	give_slot(exchange_handle(e).slot);
}

void exchange_discard(struct exchange *e)
{
	release(e);
}

/* ---- the end ---- */

static __attribute__((noinline)) void write_record(struct exchange *e, uint64_t end_ns, const char *error)
{
	struct record_builder *b = &e->record;

	if (error) {
		b->record->status = STATUS_ERROR;
		error_stack_take(e);
		if (!e->error_status) /* keys must be unique: the status code was there first */
			record_add_string(b, ATTR_ERROR_TYPE, error, strlen(error));
	}
	if (e->events_dropped > 0)
		record_add_dropped(b, e->events_dropped);
	b->record->start_ns = e->start_ns;
	b->record->end_ns = end_ns;
	b->record->tid = thread_tid(thread_self());
	record_finish(b);
	process_write(b->record);
}

void exchange_end(struct exchange *e, uint64_t end_ns, const char *error)
{
	watch_ending(thread_self(), e);
	if (e->recorded)
		write_record(e, end_ns, error);
	else if (e->counted)
		stats_count(STAT_SAMPLED_OUT);
	release(e);
}
