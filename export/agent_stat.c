/* SPDX-License-Identifier: Apache-2.0 */
#include "export/agent.h"

#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export/accounts.h"
#include "shim/task.h"

#define LOG_TAIL_LINES 10
#define LOG_TAIL_BYTES 8192

/* What is printed of one segment. */
struct report {
	const char *name;
	struct consumer consumer;
	char service[256];
	uint64_t totals[STAT_N];
	int64_t live;   /* started, not ended */
	int64_t queued; /* written, not exported and not dropped */
	uint64_t bytes; /* waiting in the rings */
	bool adds_up;
	bool has_writers;
	bool foreign; /* of another pid namespace: which of its processes live is not known */
	uint32_t exporter; /* thread id; 0 = none lives */
};

static void read_service(struct report *report)
{
	static struct resource resource;
	_Alignas(8) static uint8_t items[SEGMENT_RESOURCE_BYTES];
	uint32_t len = consumer_resource(&report->consumer, items, sizeof(items));
	const struct attribute *name;

	resource_read(&resource, items, len, &(struct process_identity){0}, 0);
	name = &resource.attributes.list[resource.attributes.place_of[ATTR_SERVICE_NAME] - 1];
	snprintf(report->service, sizeof(report->service), "%.*s", (int)name->text.len, (const char *)name->text.bytes);
}

static void read_report(struct report *report)
{
	const struct consumer *c = &report->consumer;
	struct segment segment = {.header = c->header};

	report->foreign = c->elsewhere;
	report->has_writers = consumer_has_writers(c);
	report->exporter =
	    report->foreign || segment_has_consumer(&segment) ? (uint32_t)(atomic_load(&c->header->consumer) >> 32) : 0;
	consumer_totals(c, report->totals);
	report->bytes = 0;
	for (uint32_t i = 0; i < c->n_shards; i++)
		report->bytes += atomic_load(&c->header->shards[i].head) - atomic_load(&c->header->shards[i].tail);
	report->live = accounts_open(report->totals);
	report->queued = accounts_queued(report->totals);
	report->adds_up = report->live >= 0 && report->queued >= 0 && (report->bytes != 0) == (report->queued != 0);
	read_service(report);
}

/* Call each for every process in the table. */
static void each_process(const struct report *report, void (*each)(const struct consumer_process *, bool first))
{
	struct consumer_process process;
	bool first = true;

	for (uint32_t i = 0; i < SEGMENT_MAX_PROCESSES; i++) {
		if (!consumer_process(&report->consumer, i, &process) || !process.pid)
			continue;
		each(&process, first);
		first = false;
	}
}

static void print_foreign_process(const struct consumer_process *process, bool first)
{
	printf(first ? "  processes  %u" : " %u", process->pid);
}

static void print_process(const struct consumer_process *process, bool first)
{
	bool alive = task_is_alive(process->pid, process->start_time);

	printf(first ? "  processes  %u%s" : " %u%s", process->pid, alive ? "" : " (dead)");
}

static void print_counters(const struct report *report)
{
	printf("  started %" PRIu64 " = open %" PRId64, report->totals[STAT_STARTED], report->live);
	for (size_t i = 0; i < ACCOUNTS_ENDED; i++)
		printf(" + %s %" PRIu64, stats_name(accounts_ended[i]), report->totals[accounts_ended[i]]);
	printf("\n  written %" PRIu64 " = queued %" PRId64, report->totals[STAT_WRITTEN], report->queued);
	for (size_t i = 0; i < ACCOUNTS_SETTLED; i++)
		printf(" + %s %" PRIu64, stats_name(accounts_settled[i]),
		       report->totals[accounts_settled[i]]);
	printf("\n  the counters %s\n",
	       report->adds_up ? "add up" : "do not add up (yet: they are read while they change)");
	for (int i = STAT_EXPORT_CALLS; i < STAT_N; i++)
		if (report->totals[i])
			printf("  %-24s %" PRIu64 "\n", stats_name((enum stat_id)i), report->totals[i]);
}

static bool is_down(const struct report *report)
{
	return atomic_load(&report->consumer.header->collector_down) != 0;
}

static void print_report(const struct report *report, bool first)
{
	printf("%s%s  %s  ", first ? "" : "\n", report->name, report->service);
	if (report->foreign)
		printf("of another pid namespace: left alone\n");
	else if (report->exporter)
		printf("exported by thread %u%s\n", report->exporter,
		       is_down(report) ? ", the collector cannot be reached" : "");
	else if (report->has_writers)
		printf("no exporter\n");
	else
		printf("left by dead processes: interspan drain exports it\n");
	each_process(report, report->foreign ? print_foreign_process : print_process);
	printf("\n");
	print_counters(report);
}

static void print_string(const char *text)
{
	static struct texts mended;
	struct buffer b = BUFFER(65536);

	mended.used = 0;
	json_put_text(&b, text_clean(&mended, (const uint8_t *)text, strlen(text)));
	printf("%.*s", (int)b.len, (const char *)b.data);
	buffer_free(&b);
}

static void print_foreign_process_json(const struct consumer_process *process, bool first)
{
	printf("%s{\"pid\":%u,\"parent\":%u}", first ? "" : ",", process->pid, process->parent_pid);
}

static void print_process_json(const struct consumer_process *process, bool first)
{
	printf("%s{\"pid\":%u,\"parent\":%u,\"alive\":%s}", first ? "" : ",", process->pid, process->parent_pid,
	       task_is_alive(process->pid, process->start_time) ? "true" : "false");
}

static void print_report_json(const struct report *report, bool first)
{
	printf("%s{\"name\":", first ? "" : ",");
	print_string(report->name);
	printf(",\"service\":");
	print_string(report->service);
	printf(",\"foreign\":%s,\"has_writers\":%s,\"exporter\":%u,\"collector_down\":%s,\"processes\":[",
	       report->foreign ? "true" : "false", report->has_writers ? "true" : "false", report->exporter,
	       is_down(report) ? "true" : "false");
	each_process(report, report->foreign ? print_foreign_process_json : print_process_json);
	printf("],\"open\":%" PRId64 ",\"queued\":%" PRId64 ",\"queued_bytes\":%" PRIu64,
	       report->live, report->queued, report->bytes);
	printf(",\"adds_up\":%s,\"counters\":{", report->adds_up ? "true" : "false");
	for (int i = 0; i < STAT_N; i++)
		printf("%s\"%s\":%" PRIu64, i ? "," : "", stats_name((enum stat_id)i), report->totals[i]);
	printf("}}");
}

struct printer {
	void (*print)(const struct report *report, bool first);
	unsigned n;
};

static bool print_segment(void *arg, int dir, const char *name)
{
	struct printer *printer = arg;
	struct report report = {.name = name};

	if (consumer_open(&report.consumer, dir, name) != 0)
		return true;
	read_report(&report);
	printer->print(&report, printer->n++ == 0);
	consumer_detach(&report.consumer);
	return true;
}

/* The last lines of the log, as one text; "" where there is none. */
static void read_log(char *ret, size_t cap, int dir, const char *log_file)
{
	int fd = log_file[0] ? open(log_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
			     : openat(dir, "interspan.log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	ssize_t n = fd < 0 ? 0 : pread(fd, ret, cap - 1, size > (off_t)cap - 1 ? size - (off_t)cap + 1 : 0);
	int lines = 0;
	char *start;

	if (fd >= 0)
		close(fd);
	ret[n > 0 ? n : 0] = '\0';
	for (start = ret + strlen(ret); start > ret; start--)
		if (start[-1] == '\n' && ++lines > LOG_TAIL_LINES)
			break;
	memmove(ret, start, strlen(start) + 1);
}

int agent_stat(int dir, const char *log_file, bool json)
{
	struct printer printer = {json ? print_report_json : print_report, 0};
	char log[LOG_TAIL_BYTES];
	int error;

	if (json)
		printf("{\"segments\":[");
	error = segments_each(dir, print_segment, &printer);
	read_log(log, sizeof(log), dir, log_file);
	if (json) {
		printf("],\"log\":");
		print_string(log);
		printf("}\n");
	} else {
		if (printer.n == 0)
			printf("no traced process of this user has recorded a span\n");
		printf("%s%s", log[0] ? "\nlast messages:\n" : "", log);
	}
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
