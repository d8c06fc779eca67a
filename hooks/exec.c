/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other programs. Inside libc each exec variant calls execve by an internal name, so each is hooked here, and all come
 * down to one struct exec_call: ask the engine for the environment, then run the real function. Where nothing is to
 * change that is the variant the program called; with another environment it is the variant that takes one.
 */
#include <limits.h>
#include <stdarg.h>
#include <errno.h>
#include <sys/syscall.h>

#include "hooks/raw.h"

struct exec_call {
	const char *path;
	char *const *argv;
	char *const *envp; /* as the program has it */
	int (*run)(const struct exec_call *call, char *const *envp);
	int fd, flags;
	pid_t *pid;
	const posix_spawn_file_actions_t *actions;
	const posix_spawnattr_t *attr;
};

#define SMALL_ENVIRONMENT 128
#define LARGE_ENVIRONMENT 1024
#define ADDED_ENTRIES 8 /* what the engine may add, and the closing NULL */

/* The two that return in this process. */
static int run_spawn(const struct exec_call *call, char *const *envp);
static int run_spawnp(const struct exec_call *call, char *const *envp);

/* The environment comes first: what the engine knows of the request that this child was forked for ends with its memory. */
static int run_with(const struct exec_call *call, char *const *envp)
{
	if (call->run != run_spawn && call->run != run_spawnp)
		engine_executing();
	return call->run(call, envp);
}

/* Frames of their own, so that only a call that changes the environment has an array on its stack. */
static __attribute__((noinline)) int run_small(const struct exec_call *call)
{
	char *envp[SMALL_ENVIRONMENT];
	struct exec_scratch scratch;

	scratch.envp = envp;
	scratch.envp_max = SMALL_ENVIRONMENT;
	return run_with(call, engine_exec_environment(call->path, call->envp, &scratch));
}

static __attribute__((noinline)) int run_large(const struct exec_call *call)
{
	char *envp[LARGE_ENVIRONMENT];
	struct exec_scratch scratch;

	scratch.envp = envp;
	scratch.envp_max = LARGE_ENVIRONMENT;
	return run_with(call, engine_exec_environment(call->path, call->envp, &scratch));
}

static int run(const struct exec_call *call)
{
	size_t count = 0;

	if (!call->envp || engine_exec_environment(call->path, call->envp, NULL))
		return run_with(call, call->envp);
	while (call->envp[count] && count < LARGE_ENVIRONMENT)
		count++;
	return count + ADDED_ENTRIES <= SMALL_ENVIRONMENT ? run_small(call) : run_large(call);
}

static int run_execve(const struct exec_call *call, char *const *envp)
{
	return REAL(execve)(call->path, call->argv, envp);
}

static int run_execv(const struct exec_call *call, char *const *envp)
{
	return envp == call->envp ? REAL(execv)(call->path, call->argv) : run_execve(call, envp);
}

static int run_execvpe(const struct exec_call *call, char *const *envp)
{
	return REAL(execvpe)(call->path, call->argv, envp);
}

static int run_execvp(const struct exec_call *call, char *const *envp)
{
	return envp == call->envp ? REAL(execvp)(call->path, call->argv) : run_execvpe(call, envp);
}

static int run_fexecve(const struct exec_call *call, char *const *envp)
{
	return REAL(fexecve)(call->fd, call->argv, envp);
}

static int run_execveat(const struct exec_call *call, char *const *envp)
{
	return REAL(execveat)(call->fd, call->path, call->argv, envp, call->flags);
}

static int run_raw_execve(const struct exec_call *call, char *const *envp)
{
	return (int)REAL_SYSCALL(SYS_execve, (long)call->path, (long)call->argv, (long)envp, 0, 0, 0);
}

static int run_raw_execveat(const struct exec_call *call, char *const *envp)
{
	return (int)REAL_SYSCALL(SYS_execveat, call->fd, (long)call->path, (long)call->argv, (long)envp, call->flags, 0);
}

static int run_spawn(const struct exec_call *call, char *const *envp)
{
	return REAL(posix_spawn)(call->pid, call->path, call->actions, call->attr, call->argv, envp);
}

static int run_spawnp(const struct exec_call *call, char *const *envp)
{
	return REAL(posix_spawnp)(call->pid, call->path, call->actions, call->attr, call->argv, envp);
}

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	return run(&(struct exec_call){ .path = path, .argv = argv, .envp = envp, .run = run_execve });
}

EXPORT int execv(const char *path, char *const argv[])
{
	return run(&(struct exec_call){ .path = path, .argv = argv, .envp = environ, .run = run_execv });
}

EXPORT int execvp(const char *file, char *const argv[])
{
	return run(&(struct exec_call){ .path = file, .argv = argv, .envp = environ, .run = run_execvp });
}

EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	return run(&(struct exec_call){ .path = file, .argv = argv, .envp = envp, .run = run_execvpe });
}

EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	return run(&(struct exec_call){ .fd = fd, .argv = argv, .envp = envp, .run = run_fexecve });
}

EXPORT int execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
	return run(&(struct exec_call){
		.fd = fd, .path = path, .argv = argv, .envp = envp, .flags = flags, .run = run_execveat });
}

EXPORT int posix_spawn(pid_t *restrict pid, const char *restrict path,
		       const posix_spawn_file_actions_t *restrict actions, const posix_spawnattr_t *restrict attr,
		       char *const argv[restrict], char *const envp[restrict])
{
	return run(&(struct exec_call){ .pid = pid,
					.path = path,
					.actions = actions,
					.attr = attr,
					.argv = argv,
					.envp = envp,
					.run = run_spawn });
}

EXPORT int posix_spawnp(pid_t *restrict pid, const char *restrict file,
			const posix_spawn_file_actions_t *restrict actions, const posix_spawnattr_t *restrict attr,
			char *const argv[restrict], char *const envp[restrict])
{
	return run(&(struct exec_call){ .pid = pid,
					.path = file,
					.actions = actions,
					.attr = attr,
					.argv = argv,
					.envp = envp,
					.run = run_spawnp });
}

/* Through syscall(2). */
long raw_exec(long nr, long a, long b, long c, long d, long e, long f)
{
	(void)f;
	if (nr == SYS_execve)
		return run(&(struct exec_call){ .path = (const char *)a,
						.argv = (char *const *)b,
						.envp = (char *const *)c,
						.run = run_raw_execve });
	return run(&(struct exec_call){ .fd = (int)a,
					.path = (const char *)b,
					.argv = (char *const *)c,
					.envp = (char *const *)d,
					.flags = (int)e,
					.run = run_raw_execveat });
}

/* How many arguments there are before the closing NULL, first included; -1 for more than an int can count. */
static int count_args(const char *first, va_list args)
{
	int count = 0;

	for (const char *arg = first; arg; arg = va_arg(args, const char *))
		if (count++ == INT_MAX - 1)
			return -1;
	return count;
}

/*
 * The execl forms put their arguments into an array on the stack, as libc does and as is allowed after vfork and in a
 * signal handler. The bound is libc's too. The last of them has its environment behind the closing NULL.
 */
static int run_list(const struct exec_call *call, const char *first, va_list args, bool envp_follows)
{
	va_list counted;

	va_copy(counted, args);
	int count = count_args(first, counted);
	va_end(counted);
	if (count < 0) {
		errno = E2BIG;
		return -1;
	}

	char **argv = __builtin_alloca(((size_t)count + 1) * sizeof(*argv));

	argv[0] = (char *)first;
	for (int i = 0; i < count; i++)
		argv[i + 1] = va_arg(args, char *);

	struct exec_call with_list = *call;

	with_list.argv = argv;
	if (envp_follows)
		with_list.envp = va_arg(args, char *const *);
	return run(&with_list);
}

EXPORT int execl(const char *path, const char *arg, ...)
{
	va_list args;

	va_start(args, arg);
	int result = run_list(&(struct exec_call){ .path = path, .envp = environ, .run = run_execv }, arg, args,
			      false);
	va_end(args);
	return result;
}

EXPORT int execlp(const char *file, const char *arg, ...)
{
	va_list args;

	va_start(args, arg);
	int result = run_list(&(struct exec_call){ .path = file, .envp = environ, .run = run_execvp }, arg, args,
			      false);
	va_end(args);
	return result;
}

EXPORT int execle(const char *path, const char *arg, ...)
{
	va_list args;

	va_start(args, arg);
	int result = run_list(&(struct exec_call){ .path = path, .run = run_execve }, arg, args, true);
	va_end(args);
	return result;
}
