/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "export/drain.h"

/*
 * Our own counters as metrics: those that the semantic conventions name (OpenTelemetry SDK metrics), the others as
 * interspan.<name of the counter> (shim/stats.def). Sums, cumulative since the segment's first process began.
 */

struct metrics {
	struct endpoint endpoint;
	struct buffer body;
	bool enabled;
};

/* What is known of the segment at one moment. */
struct metrics_values {
	uint64_t totals[STAT_N];
	uint64_t capacity;       /* spans that the segment can hold, by our own measure */
	uint64_t start_unix_ns;
	uint64_t now_unix_ns;
};

/* Nothing is ever sent unless the exporter is OTLP, OTEL_METRICS_EXPORTER allows it and there is an endpoint. */
void metrics_begin(struct metrics *metrics, const struct exporter *exporter);
void metrics_end(struct metrics *metrics);
enum metrics_moment {
	METRICS_IF_DUE,      /* the interval has passed */
	METRICS_BEFORE_EXIT, /* the program may be about to exit, and waits */
	METRICS_AT_THE_END,  /* all its processes are gone */
};
/*
 * Send those of one segment. At the last two moments whatever the interval says, if anything was delivered since: a program that lives
 * shorter than the interval is counted, too. Who refuses is not asked again.
 */
void metrics_send(struct metrics *metrics, struct drain *drain, enum metrics_moment moment);

/* An ExportMetricsServiceRequest. */
void metrics_encode(struct buffer *b, const struct resource *resource, const struct otlp_scope *scope,
		    const struct metrics_values *values);
