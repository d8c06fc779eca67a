/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ends of processes. fork is seen through pthread_atfork; vfork is never hooked, since its child returns through
 * its caller's frame.
 */
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
