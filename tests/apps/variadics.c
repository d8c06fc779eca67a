/* SPDX-License-Identifier: Apache-2.0 */
/* Variadic functions with fewer, other and more arguments than one would think. */
#include "app.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <ucontext.h>

static ucontext_t coroutine, caller;
static long sum;

static void adds(int n, int a, int b, int c, int d, int e, int f, int g, int h, int i)
{
	int all[] = { a, b, c, d, e, f, g, h, i };

	for (int k = 0; k < n; k++)
		sum = sum * 10 + all[k];
}

static void run_coroutine(void)
{
	swapcontext(&caller, &coroutine);
}

/* A coroutine takes any number of arguments: those that registers hold, and more. */
static void coroutines(void)
{
	static char stack[65536];

	getcontext(&coroutine);
	coroutine.uc_stack = (stack_t){ .ss_sp = stack, .ss_size = sizeof(stack) };
	coroutine.uc_link = &caller;
	makecontext(&coroutine, (void (*)(void))adds, 2, 1, 7);
	run_coroutine();
	makecontext(&coroutine, (void (*)(void))adds, 10, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9);
	run_coroutine();
	makecontext(&coroutine, (void (*)(void))adds, 1, 0);
	run_coroutine();
	printf("coroutines: %ld\n", sum);
}

int main(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10 };
	struct f_owner_ex owner = { .type = F_OWNER_PID };
	FILE *file = tmpfile();
	int fd = fileno(file);
	char name[16] = "";

	TRY(fcntl(fd, F_GETFD));
	TRY(fcntl(fd, F_SETFD, FD_CLOEXEC));
	TRY(fcntl(fd, F_GETFL) & O_ACCMODE);
	TRY(fcntl(fd, F_DUPFD, 30));
	TRY(fcntl(fd, F_DUPFD_CLOEXEC, 31));
	TRY(fcntl(fd, F_SETLK, &lock));
	TRY(fcntl(fd, F_GETLK, &lock));
	TRY(lock.l_type == F_UNLCK);
	TRY(fcntl(fd, F_GETOWN_EX, &owner));
	TRY(fcntl(fd, F_SETLEASE, -1));
	TRY(fcntl(fd, 9999, 1, 2));
	TRY(prctl(PR_SET_NAME, "variadic"));
	TRY(prctl(PR_GET_NAME, name));
	puts(name);
	TRY(prctl(PR_SET_PDEATHSIG, SIGTERM, 0L, 0L, 0L));
	TRY(prctl(PR_GET_DUMPABLE));
	TRY(prctl(-1));
	TRY(syscall(SYS_getpid) == getpid());
	TRY(syscall(SYS_ftruncate, fd, 8192L));
	TRY((void *)syscall(SYS_mmap, NULL, 8192L, (long)PROT_READ, (long)MAP_SHARED, (long)fd, 4096L) != MAP_FAILED);
	TRY(syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY));
	TRY(syscall(SYS_pread64, fd, name, 16L, 0L));
	TRY(syscall(100000L));
	TRY(syscall(-1L, 1L, 2L, 3L, 4L, 5L, 6L));
	coroutines();
	list_descriptors();
	return 0;
}
