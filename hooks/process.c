/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ends and the beginnings of processes. Inside libc each exec variant calls execve by an internal name, so each
 * is hooked here, and all come down to one struct exec_call: ask the engine for the environment, then run the real
 * function. Where nothing is to change that is the variant the program called; with another environment it is the
 * variant that takes one. fork is seen through pthread_atfork. vfork is never hooked: its child returns through its
 * caller's frame.
 */
#include <limits.h>
#include <stdarg.h>
#include <errno.h>

#include "hooks/hook.h"

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

/* Frames of their own, so that only a call that changes the environment has an array on its stack. */
static __attribute__((noinline)) int run_small(const struct exec_call *call)
{
	char *envp[SMALL_ENVIRONMENT];
	struct exec_scratch scratch;

	scratch.envp = envp;
	scratch.envp_max = SMALL_ENVIRONMENT;
	return call->run(call, engine_exec_environment(call->path, call->envp, &scratch));
}

static __attribute__((noinline)) int run_large(const struct exec_call *call)
{
	char *envp[LARGE_ENVIRONMENT];
	struct exec_scratch scratch;

	scratch.envp = envp;
	scratch.envp_max = LARGE_ENVIRONMENT;
	return call->run(call, engine_exec_environment(call->path, call->envp, &scratch));
}

/* The two that return in this process. */
static int run_spawn(const struct exec_call *call, char *const *envp);
static int run_spawnp(const struct exec_call *call, char *const *envp);

static int run(const struct exec_call *call)
{
	size_t count = 0;

	if (call->run != run_spawn && call->run != run_spawnp)
		engine_executing();
	if (!call->envp || engine_exec_environment(call->path, call->envp, NULL))
		return call->run(call, call->envp);
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

/*
 * The execl forms put their arguments into an array on the stack, as libc does and as is allowed after vfork and in a
 * signal handler. The bound is libc's too.
 */

/* How many arguments there are before the closing NULL, first included; -1 for more than an int can count. */
static int count_args(const char *first, va_list args)
{
	int count = 0;

	for (const char *arg = first; arg; arg = va_arg(args, const char *))
		if (count++ == INT_MAX - 1)
			return -1;
	return count;
}

static void copy_args(char **argv, const char *first, va_list args)
{
	*argv = (char *)first;
	while (*argv)
		*++argv = va_arg(args, char *);
}

static int too_long(void)
{
	errno = E2BIG;
	return -1;
}

EXPORT int execl(const char *path, const char *arg, ...)
{
	va_list args;

	va_start(args, arg);
	int count = count_args(arg, args);
	va_end(args);
	if (count < 0)
		return too_long();

	char **argv = __builtin_alloca(((size_t)count + 1) * sizeof(*argv));

	va_start(args, arg);
	copy_args(argv, arg, args);
	va_end(args);
	return run(&(struct exec_call){ .path = path, .argv = argv, .envp = environ, .run = run_execv });
}

EXPORT int execlp(const char *file, const char *arg, ...)
{
	va_list args;

	va_start(args, arg);
	int count = count_args(arg, args);
	va_end(args);
	if (count < 0)
		return too_long();

	char **argv = __builtin_alloca(((size_t)count + 1) * sizeof(*argv));

	va_start(args, arg);
	copy_args(argv, arg, args);
	va_end(args);
	return run(&(struct exec_call){ .path = file, .argv = argv, .envp = environ, .run = run_execvp });
}

EXPORT int execle(const char *path, const char *arg, ...)
{
	va_list args;

	va_start(args, arg);
	int count = count_args(arg, args);
	va_end(args);
	if (count < 0)
		return too_long();

	char **argv = __builtin_alloca(((size_t)count + 1) * sizeof(*argv));

	va_start(args, arg);
	copy_args(argv, arg, args);
	char *const *envp = va_arg(args, char *const *);
	va_end(args);
	return run(&(struct exec_call){ .path = path, .argv = argv, .envp = envp, .run = run_execve });
}

EXPORT void _exit(int status)
{
	engine_exiting();
	REAL(_exit)(status);
	__builtin_unreachable();
}

EXPORT void _Exit(int status)
{
	engine_exiting();
	REAL(_Exit)(status);
	__builtin_unreachable();
}

EXPORT void quick_exit(int status)
{
	engine_exiting();
	REAL(quick_exit)(status);
	__builtin_unreachable();
}
