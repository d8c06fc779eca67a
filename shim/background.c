/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/background.h"

#include <limits.h>
#include <sched.h>
#include <sys/prctl.h>

#include "shim/sys.h"

/* linux/close_range.h; the headers of older systems do not have it. */
#define CLOSE_RANGE_UNSHARE_FLAG 2
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

struct dirent64 {
	uint64_t inode;
	int64_t offset;
	uint16_t size;
	uint8_t type;
	char name[];
};

static int parse_fd(const char *name)
{
	int fd = 0;

	if (*name < '0' || *name > '9')
		return -1;
	while (*name >= '0' && *name <= '9')
		fd = fd * 10 + (*name++ - '0');
	return fd;
}

/* Before Linux 5.9. thread-self, since self is the first thread's table. */
static void close_one_by_one(void)
{
	_Alignas(8) char buf[1024] = {0};
	int dir = sys_open("/proc/thread-self/fd", O_RDONLY | O_DIRECTORY);
	long n, at;

	if (dir < 0)
		return;
	while ((n = sys_call3(SYS_getdents64, dir, (long)buf, sizeof(buf))) > 0) {
		for (at = 0; at < n; at += ((struct dirent64 *)(void *)(buf + at))->size) {
			int fd = parse_fd(((struct dirent64 *)(void *)(buf + at))->name);

			if (fd > 2 && fd != dir)
				sys_close(fd);
		}
	}
	sys_close(dir);
}

/* All but 0 to 2 closed, in a table of our own. False: the table is still the program's. */
static bool take_own_descriptors(void)
{
	if (sys_call3(SYS_close_range, 3, INT_MAX, CLOSE_RANGE_UNSHARE_FLAG) == 0)
		return true;
	if (sys_call3(SYS_unshare, CLONE_FILES, 0, 0) < 0)
		return false;
	close_one_by_one();
	return true;
}

/* Something must be at 0 to 2: what is opened next would land there, and be printed into by a library. */
static void replace_stdio(bool keep_stdout, bool keep_stderr)
{
	int null = sys_open("/dev/null", O_RDWR);
	int fd;

	if (null < 0)
		null = sys_open("/", O_PATH);
	for (fd = 0; fd <= 2; fd++) {
		if ((fd == 1 && keep_stdout) || (fd == 2 && keep_stderr))
			continue;
		if (null < 0 || sys_call3(SYS_dup3, null, fd, 0) < 0)
			sys_close(fd);
	}
	if (null >= 0)
		sys_close(null);
}

/* A program's real-time priority is for its own work. */
static void leave_real_time(void)
{
	const struct sched_param normal = {.sched_priority = 0};
	long policy = sys_call3(SYS_sched_getscheduler, 0, 0, 0);

	if (policy == SCHED_FIFO || policy == SCHED_RR)
		sys_call3(SYS_sched_setscheduler, 0, SCHED_OTHER, (long)&normal);
}

void background_enter(bool keep_stdout, bool keep_stderr)
{
	sys_call3(SYS_prctl, PR_SET_NAME, (long)"interspan", 0);
	leave_real_time();
	if (take_own_descriptors())
		replace_stdio(keep_stdout, keep_stderr);
}
