/* SPDX-License-Identifier: Apache-2.0 */
#include "export/plugin.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export/exit_guard.h"
#include "export/metrics.h"
#include "export/segments.h"
#include "shim/log.h"
#include "shim/rundir.h"

/*
 * Everything here runs on the helper thread of somebody's process (prepare: on the thread that is about to change
 * root or user). One per process; a forked child inherits it and must not use the parent's descriptors.
 */
static struct {
	struct exporter *exporter; /* NULL: not prepared */
	pid_t pid;                 /* whose descriptors it holds */
} plugin;

const char *interspan_export_version(void)
{
	return INTERSPAN_VERSION;
}

static bool speaks_http(const struct config *c)
{
	return !config_is(c->traces_exporter, "file") && !config_is(c->traces_exporter, "console") &&
	       !config_is(c->traces_exporter, "none");
}

/*
 * OpenSSL, which libcurl brings along, would clean itself up in an exit handler registered after the one that stops
 * this thread, and so before it runs, perhaps while this thread is still inside. In a program that has no OpenSSL of
 * its own nobody misses that handler.
 */
static void keep_openssl_until_the_end(void)
{
	const uint64_t no_atexit = 0x00080000; /* OPENSSL_INIT_NO_ATEXIT */
	void *crypto = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
	int (*init)(uint64_t, const void *);

	if (!crypto)
		return;
	init = (int (*)(uint64_t, const void *))dlsym(crypto, "OPENSSL_init_crypto");
	if (init)
		init(no_atexit, NULL);
}

static int start_http(const struct export_host *host)
{
	if (!speaks_http(host->config))
		return 0;
	if (!host->tls_was_loaded)
		keep_openssl_until_the_end();
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -ENOMEM;
}

/* The exporter is only shown to a forked child once it is whole. */
static int make_exporter(struct export_host *host)
{
	struct exporter *exporter;
	int error;

	if (start_http(host) != 0)
		return -ENOMEM;
	exporter = calloc(1, sizeof(*exporter));
	error = exporter ? exporter_prepare(exporter, host->config, getpid(), host->log) : -ENOMEM;
	if (error)
		free(exporter);
	else
		plugin.exporter = exporter;
	return error;
}

int interspan_export_prepare(struct export_host *host)
{
	int error = 0;

	if (plugin.exporter && plugin.pid != getpid())
		exporter_after_fork(plugin.exporter);
	plugin.pid = getpid();
	if (!plugin.exporter)
		error = make_exporter(host);
	if (!error && host->may_create_files)
		exporter_open_output(plugin.exporter);
	return error;
}

/* What the helper thread does besides its own segment. */
struct run {
	struct drain drain;
	struct metrics metrics;
	bool visited; /* other processes' segments */
};

static bool may_dally(void *arg)
{
	return drain_may_dally(&((struct run *)arg)->drain);
}

/* Export what dead processes of this user left, for as long as our own spans can wait. */
static void visit_orphans(struct run *run)
{
	struct drain proto = run->drain;
	uint8_t *room = malloc(DRAIN_ROOM);
	int dir = rundir_open();

	proto.meanwhile = may_dally;
	proto.caught_up = NULL;
	proto.no_retry = true;
	if (dir >= 0 && room)
		segments_drain_orphans(dir, &proto, room);
	if (dir >= 0)
		close(dir);
	free(room);
}

/* So that a machine without a collector does not fill up. */
static void prune_leftovers(struct export_host *host)
{
	int dir = rundir_open();
	unsigned removed;
	uint64_t spans;
	char text[160];

	if (dir < 0)
		return;
	removed = segments_prune(dir, (uint64_t)host->config->max_leftover_bytes, &spans);
	close(dir);
	if (!removed)
		return;
	snprintf(text, sizeof(text), "removed what %u dead processes left, with %llu spans that no collector had taken",
		 removed, (unsigned long long)spans);
	host->log(LOG_WARN, text);
}

static void caught_up(void *arg, bool flushed)
{
	struct run *run = arg;

	/* A file and the console are this program's own; the collector is everybody's. */
	if (!run->visited && !flushed && run->drain.exporter->kind == EXPORTER_OTLP && !run->drain.down) {
		run->visited = true;
		visit_orphans(run);
	}
}

static void run_drain(struct export_host *host, struct consumer *consumer)
{
	struct exporter *exporter = plugin.exporter;
	struct run run = {.drain = {.consumer = consumer,
				    .exporter = exporter,
				    .config = host->config,
				    .stop = host->stop,
				    .metrics = &run.metrics,
				    .caught_up = caught_up,
				    .arg = &run}};
	uint8_t *room = malloc(DRAIN_ROOM);

	if (!room)
		return;
	prune_leftovers(host);
	drain_begin(&run.drain, room);
	metrics_begin(&run.metrics, exporter);
	if (exit_guard_enter(host, exporter->kind == EXPORTER_OTLP && exporter->endpoint.tls)) {
		drain_run(&run.drain);
		exit_guard_leave();
	}
	metrics_end(&run.metrics);
	exporter_close_output(exporter);
	free(room);
}

void interspan_export_run(struct export_host *host)
{
	locale_t mine = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	locale_t before = mine ? uselocale(mine) : (locale_t)0;
	struct consumer consumer;

	if (interspan_export_prepare(host) == 0 && consumer_attach_segment(&consumer, host->segment) == 0) {
		if (consumer_claim(&consumer) == 0) {
			run_drain(host, &consumer);
			consumer_resign(&consumer);
		}
		consumer_detach(&consumer);
	}
	if (mine) {
		uselocale(before);
		freelocale(mine);
	}
}
