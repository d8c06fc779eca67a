/* SPDX-License-Identifier: Apache-2.0 */
#include "export/metrics.h"

#include <stdio.h>

#include "export/accounts.h"
#include "shim/clock.h"

#define MS_NS 1000000ull
/* A collector gets this long to take the metrics: spans are waiting behind them. */
#define PATIENCE_MS 2000
/* Whoever exits waits for half a second in all. */
#define EXIT_PATIENCE_MS 300

/* Field numbers, as in export/otlp.proto. */
enum { REQUEST_RESOURCE_METRICS = 1 };
enum { RESOURCE_METRICS_RESOURCE = 1, RESOURCE_METRICS_SCOPE_METRICS, RESOURCE_METRICS_SCHEMA_URL };
enum { SCOPE_METRICS_SCOPE = 1, SCOPE_METRICS_METRICS, SCOPE_METRICS_SCHEMA_URL };
enum { METRIC_NAME = 1, METRIC_DESCRIPTION, METRIC_UNIT, METRIC_SUM = 7 };
enum { SUM_DATA_POINTS = 1, SUM_TEMPORALITY, SUM_IS_MONOTONIC };
enum { POINT_START = 2, POINT_TIME, POINT_AS_INT = 6, POINT_ATTRIBUTES };
enum { TEMPORALITY_CUMULATIVE = 2 };

struct point {
	uint64_t value;
	const char *key; /* NULL: no attribute */
	const char *text;
};

static void put_chars(struct buffer *b, unsigned field, const char *text)
{
	if (text[0])
		pb_put_bytes(b, field, text, strlen(text));
}

static void put_attribute(struct buffer *b, const char *key, const char *text)
{
	struct pb_mark pair = pb_begin(b, POINT_ATTRIBUTES, 1), value;

	put_chars(b, 1, key);
	value = pb_begin(b, 2, 1);
	put_chars(b, 1, text);
	pb_end(b, value);
	pb_end(b, pair);
}

static void put_point(struct buffer *b, const struct metrics_values *values, const struct point *point)
{
	struct pb_mark mark = pb_begin(b, SUM_DATA_POINTS, 1);

	pb_put_fixed64(b, POINT_START, values->start_unix_ns);
	pb_put_fixed64(b, POINT_TIME, values->now_unix_ns);
	pb_put_fixed64(b, POINT_AS_INT, point->value);
	if (point->key)
		put_attribute(b, point->key, point->text);
	pb_end(b, mark);
}

/* Counter, or, not monotonic, UpDownCounter. */
static void put_metric(struct buffer *b, const struct metrics_values *values, const char *name, const char *unit,
		       bool monotonic, const struct point *points, size_t n)
{
	struct pb_mark metric = pb_begin(b, SCOPE_METRICS_METRICS, 2), sum;

	put_chars(b, METRIC_NAME, name);
	put_chars(b, METRIC_UNIT, unit);
	sum = pb_begin(b, METRIC_SUM, 2);
	for (size_t i = 0; i < n; i++)
		put_point(b, values, &points[i]);
	pb_put_uint(b, SUM_TEMPORALITY, TEMPORALITY_CUMULATIVE);
	if (monotonic)
		pb_put_uint(b, SUM_IS_MONOTONIC, 1);
	pb_end(b, sum);
	pb_end(b, metric);
}

static void put_sdk_metrics(struct buffer *b, const struct metrics_values *v)
{
	static const char result[] = "otel.span.sampling_result", type[] = "otel.component.type";
	static const char processor[] = "batching_span_processor", exporter[] = "otlp_http_span_exporter";
	const uint64_t *t = v->totals;
	const struct point started[] = {{t[STAT_STARTED] - t[STAT_SAMPLED_OUT], result, "RECORD_AND_SAMPLE"},
					{t[STAT_SAMPLED_OUT], result, "DROP"}};
	const struct point live = {(uint64_t)accounts_open(t), result, "RECORD_AND_SAMPLE"};
	const struct point queue = {(uint64_t)accounts_queued(t), type, processor};
	const struct point capacity = {v->capacity, type, processor};
	const struct point processed[] = {{t[STAT_EXPORTED] + t[STAT_DROPPED_REJECTED], type, processor},
					  {t[STAT_DROPPED_QUEUE_FULL], "error.type", "queue_full"}};
	const struct point exported[] = {{t[STAT_EXPORTED], type, exporter},
					 {t[STAT_DROPPED_REJECTED], "error.type", "rejected"}};

	put_metric(b, v, "otel.sdk.span.started", "{span}", true, started, 2);
	put_metric(b, v, "otel.sdk.span.live", "{span}", false, &live, 1);
	put_metric(b, v, "otel.sdk.processor.span.queue.size", "{span}", false, &queue, 1);
	put_metric(b, v, "otel.sdk.processor.span.queue.capacity", "{span}", false, &capacity, 1);
	put_metric(b, v, "otel.sdk.processor.span.processed", "{span}", true, processed, 2);
	put_metric(b, v, "otel.sdk.exporter.span.exported", "{span}", true, exported, 2);
}

static void put_own_metrics(struct buffer *b, const struct metrics_values *v)
{
	char name[64];

	for (int i = 0; i < STAT_N; i++) {
		const struct point point = {.value = v->totals[i]};

		snprintf(name, sizeof(name), "interspan.%s", stats_name((enum stat_id)i));
		put_metric(b, v, name, "1", true, &point, 1);
	}
}

void metrics_encode(struct buffer *b, const struct resource *resource, const struct otlp_scope *scope,
		    const struct metrics_values *values)
{
	struct pb_mark of_resource = pb_begin(b, REQUEST_RESOURCE_METRICS, 2), of_scope;

	otlp_put_resource(b, RESOURCE_METRICS_RESOURCE, resource);
	of_scope = pb_begin(b, RESOURCE_METRICS_SCOPE_METRICS, 2);
	otlp_put_scope(b, SCOPE_METRICS_SCOPE, scope);
	put_sdk_metrics(b, values);
	put_own_metrics(b, values);
	put_chars(b, SCOPE_METRICS_SCHEMA_URL, scope->schema_url);
	pb_end(b, of_scope);
	put_chars(b, RESOURCE_METRICS_SCHEMA_URL, scope->schema_url);
	pb_end(b, of_resource);
}

void metrics_begin(struct metrics *metrics, const struct exporter *exporter)
{
	const struct config *settings = exporter->config;

	*metrics = (struct metrics){.body = BUFFER(1u << 20)};
	metrics->enabled = exporter->kind == EXPORTER_OTLP && !config_is(settings->metrics_exporter, "none");
}

void metrics_end(struct metrics *metrics)
{
	endpoint_free(&metrics->endpoint);
	buffer_free(&metrics->body);
}

struct sending_metrics {
	struct drain *drain;
	bool leaving;
};

static bool wait_on(void *arg, uint64_t elapsed_ms)
{
	struct sending_metrics *sending = arg;

	return elapsed_ms < (sending->leaving ? EXIT_PATIENCE_MS : PATIENCE_MS) &&
	       drain_may_send(sending->drain, sending->leaving);
}

static void read_values(struct metrics_values *values, const struct drain *drain)
{
	const struct encoder *encoder = &drain->exporter->encoder;
	struct consumer_process creator;

	consumer_totals(drain->consumer, values->totals);
	values->capacity = drain->consumer->n_shards * drain->consumer->shard_bytes / SEGMENT_BYTES_PER_SPAN;
	values->now_unix_ns = clock_monotonic_ns() + (uint64_t)clock_unix_offset_ns();
	values->start_unix_ns = values->now_unix_ns;
	consumer_creator(drain->consumer, &creator);
	if (creator.start_time && encoder->boot_unix_s)
		values->start_unix_ns = resource_time_ns(encoder->boot_unix_s, creator.start_time);
}

/* What is wrong with the settings was said when the endpoint for traces was read. */
static void say_nothing(int level, const char *text)
{
	(void)level;
	(void)text;
}

static void post(struct metrics *metrics, struct drain *drain, enum metrics_moment moment)
{
	struct sending_metrics sending = {drain, moment == METRICS_BEFORE_EXIT};
	struct encoder *encoder = &drain->exporter->encoder;
	struct http *http = http_open(&metrics->endpoint);
	struct metrics_values values;
	struct delivery delivery;

	if (!http)
		return;
	read_values(&values, drain);
	encoder_read_creator(encoder, drain->consumer);
	buffer_reset(&metrics->body);
	metrics_encode(&metrics->body, &encoder->resource, &encoder->scope, &values);
	if (!metrics->body.full) {
		atomic_store(&drain->consumer->header->counts_untold, 0);
		http_post(http, metrics->body.data, metrics->body.len, (struct patience){wait_on, &sending}, &delivery);
		if (delivery.outcome != DELIVERY_ACCEPTED)
			atomic_store(&drain->consumer->header->counts_untold, 1);
		/* Many receivers take traces only, which is no trouble worth a line. */
		metrics->enabled = delivery.outcome != DELIVERY_REFUSED;
	}
	http_close(http);
}

static bool is_time(const struct drain *drain, enum metrics_moment moment, uint64_t now)
{
	if (moment == METRICS_IF_DUE)
		return now - drain->told_ns >= (uint64_t)drain->config->metric_export_interval_ms * MS_NS;
	return atomic_load(&drain->consumer->header->counts_untold) != 0;
}

void metrics_send(struct metrics *metrics, struct drain *drain, enum metrics_moment moment)
{
	uint64_t now = clock_monotonic_ns();

	if (!metrics->enabled || !is_time(drain, moment, now))
		return;
	drain->told_ns = now;
	if (!metrics->endpoint.url)
		metrics->enabled = endpoint_read(&metrics->endpoint, drain->config, SIGNAL_METRICS, say_nothing) == 0;
	if (metrics->enabled)
		post(metrics, drain, moment);
	if (!metrics->enabled)
		atomic_store(&drain->consumer->header->counts_untold, 0);
}
