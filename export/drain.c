/* SPDX-License-Identifier: Apache-2.0 */
#include "export/drain.h"

#include "export/metrics.h"
#include "export/retry.h"
#include "shim/clock.h"

#define MS_NS 1000000ull
#define HEARTBEAT_NS (1000 * MS_NS)
/* After stop = 1 an attempt under way may still end: broken off, its spans would be delivered twice. */
#define STOP_GRACE_NS (100 * MS_NS)
/* No exit waits this long, so none need begin to. */
#define SLOW_MS 500
#define BACK_OFF_SLICE_MS 5000
/* Of the 350 ms for which an exit waits for its flush. The rest is for the spans themselves, and a file under way. */
#define SYMBOLS_NS (100 * MS_NS)

void drain_begin(struct drain *d, uint8_t *room)
{
	int64_t max = d->config->bsp_max_export_batch_size;
	int64_t queue = d->config->bsp_max_queue_size;

	if (max > queue)
		max = queue < 512 ? queue : 512;
	d->max_spans = (uint32_t)max;
	d->beat_ns = clock_monotonic_ns();
	d->told_ns = d->beat_ns;
	d->stopped_ns = 0;
	d->flush_wanted = d->lost = false;
	d->down = atomic_load(&d->consumer->header->collector_down) != 0;
	d->batch = (struct consumer_batch){.bytes = room, .cap = DRAIN_ROOM};
}

static uint32_t stop_level(const struct drain *d)
{
	return d->stop ? atomic_load_explicit(d->stop, memory_order_acquire) : 0;
}

static bool is_stopping(const struct drain *d)
{
	return d->lost || stop_level(d) != 0;
}

static void set_down(struct drain *d, bool down)
{
	if (d->down != down)
		consumer_set_collector_down(d->consumer, down);
	d->down = down;
}

/* Heartbeat, once a second, and what the caller does meanwhile. False: return now. */
static bool beat(struct drain *d, uint64_t now)
{
	if (now - d->beat_ns >= HEARTBEAT_NS) {
		d->beat_ns = now;
		if (!consumer_heartbeat(d->consumer))
			d->lost = true;
	}
	return !d->lost && (!d->meanwhile || d->meanwhile(d->arg));
}

static bool wait_on(void *arg, uint64_t elapsed_ms)
{
	struct drain *d = arg;
	uint64_t now = clock_monotonic_ns();
	uint32_t stop = stop_level(d);

	if (elapsed_ms >= SLOW_MS)
		set_down(d, true);
	if (stop && !d->stopped_ns)
		d->stopped_ns = now;
	if (stop >= 2 || (stop && now - d->stopped_ns >= STOP_GRACE_NS))
		return false;
	return beat(d, now);
}

static bool flush_wanted(struct drain *d)
{
	uint32_t flush;

	if (consumer_flush_wanted(d->consumer, &flush)) {
		if (!d->flush_wanted)
			d->flush_ns = clock_monotonic_ns();
		d->flush = flush;
		d->flush_wanted = true;
	}
	return d->flush_wanted;
}

bool drain_is_late(void *drain)
{
	struct drain *d = drain;

	return is_stopping(d) || (flush_wanted(d) && clock_monotonic_ns() - d->flush_ns >= SYMBOLS_NS);
}

bool drain_is_urgent(struct drain *d)
{
	const struct consumer *c = d->consumer;

	for (uint32_t i = 0; i < c->n_shards; i++) {
		uint64_t head = atomic_load_explicit(&c->header->shards[i].head, memory_order_relaxed);

		if (head - c->read[i] > c->shard_bytes / 4)
			return true;
	}
	return flush_wanted(d);
}

bool drain_may_dally(struct drain *d)
{
	return !is_stopping(d) && beat(d, clock_monotonic_ns()) && !drain_is_urgent(d);
}

bool drain_may_send(struct drain *d, bool leaving)
{
	return leaving ? !is_stopping(d) && beat(d, clock_monotonic_ns()) : drain_may_dally(d);
}

/* A flush that comes meanwhile ends the wait, once: whoever exits wants to know now. False: return now. */
static bool back_off(struct drain *d, uint32_t wait_ms)
{
	uint64_t until = clock_monotonic_ns() + wait_ms * MS_NS;
	bool wanted = flush_wanted(d);

	for (uint64_t now = clock_monotonic_ns(); now < until; now = clock_monotonic_ns()) {
		uint64_t left = (until - now) / MS_NS + 1;

		if (is_stopping(d) || !beat(d, now))
			return false;
		if (!wanted && flush_wanted(d))
			return true;
		consumer_wait(d->consumer, WAIT_FLUSH, left < BACK_OFF_SLICE_MS ? (int)left : BACK_OFF_SLICE_MS,
			      d->stop);
	}
	return !is_stopping(d);
}

/* The batch is done with: give its room back, then count, so that nothing is counted twice after a take-over. */
static bool settle(struct drain *d, uint32_t spans, uint32_t invalid, const struct delivery *delivery)
{
	uint64_t rejected = delivery->outcome == DELIVERY_REFUSED ? spans : delivery->rejected;
	enum stat_id taken = d->exporter->kind == EXPORTER_NONE ? STAT_DROPPED_EXPORTER_NONE : STAT_EXPORTED;

	if (!consumer_release(d->consumer, &d->batch)) {
		d->lost = true;
		return false;
	}
	if (rejected > spans)
		rejected = spans;
	consumer_count(d->consumer, taken, spans - rejected);
	consumer_count(d->consumer, STAT_DROPPED_REJECTED, rejected);
	consumer_count(d->consumer, STAT_DROPPED_INVALID, invalid);
	if (d->metrics && d->metrics->enabled)
		atomic_store(&d->consumer->header->counts_untold, 1);
	return true;
}

/* Deliver the exporter's body, however often it takes. False: stopped or taken over. */
static bool deliver(struct drain *d, struct delivery *delivery)
{
	struct patience patience = {wait_on, d};
	struct retry retry;

	retry_begin(&retry, clock_monotonic_ns());
	for (;;) {
		exporter_deliver(d->exporter, patience, delivery);
		if (delivery->outcome == DELIVERY_STOPPED)
			return false;
		consumer_count(d->consumer, STAT_EXPORT_CALLS, d->exporter->kind != EXPORTER_NONE);
		if (delivery->outcome == DELIVERY_ACCEPTED) {
			set_down(d, false);
			return true;
		}
		consumer_count(d->consumer, STAT_EXPORT_FAILURES, 1);
		set_down(d, delivery->outcome == DELIVERY_RETRY);
		if (delivery->outcome == DELIVERY_REFUSED)
			return true;
		d->retry_after_ms = delivery->retry_after_ms;
		if (d->no_retry)
			return false;
		if (!back_off(d, retry_next_ms(&retry, delivery->retry_after_ms,
					       (uint64_t)d->config->bsp_export_timeout_ms)))
			return false;
	}
}

enum batch_end { BATCH_LAST, BATCH_MORE, BATCH_STOPPED };

/* Take and deliver one batch. BATCH_LAST: it was all there was. */
static enum batch_end drain_batch(struct drain *d)
{
	uint32_t n = consumer_take(d->consumer, &d->batch, d->max_spans);
	struct delivery delivery = {.outcome = DELIVERY_ACCEPTED};
	uint32_t spans = 0, invalid = 0;
	bool more = n == d->max_spans || d->batch.cap - d->batch.len < RECORD_MAX_BYTES;

	if (n == 0)
		return BATCH_LAST;
	symbols_ask_when_late(&d->exporter->encoder.symbols, drain_is_late, d);
	spans = exporter_encode(d->exporter, d->consumer, &d->batch, &invalid);
	if (spans && !deliver(d, &delivery)) {
		if (!d->lost)
			consumer_rewind(d->consumer);
		return BATCH_STOPPED;
	}
	if (!settle(d, spans, invalid, &delivery))
		return BATCH_STOPPED;
	return more ? BATCH_MORE : BATCH_LAST;
}

bool drain_all(struct drain *d)
{
	enum batch_end end = BATCH_MORE;
	bool wanted = flush_wanted(d);
	uint32_t flush = d->flush;

	while (end == BATCH_MORE && !is_stopping(d) && beat(d, clock_monotonic_ns()))
		end = drain_batch(d);
	if (end != BATCH_LAST)
		return false;
	if (d->metrics)
		metrics_send(d->metrics, d, wanted ? METRICS_BEFORE_EXIT : METRICS_IF_DUE);
	if (wanted) {
		d->flush_wanted = d->flush != flush;
		consumer_flush_done(d->consumer, flush);
	}
	return true;
}

/* Sleep until there is a batch's worth, or the schedule delay has passed since there was anything, or a flush. */
static void wait_for_work(struct drain *d)
{
	int64_t delay = d->config->bsp_schedule_delay_ms;

	if (flush_wanted(d))
		return;
	consumer_wait(d->consumer, WAIT_RECORD, -1, d->stop);
	if (flush_wanted(d) || is_stopping(d) || consumer_is_empty(d->consumer))
		return;
	if (delay > 0)
		consumer_wait(d->consumer, WAIT_HALF, delay < INT32_MAX ? (int)delay : INT32_MAX, d->stop);
}

void drain_run(struct drain *d)
{
	bool flushed;

	while (!is_stopping(d)) {
		if (!consumer_heartbeat(d->consumer)) {
			d->lost = true;
			break;
		}
		wait_for_work(d);
		flushed = flush_wanted(d);
		if (drain_all(d) && d->caught_up)
			d->caught_up(d->arg, flushed);
	}
}
