/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "export/encode.h"
#include "export/file.h"
#include "export/http.h"

/*
 * Where spans go, by OTEL_TRACES_EXPORTER: otlp, file, console or none. Encodes a batch and makes one attempt to
 * deliver it. Context: one thread.
 */

enum exporter_kind { EXPORTER_OTLP, EXPORTER_FILE, EXPORTER_CONSOLE, EXPORTER_NONE };

/* Troubles that were logged lately, so that each is logged once. */
struct trouble_log {
	int current; /* kind; 0 = none */
	struct {
		int kind;
		uint64_t logged_ns;
	} seen[8];
	unsigned next;
};

struct exporter {
	enum exporter_kind kind;
	const struct config *config;
	log_fn *log;
	struct endpoint endpoint;
	char *resolved; /* the collector's address, looked up early */
	struct http *http;
	struct file file;
	struct encoder encoder;
	struct buffer body;
	struct trouble_log troubles;
};

/*
 * Read the settings, and what may be out of reach later: certificates, the collector's address, the working directory.
 * Opens no descriptor that stays open. owner: whose spans they are, for the default file name. Returns 0 or -ENOMEM.
 */
int exporter_prepare(struct exporter *exporter, const struct config *settings, pid_t owner, log_fn *log);
/* Open the file, where spans go to one. The calling thread is the one that will deliver. */
void exporter_open_output(struct exporter *exporter);
/* Close connection and file: the calling thread, whose descriptors they are, ends. Delivering opens them again. */
void exporter_close_output(struct exporter *exporter);
/* Release everything. */
void exporter_close(struct exporter *exporter);
/*
 * In a forked child: connection and file belong to the parent's exporter thread, whose descriptor table we do not
 * share, and which may have been at work in the middle of anything: leave them, without touching a descriptor.
 */
void exporter_after_fork(struct exporter *exporter);

/* Encode into exporter->body. Returns the spans in it; what cannot be a span, or does not fit, is in *ret_invalid. */
uint32_t exporter_encode(struct exporter *exporter, const struct consumer *consumer, const struct consumer_batch *batch,
			 uint32_t *ret_invalid);
/* One attempt to deliver exporter->body. Trouble is logged, once per kind. */
void exporter_deliver(struct exporter *exporter, struct patience patience, struct delivery *ret);
