/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syscall(2): the way around the other hooks that libuv, the JDK, perl and allocators take. Every call goes through
 * unchanged; the ones that concern descriptors, bytes or identity are told to the engine by their number, in the same
 * terms as by the hooks of their own. An allocator's first call comes before our constructor, in the middle of
 * malloc: nothing here may need more than the real function.
 */
#include <errno.h>
#include <linux/close_range.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "hooks/hook.h"

/*
 * The variadic function under a fixed form: six longs are forwarded whatever the number takes. With the sixth
 * argument's stack slot among our own parameters the compiler can leave by a jump, so a system call that comes back on
 * another stack (clone) returns to its caller and not to us.
 */
typedef long raw_syscall_fn(long nr, long a, long b, long c, long d, long e, long f);
raw_syscall_fn raw_syscall __asm__("syscall");

#define REAL_SYSCALL ((raw_syscall_fn *)(void (*)(void))&REAL(syscall))

/* ---- told before the call ---- */

static enum identity_change identity_of(long nr, unsigned long flags)
{
	switch (nr) {
	case SYS_chroot:
	case SYS_pivot_root:
		return IDENTITY_ROOT;
	case SYS_unshare:
	case SYS_setns:
		return IDENTITY_NAMESPACE;
	case SYS_seccomp:
		return flags & SECCOMP_FILTER_FLAG_TSYNC ? IDENTITY_SANDBOX_ALL : IDENTITY_SANDBOX;
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
	enum identity_change change = identity_of(nr, (unsigned long)b);
	bool strict = (nr == SYS_prctl && b == SECCOMP_MODE_STRICT) ||
		      (nr == SYS_seccomp && a == SECCOMP_SET_MODE_STRICT);

	engine_identity_changing(change);

	long result = REAL_SYSCALL(nr, a, b, c, d, e, f);

	/* Strict mode kills on any other system call than read, write and exit. */
	if (result >= 0 && !strict)
		engine_identity_changed(change);
	return result;
}

/* ---- bytes ---- */

static ssize_t plain_bytes(const struct sending *s)
{
	if (s->addr || s->flags)
		return REAL_SYSCALL(SYS_sendto, s->fd, (long)s->iov->iov_base, (long)s->iov->iov_len, s->flags,
				    (long)s->addr, s->addr_len);
	return REAL_SYSCALL(SYS_write, s->fd, (long)s->iov->iov_base, (long)s->iov->iov_len, 0, 0, 0);
}

static ssize_t plain_vector(const struct sending *s)
{
	return REAL_SYSCALL(SYS_writev, s->fd, (long)s->iov, s->iovcnt, 0, 0, 0);
}

static ssize_t plain_message(const struct sending *s)
{
	return REAL_SYSCALL(SYS_sendmsg, s->fd, (long)s->msg, s->flags, 0, 0, 0);
}

static ssize_t edited(const struct sending *s, const struct iovec *iov, int iovcnt)
{
	struct msghdr msg = s->msg ? *s->msg :
				     (struct msghdr){ .msg_name = (void *)s->addr, .msg_namelen = s->addr_len };

	msg.msg_iov = (struct iovec *)iov;
	msg.msg_iovlen = (size_t)iovcnt;
	return REAL_SYSCALL(SYS_sendmsg, s->fd, (long)&msg, s->flags, 0, 0, 0);
}

static long send_watched(long nr, int fd, long b, long c, long d, long e, long f)
{
	const struct msghdr *msg = (const struct msghdr *)b;

	switch (nr) {
	case SYS_writev:
		return engine_send(&(struct sending){
			.fd = fd, .iov = (void *)b, .iovcnt = (int)c, .plain = plain_vector, .edited = edited });
	case SYS_sendmsg:
		return engine_send(&(struct sending){ .fd = fd,
						      .flags = (int)c,
						      .iov = msg->msg_iov,
						      .iovcnt = (int)msg->msg_iovlen,
						      .plain = plain_message,
						      .edited = edited,
						      .msg = msg });
	default: /* write has neither flags nor address */
		return engine_send(&(struct sending){ .fd = fd,
						      .flags = nr == SYS_sendto ? (int)d : 0,
						      .iov = IOV(b, (size_t)c),
						      .iovcnt = 1,
						      .plain = plain_bytes,
						      .edited = edited,
						      .addr = nr == SYS_sendto ? (void *)e : NULL,
						      .addr_len = nr == SYS_sendto ? (socklen_t)f : 0 });
	}
}

static long receive_watched(long nr, int fd, long b, long c, long d, long e, long f)
{
	ssize_t n = REAL_SYSCALL(nr, fd, b, c, d, e, f);
	const struct msghdr *msg = (const struct msghdr *)b;

	if (n < 0)
		return engine_received(fd, NULL, 0, 0, n);
	switch (nr) {
	case SYS_readv:
		return engine_received(fd, (void *)b, (int)c, 0, n);
	case SYS_recvmsg:
		return engine_received(fd, msg->msg_iov, (int)msg->msg_iovlen, (int)c, n);
	default:
		return engine_received(fd, IOV(b, (size_t)c), 1, nr == SYS_recvfrom ? (int)d : 0, n);
	}
}

/* ---- told after the call ---- */

static void tell_result(long nr, long a, long b, long c, int result)
{
	switch (nr) {
	case SYS_socket:
		tell_socket(result, (int)a, (int)b);
		break;
	case SYS_dup:
	case SYS_dup2:
	case SYS_dup3:
		tell_duplicated((int)a, result);
		break;
	case SYS_fcntl:
		if (b == F_DUPFD || b == F_DUPFD_CLOEXEC)
			tell_duplicated((int)a, result);
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
	case SYS_io_uring_setup:
		if (result >= 0)
			engine_uring_seen();
		break;
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
		tell_result(nr, a, b, c, (int)result);
	return result;
}

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
	case SYS_write:
	case SYS_writev:
	case SYS_sendto:
	case SYS_sendmsg:
		if (engine_watches((int)a))
			return send_watched(nr, (int)a, b, c, d, e, f);
		break;
	case SYS_read:
	case SYS_readv:
	case SYS_recvfrom:
	case SYS_recvmsg:
		if (engine_watches((int)a))
			return receive_watched(nr, (int)a, b, c, d, e, f);
		break;
	case SYS_socket:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
	case SYS_listen:
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
		return change_identity(nr, a, b, c, d, e, f);
	}
	return REAL_SYSCALL(nr, a, b, c, d, e, f);
}
