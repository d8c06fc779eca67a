/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "export/buffer.h"
#include "shim/config.h"

/*
 * Where and how to send one signal: OTEL_EXPORTER_OTLP_* resolved (opentelemetry-specification, protocol/exporter).
 * Certificates and keys are read into memory at once, so that a chroot or a change of user later does no harm.
 * Context: may block and allocate.
 */

enum signal { SIGNAL_TRACES, SIGNAL_METRICS };

#define ENDPOINT_MAX_HEADERS 32
#define ENDPOINT_MAX_FILE (4u << 20)

struct endpoint {
	char *url;
	char *host; /* for name resolution; a literal address or a name */
	uint16_t port;
	bool tls;
	bool gzip;
	uint64_t timeout_ms; /* 0 = none */
	char *headers[ENDPOINT_MAX_HEADERS]; /* "Name: value" */
	unsigned n_headers;
	struct buffer ca;  /* PEM; empty = the system's, from system_ca */
	struct buffer certificate;
	struct buffer key;
	char *proxy;    /* "" = none */
	char *no_proxy; /* "" = none */
};

typedef void log_fn(int level, const char *text);

/*
 * Returns 0; -ENOENT when this signal has nowhere to go; -ENOMEM. What is wrong with a setting is logged, and the
 * default used in its place.
 */
int endpoint_read(struct endpoint *ret, const struct config *settings, enum signal signal, log_fn *log);
void endpoint_free(struct endpoint *endpoint);
