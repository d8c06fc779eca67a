/* SPDX-License-Identifier: Apache-2.0 */
#include "export/exporter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "shim/clock.h"
#include "shim/log.h"

/* The same kind of trouble, come back, is logged again after this long. */
#define TROUBLE_AGAIN_NS (60 * 1000000000ull)

static enum exporter_kind choose_kind(const char *name, log_fn *log)
{
	char text[120];

	if (config_is(name, "otlp"))
		return EXPORTER_OTLP;
	if (config_is(name, "file"))
		return EXPORTER_FILE;
	if (config_is(name, "console"))
		return EXPORTER_CONSOLE;
	if (config_is(name, "none"))
		return EXPORTER_NONE;
	snprintf(text, sizeof(text), "OTEL_TRACES_EXPORTER=%.40s is not known: otlp is used", name);
	log(LOG_WARN, text);
	return EXPORTER_OTLP;
}

int exporter_prepare(struct exporter *exporter, const struct config *settings, pid_t owner, log_fn *log)
{
	int error = 0;

	memset(&exporter->troubles, 0, sizeof(exporter->troubles));
	exporter->config = settings;
	exporter->log = log;
	exporter->body = BUFFER(HTTP_MAX_REQUEST);
	exporter->resolved = NULL;
	exporter->http = NULL;
	exporter->kind = choose_kind(settings->traces_exporter, log);
	encoder_begin(&exporter->encoder, exporter->kind == EXPORTER_OTLP ? ENCODING_PROTOBUF : ENCODING_JSON,
		      settings);
	file_begin(&exporter->file, settings, owner, exporter->kind == EXPORTER_CONSOLE);
	if (exporter->kind == EXPORTER_OTLP)
		error = endpoint_read(&exporter->endpoint, settings, SIGNAL_TRACES, log);
	if (exporter->kind == EXPORTER_OTLP && !error)
		exporter->resolved = http_resolve(&exporter->endpoint);
	return error;
}

void exporter_open_output(struct exporter *exporter)
{
	if (exporter->kind == EXPORTER_FILE || exporter->kind == EXPORTER_CONSOLE)
		file_open(&exporter->file); /* a failure comes back, and is logged, with the first batch */
}

void exporter_close_output(struct exporter *exporter)
{
	http_close(exporter->http);
	exporter->http = NULL;
	file_close(&exporter->file);
}

void exporter_close(struct exporter *exporter)
{
	exporter_close_output(exporter);
	if (exporter->kind == EXPORTER_OTLP)
		endpoint_free(&exporter->endpoint);
	free(exporter->resolved);
	exporter->resolved = NULL;
	buffer_free(&exporter->body);
	symbols_free(&exporter->encoder.symbols);
}

void exporter_after_fork(struct exporter *exporter)
{
	exporter->http = NULL;
	exporter->file.fd = -1;
	exporter->body = BUFFER(HTTP_MAX_REQUEST);
}

uint32_t exporter_encode(struct exporter *exporter, const struct consumer *consumer, const struct consumer_batch *batch,
			 uint32_t *ret_invalid)
{
	uint32_t spans;

	buffer_reset(&exporter->body);
	*ret_invalid = 0;
	if (exporter->kind == EXPORTER_NONE)
		return batch->n;
	spans = encode_batch(&exporter->encoder, consumer, batch, &exporter->body, ret_invalid);
	if (!exporter->body.full)
		return spans;
	exporter->log(LOG_ERROR, "a batch does not fit into a request: dropped");
	*ret_invalid += spans;
	return 0;
}

/* Is this trouble news? Remembers that it was asked. */
static bool is_news(struct trouble_log *log, int kind)
{
	uint64_t now = clock_monotonic_ns();
	size_t n = sizeof(log->seen) / sizeof(log->seen[0]);

	if (kind == log->current)
		return false;
	log->current = kind;
	for (size_t i = 0; i < n; i++) {
		if (log->seen[i].kind != kind)
			continue;
		if (now - log->seen[i].logged_ns < TROUBLE_AGAIN_NS)
			return false;
		log->seen[i].logged_ns = now;
		return true;
	}
	log->seen[log->next % n].kind = kind;
	log->seen[log->next++ % n].logged_ns = now;
	return true;
}

static void log_trouble(struct exporter *exporter, const struct delivery *delivery)
{
	static const char *const ends[] = {
	    [DELIVERY_ACCEPTED] = "",
	    [DELIVERY_REFUSED] = ": the spans are dropped",
	    [DELIVERY_RETRY] = ": spans are kept and sent again",
	};
	char text[480];

	if (delivery->outcome == DELIVERY_STOPPED)
		return;
	if (delivery->kind == 0) {
		exporter->troubles.current = 0;
		return;
	}
	if (!is_news(&exporter->troubles, delivery->kind))
		return;
	snprintf(text, sizeof(text), "%s%s", delivery->reason, ends[delivery->outcome]);
	exporter->log(LOG_WARN, text);
}

static void deliver_http(struct exporter *exporter, struct patience patience, struct delivery *ret)
{
	if (!exporter->http) {
		exporter->http = http_open(&exporter->endpoint);
		if (exporter->http)
			http_pin(exporter->http, exporter->resolved);
	}
	if (exporter->http)
		http_post(exporter->http, exporter->body.data, exporter->body.len, patience, ret);
	else
		*ret = (struct delivery){.outcome = DELIVERY_RETRY, .kind = ENOMEM, .reason = "out of memory"};
}

void exporter_deliver(struct exporter *exporter, struct patience patience, struct delivery *ret)
{
	switch (exporter->kind) {
	case EXPORTER_OTLP:
		deliver_http(exporter, patience, ret);
		break;
	case EXPORTER_FILE:
	case EXPORTER_CONSOLE:
		file_write(&exporter->file, exporter->body.data, exporter->body.len, patience, ret);
		break;
	case EXPORTER_NONE:
		*ret = (struct delivery){.outcome = DELIVERY_ACCEPTED};
		break;
	}
	log_trouble(exporter, ret);
}
