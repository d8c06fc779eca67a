/* SPDX-License-Identifier: Apache-2.0 */
/* Waits through syscall(2): the borders of the engine's windows, as in wait.c. */
#include <sys/syscall.h>

#include "hooks/raw.h"

static long wait_on_epoll(long nr, long a, long b, long c, long d, long e, long f)
{
	int timeout_ms = nr == SYS_epoll_pwait2 ? timespec_ms((const struct timespec *)d) : (int)d;
	int allowed = epoll_begin((int)a, (int)c, timeout_ms);
	long n = allowed || !(int)c ? REAL_SYSCALL(nr, a, b, allowed, d, e, f) : 0;

	engine_wait_end((int)a, (const struct epoll_event *)b, (int)n);
	return n;
}

static void begin(long nr, long a, long b, long c, long e)
{
	switch (nr) {
	case SYS_poll:
		poll_begin((const struct pollfd *)a, (nfds_t)b, (int)c);
		break;
	case SYS_ppoll:
		poll_begin((const struct pollfd *)a, (nfds_t)b, timespec_ms((const struct timespec *)c));
		break;
	case SYS_select:
		select_begin((int)a, (const fd_set *)b, timeval_ms((const struct timeval *)e));
		break;
	case SYS_pselect6:
		select_begin((int)a, (const fd_set *)b, timespec_ms((const struct timespec *)e));
		break;
	}
}

long raw_wait(long nr, long a, long b, long c, long d, long e, long f)
{
	if (nr == SYS_epoll_wait || nr == SYS_epoll_pwait || nr == SYS_epoll_pwait2)
		return wait_on_epoll(nr, a, b, c, d, e, f);
	begin(nr, a, b, c, e);

	long ready = REAL_SYSCALL(nr, a, b, c, d, e, f);

	engine_poll_end((int)ready);
	return ready;
}
