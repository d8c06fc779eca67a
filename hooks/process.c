/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ends and the beginnings of processes. fork is seen through pthread_atfork; vfork is never hooked, since its child
 * returns through its caller's frame.
 */
#include <errno.h>
#include <stdarg.h>

#include "hooks/hook.h"

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

EXPORT pid_t _Fork(void)
{
	engine_forking();

	pid_t pid = REAL(_Fork)();
	int errno_saved = errno;

	engine_forked(pid == 0);
	errno = errno_saved;
	return pid;
}

/* The last three are there only if the flags say so; words that are not are passed on unread. */
EXPORT int clone(int (*start)(void *), void *stack, int flags, void *arg, ...)
{
	void *more[3];
	va_list args;

	va_start(args, arg);
	for (int i = 0; i < 3; i++)
		more[i] = va_arg(args, void *);
	va_end(args);

	bool forks = !(flags & CLONE_VM);

	if (forks)
		engine_forking();

	int pid = REAL(clone)(start, stack, flags, arg, more[0], more[1], more[2]);
	int errno_saved = errno;

	if (forks)
		engine_forked(false);
	errno = errno_saved;
	return pid;
}
