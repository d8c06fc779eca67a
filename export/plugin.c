/* SPDX-License-Identifier: Apache-2.0 */
#include "export/plugin.h"

#include <curl/curl.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export/exit_guard.h"
#include "export/segments.h"
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

int interspan_export_prepare(struct export_host *host)
{
	int error;

	if (plugin.exporter && plugin.pid != getpid())
		exporter_forget_descriptors(plugin.exporter);
	plugin.pid = getpid();
	if (!plugin.exporter) {
		if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
			return -ENOMEM;
		plugin.exporter = calloc(1, sizeof(*plugin.exporter));
		error = plugin.exporter ? exporter_prepare(plugin.exporter, host->config, getpid(), host->log) : -ENOMEM;
		if (error) {
			free(plugin.exporter);
			plugin.exporter = NULL;
			return error;
		}
	}
	if (host->may_create_files)
		exporter_open_output(plugin.exporter);
	return 0;
}

/* Other processes' spans must not hold up our own. */
static bool own_can_wait(void *arg)
{
	struct drain *own = arg;

	return consumer_heartbeat(own->consumer) && !drain_is_urgent(own);
}

static void visit_orphans(void *arg)
{
	struct drain proto = *(struct drain *)arg;
	uint8_t *room = malloc(DRAIN_ROOM);
	int dir = rundir_open();

	if (dir < 0 || !room)
		goto out;
	proto.meanwhile = own_can_wait;
	proto.caught_up = NULL;
	proto.no_retry = true;
	segments_drain_orphans(dir, &proto, room);
out:
	if (dir >= 0)
		close(dir);
	free(room);
}

static void run(struct export_host *host, struct consumer *consumer)
{
	struct drain drain = {
	    .consumer = consumer,
	    .exporter = plugin.exporter,
	    .config = host->config,
	    .stop = host->stop,
	};
	uint8_t *room = malloc(DRAIN_ROOM);

	/* A file and the console are this program's own; the collector is everybody's. */
	if (plugin.exporter->kind == EXPORTER_OTLP)
		drain.caught_up = visit_orphans;
	drain.arg = &drain;
	if (!room)
		return;
	drain_begin(&drain, room);
	if (exit_guard_enter(host, plugin.exporter->kind == EXPORTER_OTLP && plugin.exporter->endpoint.tls)) {
		drain_run(&drain);
		exit_guard_leave();
	}
	free(room);
}

void interspan_export_run(struct export_host *host)
{
	locale_t mine = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	locale_t before = mine ? uselocale(mine) : (locale_t)0;
	struct consumer consumer;

	host->may_create_files = true;
	if (interspan_export_prepare(host) == 0 && consumer_attach_segment(&consumer, host->segment) == 0) {
		if (consumer_claim(&consumer) == 0) {
			run(host, &consumer);
			consumer_resign(&consumer);
		}
		consumer_detach(&consumer);
	}
	if (mine) {
		uselocale(before);
		freelocale(mine);
	}
}
