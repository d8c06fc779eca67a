/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/background.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>

#include "shim/clock.h"
#include "shim/real.h"
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

bool background_enter(bool keep_stdout, bool keep_stderr)
{
	bool own;

	sys_call3(SYS_prctl, PR_SET_NAME, (long)"interspan", 0);
	leave_real_time();
	own = take_own_descriptors();
	if (own)
		replace_stdio(keep_stdout, keep_stderr);
	return own;
}

/*
 * These have a version above GLIBC_2.28 as their default. The mask is set through libc, which leaves out the signals
 * by which it makes setuid() reach every thread.
 */
int background_create(void *(*main)(void *), size_t stack_bytes)
{
	int (*set_mask)(int, const sigset_t *, sigset_t *) =
		(int (*)(int, const sigset_t *, sigset_t *))real_find("pthread_sigmask");
	int (*set_stack)(pthread_attr_t *, size_t) = (int (*)(pthread_attr_t *, size_t))
		real_find("pthread_attr_setstacksize");
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	if (set_mask == NULL || set_stack == NULL || pthread_attr_init(&attr) != 0)
		return ENOSYS;
	set_stack(&attr, stack_bytes);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	set_mask(SIG_SETMASK, &all, &old);
	r = REAL(pthread_create)(&thread, &attr, main, NULL);
	set_mask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return r;
}

bool background_wait_until_gone(_Atomic uint32_t *thread_id, uint64_t deadline_ns)
{
	const struct timespec nap = {0, 20000};
	uint32_t tid = atomic_load(thread_id);

	while (tid != 0 && sys_call3(SYS_tgkill, sys_getpid(), (long)tid, 0) != -ESRCH) {
		if (clock_monotonic_ns() >= deadline_ns)
			return false;
		sys_call6(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&nap, 0, 0, 0);
	}
	atomic_compare_exchange_strong(thread_id, &tid, 0);
	return true;
}
