/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process with a segment, for tests of the exporter: it obeys commands from standard input, one a line, and answers
 * each with a line of output.
 *
 *   write N      finish N spans                         -> "wrote <accepted> <dropped>"
 *   zero N       the same, with trace ids of zero
 *   start        run the plug-in (argv[1]) on a thread, as the shim does   -> "started"
 *   stop N       tell it to stop with level N and join it                  -> "stopped"
 *   prepare      call the plug-in's prepare on this thread                 -> "prepared <result>"
 *   flush MS     ask for a flush, wait at most MS                          -> "flushed", "down" or "late"
 *   child N      fork; the child joins, writes N spans and stays           -> "child <pid>"
 *   become       fork, the child joins and goes on, the parent is killed  -> "child <pid>"
 *   totals       -> counters as JSON
 *   fds          -> the open descriptors
 *   chroot PATH  -> "ok"
 *   exit         leave the segment and return from main
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "export/consumer.h"
#include "shim/clock.h"
#include "shim/config.h"
#include "shim/helper.h"
#include "shim/log.h"

#define CLOSE_RANGE_UNSHARE_FLAG 2u

static struct segment segment;
static struct export_host host;
static _Atomic uint32_t stop;
static pthread_t thread;
static const char *plugin_path;
static uint64_t sequence;

static void write_log(int level, const char *text)
{
	log_line((enum log_level)level, "%s", text);
}

static void *open_plugin(void)
{
	void *plugin = dlopen(plugin_path, RTLD_NOW | RTLD_LOCAL);

	if (!plugin)
		fprintf(stderr, "%s\n", dlerror());
	return plugin;
}

static void *export_thread(void *arg)
{
	export_run_fn *run;
	sigset_t all;
	void *plugin;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_UNSHARE_FLAG);
	plugin = open_plugin();
	run = plugin ? (export_run_fn *)dlsym(plugin, "interspan_export_run") : NULL;
	if (run)
		run(&host);
	return arg;
}

static void finish_span(bool zero, unsigned *accepted)
{
	static _Alignas(8) uint8_t memory[RECORD_MAX_BYTES];
	static uint32_t home;
	struct record_builder b;
	uint64_t ids[3] = {(uint64_t)getpid(), ++sequence, ~sequence};
	bool wake = false;

	record_begin(&b, memory, sizeof(memory));
	if (!zero)
		memcpy(b.record->trace_id, ids, 16);
	memcpy(b.record->span_id, &ids[2], 8);
	b.record->kind = SPAN_SERVER;
	b.record->flags = TRACE_FLAG_SAMPLED;
	b.record->evidence = EVIDENCE_ROOT;
	b.record->end_ns = clock_monotonic_ns();
	b.record->start_ns = b.record->end_ns - 1000;
	record_add(&b, ITEM_NAME, 0, "GET", 3);
	record_add_string(&b, ATTR_HTTP_REQUEST_METHOD, "GET", 3);
	record_add_string(&b, ATTR_URL_PATH, "/some/path", 10);
	record_add_int(&b, ATTR_HTTP_RESPONSE_STATUS_CODE, 200);
	record_finish(&b);
	stats_count(STAT_STARTED);
	if (segment_append(&segment, b.record, &home, &wake) != 0) {
		stats_count(STAT_DROPPED_QUEUE_FULL);
		return;
	}
	stats_count(STAT_WRITTEN);
	++*accepted;
	if (wake)
		segment_wake(&segment);
}

static void finish_spans(unsigned n, bool zero)
{
	unsigned accepted = 0;

	for (unsigned i = 0; i < n; i++)
		finish_span(zero, &accepted);
	printf("wrote %u %u\n", accepted, n - accepted);
}

static void count_here(void)
{
	stats_move(segment.header->processes[segment.process].counters);
}

static void make_child(unsigned n)
{
	pid_t child = fork();
	unsigned accepted = 0;

	if (child > 0) {
		printf("child %d\n", child);
		return;
	}
	/* The input is the parent's. */
	close(STDIN_FILENO);
	if (segment_join(&segment) == 0) {
		count_here();
		for (unsigned i = 0; i < n; i++)
			finish_span(false, &accepted);
	}
	for (;;)
		pause();
}

static void become_child(void)
{
	pid_t child = fork();

	if (child < 0) {
		puts("failed");
	} else if (child > 0) {
		raise(SIGKILL);
	} else {
		segment_join(&segment);
		count_here();
		printf("child %d\n", getpid());
	}
}

static void flush(int ms)
{
	uint32_t want = atomic_fetch_add(&segment.header->flush, 1) + 1;
	uint64_t until = clock_monotonic_ns() + (uint64_t)ms * 1000000;

	segment_wake(&segment);
	while (clock_monotonic_ns() < until) {
		if ((int32_t)(atomic_load(&segment.header->flushed) - want) >= 0) {
			puts("flushed");
			return;
		}
		if (atomic_load(&segment.header->collector_down)) {
			puts("down");
			return;
		}
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	puts("late");
}

static void print_totals(void)
{
	uint64_t totals[STAT_N];
	struct consumer consumer;

	if (consumer_attach_segment(&consumer, &segment) != 0)
		return;
	consumer_totals(&consumer, totals);
	for (int i = 0; i < STAT_N; i++)
		printf("%s\"%s\":%lu", i ? "," : "{", stats_name((enum stat_id)i), totals[i]);
	printf("}\n");
	consumer_detach(&consumer);
}

static void print_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(dir))
			printf("%s ", entry->d_name);
	puts("");
	if (dir)
		closedir(dir);
}

static void prepare(void)
{
	void *plugin = open_plugin();
	export_prepare_fn *fn = plugin ? (export_prepare_fn *)dlsym(plugin, "interspan_export_prepare") : NULL;

	printf("prepared %d\n", fn ? fn(&host) : -ENOENT);
}

static void change_root(const char *path)
{
	puts(chroot(path) == 0 && chdir("/") == 0 ? "ok" : strerror(errno));
}

static void obey(const char *command, const char *argument)
{
	unsigned n = (unsigned)strtoul(argument, NULL, 10);

	if (strcmp(command, "write") == 0 || strcmp(command, "zero") == 0) {
		finish_spans(n, command[0] == 'z');
	} else if (strcmp(command, "start") == 0) {
		atomic_store(&stop, 0);
		host.may_create_files = true;
		puts(pthread_create(&thread, NULL, export_thread, NULL) == 0 ? "started" : "failed");
	} else if (strcmp(command, "stop") == 0) {
		atomic_store(&stop, n);
		segment_wake(&segment);
		pthread_join(thread, NULL);
		puts("stopped");
	} else if (strcmp(command, "flush") == 0) {
		flush((int)n);
	} else if (strcmp(command, "child") == 0) {
		make_child(n);
	} else if (strcmp(command, "become") == 0) {
		become_child();
	} else if (strcmp(command, "totals") == 0) {
		print_totals();
	} else if (strcmp(command, "fds") == 0) {
		print_fds();
	} else if (strcmp(command, "prepare") == 0) {
		prepare();
	} else if (strcmp(command, "chroot") == 0) {
		change_root(argument);
	} else {
		puts("what?");
	}
}

int main(int argc, char **argv)
{
	char line[4200], command[32], argument[4096];

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGCHLD, SIG_IGN);
	config_read(&config, environ, NULL);
	log_start(config.log_level, config.log_file);
	plugin_path = argc > 1 ? argv[1] : "";
	if (segment_create(&segment, &config) != 0)
		return 1;
	count_here();
	host = (struct export_host){.segment = &segment, .config = &config, .stop = &stop, .log = write_log};
	printf("%s\n", segment.path);
	while (fgets(line, sizeof(line), stdin)) {
		argument[0] = '\0';
		if (sscanf(line, "%31s %4095s", command, argument) < 1)
			continue;
		if (strcmp(command, "exit") == 0)
			break;
		obey(command, argument);
	}
	segment_leave(&segment);
	return 0;
}
