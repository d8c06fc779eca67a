/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>

/*
 * The kernel, without libc in between: code that must not enter a hooked name, touch errno, or be a cancellation point
 * calls these. Each returns the kernel's result, or -errno. Async-signal-safe.
 */

#if defined(__x86_64__)
static inline long sys_call6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}
#elif defined(__aarch64__)
static inline long sys_call6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}
#else
#error "system calls are known for x86-64 and aarch64 only"
#endif

static inline long sys_call3(long nr, long a, long b, long c)
{
	return sys_call6(nr, a, b, c, 0, 0, 0);
}

static inline int sys_close(int fd)
{
	return (int)sys_call3(SYS_close, fd, 0, 0);
}

static inline int sys_fcntl(int fd, int command, long arg)
{
	return (int)sys_call3(SYS_fcntl, fd, command, arg);
}

/* Move fd out of 0 to 2, which programs expect to be theirs even when they are closed. Consumes fd. */
static inline int sys_above_stdio(int fd)
{
	int moved;

	if (fd < 0 || fd > 2)
		return fd;
	moved = (int)sys_call3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3);
	sys_close(fd);
	return moved;
}

/* Always close-on-exec, never 0 to 2. */
static inline int sys_openat(int dir, const char *path, int flags, mode_t mode)
{
	return sys_above_stdio((int)sys_call6(SYS_openat, dir, (long)path, flags | O_CLOEXEC, (long)mode, 0, 0));
}

static inline int sys_open(const char *path, int flags)
{
	return sys_openat(AT_FDCWD, path, flags, 0);
}

/* Both retry after a signal. */
static inline ssize_t sys_read(int fd, void *buf, size_t len)
{
	long n;

	do
		n = sys_call3(SYS_read, fd, (long)buf, (long)len);
	while (n == -EINTR);
	return n;
}

static inline ssize_t sys_write(int fd, const void *buf, size_t len)
{
	long n;

	do
		n = sys_call3(SYS_write, fd, (long)buf, (long)len);
	while (n == -EINTR);
	return n;
}

/* struct stat is the kernel's own on the architectures above. */
static inline int sys_fstat(int fd, struct stat *ret)
{
	*ret = (struct stat){0}; /* so that analyzers, which do not see through the instruction, know it written */
	return (int)sys_call3(SYS_fstat, fd, (long)ret, 0);
}

static inline int sys_mkdir(const char *path, mode_t mode)
{
	return (int)sys_call3(SYS_mkdirat, AT_FDCWD, (long)path, (long)mode);
}

static inline int sys_unlink(const char *path)
{
	return (int)sys_call3(SYS_unlinkat, AT_FDCWD, (long)path, 0);
}

static inline ssize_t sys_readlink(const char *path, char *buf, size_t cap)
{
	return sys_call6(SYS_readlinkat, AT_FDCWD, (long)path, (long)buf, (long)cap, 0, 0);
}

static inline int sys_ftruncate(int fd, int64_t size)
{
	return (int)sys_call3(SYS_ftruncate, fd, size, 0);
}

/* Fails with -ENOSPC where a later touch of the page would raise SIGBUS. */
static inline int sys_fallocate(int fd, int64_t offset, int64_t len)
{
	return (int)sys_call6(SYS_fallocate, fd, 0, offset, len, 0, 0);
}

/* Readable and writable memory: of fd, or anonymous for -1. Returns MAP_FAILED when there is none. */
static inline void *sys_mmap(size_t len, int flags, int fd)
{
	long p = sys_call6(SYS_mmap, 0, (long)len, PROT_READ | PROT_WRITE, flags, fd, 0);

	return p < 0 && p > -4096 ? MAP_FAILED : (void *)p;
}

static inline int sys_munmap(void *p, size_t len)
{
	return (int)sys_call3(SYS_munmap, (long)p, (long)len, 0);
}

/* Memory of this process, where a load could fault: false then. */
static inline bool sys_read_memory(const void *from, void *to, size_t len)
{
	struct {
		const void *base;
		size_t len;
	} local = {to, len}, remote = {from, len};

	return sys_call6(SYS_process_vm_readv, sys_call3(SYS_getpid, 0, 0, 0), (long)&local, 1, (long)&remote, 1, 0) ==
	       (long)len;
}

static inline int sys_getpid(void)
{
	return (int)sys_call3(SYS_getpid, 0, 0, 0);
}

static inline int sys_getppid(void)
{
	return (int)sys_call3(SYS_getppid, 0, 0, 0);
}

static inline int sys_gettid(void)
{
	return (int)sys_call3(SYS_gettid, 0, 0, 0);
}

static inline uint32_t sys_geteuid(void)
{
	return (uint32_t)sys_call3(SYS_geteuid, 0, 0, 0);
}

/* RLIMIT_FSIZE: a file grown beyond it costs the program a SIGXFSZ. */
static inline uint64_t sys_file_size_limit(void)
{
	uint64_t limit[2] = {0, 0};

	sys_call6(SYS_prlimit64, 0, 1 /* RLIMIT_FSIZE */, 0, (long)limit, 0, 0);
	return limit[0];
}

static inline int sys_kill(int pid, int signal)
{
	return (int)sys_call3(SYS_kill, pid, signal, 0);
}

static inline ssize_t sys_getrandom(void *buf, size_t len)
{
	return sys_call3(SYS_getrandom, (long)buf, (long)len, 0);
}

/* Shared futexes: waiter and waker may be different processes. timeout is relative; NULL: for ever. */
static inline int sys_futex_wait(_Atomic uint32_t *word, uint32_t expected, const struct timespec *timeout)
{
	return (int)sys_call6(SYS_futex, (long)word, FUTEX_WAIT, (long)expected, (long)timeout, 0, 0);
}

/* Returns how many were woken. */
static inline int sys_futex_wake(_Atomic uint32_t *word, int count)
{
	return (int)sys_call3(SYS_futex, (long)word, FUTEX_WAKE, count);
}

/* The same, with a timeout in ms (negative: for ever). */
static inline int sys_futex_wait_ms(_Atomic uint32_t *word, uint32_t expected, int timeout_ms)
{
	struct timespec timeout = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000};

	return sys_futex_wait(word, expected, timeout_ms < 0 ? NULL : &timeout);
}
