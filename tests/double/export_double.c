/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for libinterspan-export.so: serves the segment without a collector. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "export/consumer.h"
#include "shim/guard.h"
#include "shim/helper.h"
#include "tests/double/export_double.h"

export_version_fn interspan_export_version;
export_prepare_fn interspan_export_prepare;
export_run_fn interspan_export_run;

const char *interspan_export_version(void)
{
	atomic_fetch_add(&double_report.versions, 1);
	return atomic_load(&double_report.wrong_version) ? "0.0.0" : INTERSPAN_VERSION;
}

int interspan_export_prepare(struct export_host *host)
{
	atomic_fetch_add(&double_report.prepares, 1);
	if (host->may_create_files)
		atomic_fetch_add(&double_report.prepares_with_files, 1);
	return atomic_load(&double_report.fail_prepare) ? -5 : 0;
}

static void look_around(void)
{
	DIR *dir = opendir("/proc/thread-self/fd");
	char path[64];
	int fd;

	prctl(PR_GET_NAME, double_report.name);
	syscall(SYS_rt_sigprocmask, 0, NULL, &double_report.blocked, 8);
	double_report.tid = (uint32_t)syscall(SYS_gettid);
	double_report.open_fds = -2 - 1; /* ".", ".." and the directory itself */
	while (dir != NULL && readdir(dir) != NULL)
		double_report.open_fds++;
	closedir(dir);
	double_report.probe_is_open = fcntl(atomic_load(&double_report.probe_fd), F_GETFD) != -1;
	for (fd = 0; fd <= 2; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", fd);
		n = readlink(path, double_report.stdio[fd], sizeof(double_report.stdio[fd]) - 1);
		double_report.stdio[fd][n > 0 ? n : 0] = '\0';
	}
	double_report.depth = (int)guard_depth;
}

static void serve(struct export_host *host, struct consumer *c, int mode)
{
	static _Alignas(8) uint8_t memory[1 << 16];
	struct consumer_batch batch = {.bytes = memory, .cap = sizeof(memory)};
	uint32_t enough = mode == DOUBLE_STUBBORN ? 2 : 1;
	uint32_t flush;

	while (atomic_load(host->stop) < enough && consumer_heartbeat(c)) {
		while (mode != DOUBLE_DEAF && mode != DOUBLE_DOWN && consumer_take(c, &batch, 100) != 0) {
			atomic_fetch_add(&double_report.taken, batch.n);
			consumer_release(c, &batch);
		}
		if (consumer_flush_wanted(c, &flush) && mode == DOUBLE_SERVE)
			consumer_flush_done(c, flush);
		consumer_wait(c, mode == DOUBLE_SERVE ? WAIT_RECORD : WAIT_FLUSH, 20, host->stop);
	}
}

void interspan_export_run(struct export_host *host)
{
	int mode = atomic_load(&double_report.mode);
	struct consumer c;

	look_around();
	if (mode != DOUBLE_RETURN && consumer_attach_segment(&c, host->segment) == 0 && consumer_claim(&c) == 0) {
		if (mode == DOUBLE_DOWN)
			consumer_set_collector_down(&c, true);
		atomic_fetch_add(&double_report.runs, 1);
		serve(host, &c, mode);
		consumer_resign(&c);
	} else {
		atomic_fetch_add(&double_report.runs, 1);
	}
}
