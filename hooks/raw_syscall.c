/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syscall(2): the way around the other hooks that libuv, the JDK, perl and allocators take. Every call goes through
 * unchanged; the ones that concern descriptors, bytes or identity are told to the engine by their number, in the same
 * terms as by the hooks of their own. An allocator's first call comes before our constructor, in the middle of
 * malloc: nothing here may need more than the real function.
 */
#include <errno.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>

#include "hooks/raw.h"

/* The variadic function, as it is exported. */
raw_syscall_fn raw_syscall __asm__("syscall");

/* ---- told before the call ---- */

static bool is_strict(long nr, long a, long b)
{
	return (nr == SYS_prctl && b == SECCOMP_MODE_STRICT) || (nr == SYS_seccomp && a == SECCOMP_SET_MODE_STRICT);
}

static enum identity_change identity_of(long nr, long a, long b)
{
	if (is_strict(nr, a, b))
		return IDENTITY_STRICT;
	switch (nr) {
	case SYS_chroot:
	case SYS_pivot_root:
		return IDENTITY_ROOT;
	case SYS_unshare:
	case SYS_setns:
		return IDENTITY_NAMESPACE;
	case SYS_seccomp:
		return (unsigned long)b & SECCOMP_FILTER_FLAG_TSYNC ? IDENTITY_SANDBOX_ALL : IDENTITY_SANDBOX;
	case SYS_landlock_restrict_self:
		return IDENTITY_LANDLOCK;
	case SYS_prctl:
		return IDENTITY_SANDBOX;
	default:
		return IDENTITY_USER;
	}
}

static long change_identity(long nr, long a, long b, long c, long d, long e, long f)
{
	enum identity_change change = identity_of(nr, a, b);

	engine_identity_changing(change);

	long result = REAL_SYSCALL(nr, a, b, c, d, e, f);

	if (result >= 0)
		engine_identity_changed(change);
	return result;
}

/* ---- forks ---- */

static bool is_fork(long nr, long a)
{
	return nr == SYS_fork || (nr == SYS_clone && !(a & CLONE_VM)) ||
	       (nr == SYS_clone3 && !(((const struct clone_args *)a)->flags & CLONE_VM));
}

/* Then the child does not come back through our frame. */
static bool has_own_stack(long nr, long a, long b)
{
	return (nr == SYS_clone && b) || (nr == SYS_clone3 && ((const struct clone_args *)a)->stack);
}

static long fork_by_number(long nr, long a, long b, long c, long d, long e)
{
	long result = REAL_SYSCALL(nr, a, b, c, d, e, 0);
	int errno_saved = errno;

	engine_forked(result == 0);
	errno = errno_saved;
	return result;
}

/* ---- told after the call ---- */

static void tell_created(long nr, long a, long b, long d, int result)
{
	switch (nr) {
	case SYS_socket:
		tell_socket(result, (int)a, (int)b);
		break;
	case SYS_socketpair:
		tell_pair((const int *)d, result);
		break;
	case SYS_pipe:
	case SYS_pipe2:
		tell_pipe((const int *)a, result);
		break;
	case SYS_eventfd:
	case SYS_eventfd2:
		tell_opened(result, FD_EVENT);
		break;
	case SYS_timerfd_create:
		tell_opened(result, FD_TIMER);
		break;
	case SYS_epoll_create:
	case SYS_epoll_create1:
		tell_opened(result, FD_EPOLL);
		break;
	case SYS_io_uring_setup:
		if (result >= 0)
			engine_uring_seen();
		break;
	}
}

static void tell_result(long nr, long a, long b, long c, long d, int result)
{
	switch (nr) {
	case SYS_dup:
	case SYS_dup2:
	case SYS_dup3:
		tell_duplicated((int)a, result);
		break;
	case SYS_fcntl:
		if (b == F_DUPFD || b == F_DUPFD_CLOEXEC)
			tell_duplicated((int)a, result);
		break;
	case SYS_bind:
		tell_bound((int)a, result);
		break;
	case SYS_shutdown:
		tell_shutdown((int)a, (int)b, result);
		break;
	case SYS_epoll_ctl:
		tell_epoll_changed((int)a, (int)b, (int)c, (const struct epoll_event *)d, result);
		break;
	case SYS_connect:
		if (engine_watches((int)a))
			engine_connecting((int)a, (const struct sockaddr *)b, (socklen_t)c, result,
					  result < 0 ? errno : 0);
		break;
	case SYS_listen:
		if (result == 0)
			engine_listening((int)a);
		break;
	case SYS_getpeername:
		engine_peer_asked((int)a);
		break;
	case SYS_getsockopt:
		if (b == IPPROTO_TCP && c == TCP_INFO)
			engine_state_asked((int)a);
		break;
	default:
		tell_created(nr, a, b, d, result);
	}
}

static long tell_after(long nr, long a, long b, long c, long d, long e, long f)
{
	bool accepting = nr == SYS_accept || nr == SYS_accept4;
	socklen_t room = accepting && b && c ? *(socklen_t *)c : 0;
	long result = REAL_SYSCALL(nr, a, b, c, d, e, f);

	if (accepting)
		tell_accepted((int)a, (int)result, (const struct sockaddr *)b, room, (const socklen_t *)c);
	else
		tell_result(nr, a, b, c, d, (int)result);
	return result;
}

/* A table, of which there is nothing to split. NOLINTNEXTLINE(readability-function-size) */
EXPORT long raw_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	switch (nr) {
	case SYS_close:
		if (engine_watches((int)a))
			engine_closing((int)a);
		break;
	case SYS_close_range:
		if (!(c & CLOSE_RANGE_CLOEXEC) && (unsigned)a <= (unsigned)b)
			engine_closing_range((unsigned)a, (unsigned)b);
		break;
	case SYS_exit_group:
		engine_exiting();
		break;
	case SYS_fork:
	case SYS_clone:
	case SYS_clone3:
		if (!is_fork(nr, a))
			break;
		engine_forking();
		if (has_own_stack(nr, a, b))
			break;
		return fork_by_number(nr, a, b, c, d, e);
	case SYS_exit:
		engine_thread_exiting();
		break;
	case SYS_write:
	case SYS_writev:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_pwritev2:
		if (engine_watches((int)a))
			return raw_send(nr, a, b, c, d, e, f);
		break;
	case SYS_read:
	case SYS_readv:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_preadv2:
		if (engine_watches((int)a))
			return raw_receive(nr, a, b, c, d, e, f);
		break;
	case SYS_sendfile:
	case SYS_splice:
		return raw_move(nr, a, b, c, d, e, f);
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_poll:
	case SYS_ppoll:
	case SYS_select:
	case SYS_pselect6:
		return raw_wait(nr, a, b, c, d, e, f);
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
	case SYS_sched_yield:
		engine_sleeping();
		break;
	case SYS_timerfd_settime:
		tell_timer_arming((int)a, (const struct itimerspec *)c);
		break;
	case SYS_execve:
	case SYS_execveat:
		return raw_exec(nr, a, b, c, d, e, f);
	case SYS_socket:
	case SYS_socketpair:
	case SYS_bind:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
	case SYS_listen:
	case SYS_shutdown:
	case SYS_getpeername:
	case SYS_getsockopt:
	case SYS_pipe:
	case SYS_pipe2:
	case SYS_eventfd:
	case SYS_eventfd2:
	case SYS_timerfd_create:
	case SYS_epoll_create:
	case SYS_epoll_create1:
	case SYS_epoll_ctl:
	case SYS_dup:
	case SYS_dup2:
	case SYS_dup3:
	case SYS_fcntl:
	case SYS_io_uring_setup:
		return tell_after(nr, a, b, c, d, e, f);
	case SYS_prctl:
		if (a != PR_SET_SECCOMP || (b == SECCOMP_MODE_FILTER && c == 0))
			break;
		return change_identity(nr, a, b, c, d, e, f);
	case SYS_seccomp:
		/* Without a filter it is only a question whether the kernel knows the call. */
		if (a != SECCOMP_SET_MODE_STRICT && (a != SECCOMP_SET_MODE_FILTER || c == 0))
			break;
		return change_identity(nr, a, b, c, d, e, f);
	case SYS_chroot:
	case SYS_pivot_root:
	case SYS_unshare:
	case SYS_setns:
	case SYS_landlock_restrict_self:
	case SYS_setuid:
	case SYS_setreuid:
	case SYS_setresuid:
	case SYS_setgid:
	case SYS_setregid:
	case SYS_setresgid:
	case SYS_setgroups:
	case SYS_setfsuid:
	case SYS_setfsgid:
		return change_identity(nr, a, b, c, d, e, f);
	}
	return REAL_SYSCALL(nr, a, b, c, d, e, f);
}
