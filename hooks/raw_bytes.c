/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes through syscall(2), in the same terms as through the functions of their own. */
#include <sys/syscall.h>

#include "hooks/raw.h"

/* ---- out ---- */

static ssize_t plain_write(const struct sending *s)
{
	return REAL_SYSCALL(SYS_write, s->fd, (long)s->iov->iov_base, (long)s->iov->iov_len, 0, 0, 0);
}

static ssize_t plain_sendto(const struct sending *s)
{
	return REAL_SYSCALL(SYS_sendto, s->fd, (long)s->iov->iov_base, (long)s->iov->iov_len, s->flags, (long)s->addr,
			    s->addr_len);
}

static ssize_t plain_writev(const struct sending *s)
{
	return REAL_SYSCALL(SYS_writev, s->fd, (long)s->iov, s->iovcnt, 0, 0, 0);
}

static ssize_t edited_pwritev2(const struct sending *s, const struct iovec *iov, int iovcnt)
{
	return REAL_SYSCALL(SYS_pwritev2, s->fd, (long)iov, iovcnt, AT_POSITION, AT_POSITION, s->rw_flags);
}

static ssize_t plain_pwritev2(const struct sending *s)
{
	return edited_pwritev2(s, s->iov, s->iovcnt);
}

static ssize_t plain_sendmsg(const struct sending *s)
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

static ssize_t send_message(int fd, const struct msghdr *msg, int flags)
{
	return engine_send(&MESSAGE(fd, msg, flags, plain_sendmsg, edited));
}

static long send_vector(long nr, long a, long b, long c, long d, long e, long f)
{
	struct sending s = { .fd = (int)a, .iov = (const struct iovec *)b, .iovcnt = (int)c };

	if (nr == SYS_writev) {
		s.plain = plain_writev;
		s.edited = edited;
	} else if (d == AT_POSITION) {
		s.rw_flags = (int)f;
		s.plain = plain_pwritev2;
		s.edited = edited_pwritev2;
	} else { /* at a position of its own: no socket has one */
		return REAL_SYSCALL(nr, a, b, c, d, e, f);
	}
	return engine_send(&s);
}

static long send_buffer(long nr, long a, long b, long c, long d, long e, long f)
{
	struct sending s = {
		.fd = (int)a, .iov = IOV(b, (size_t)c), .iovcnt = 1, .plain = plain_write, .edited = edited };

	if (nr == SYS_sendto) {
		s.flags = (int)d;
		s.addr = (const struct sockaddr *)e;
		s.addr_len = (socklen_t)f;
		s.plain = plain_sendto;
	}
	return engine_send(&s);
}

long raw_send(long nr, long a, long b, long c, long d, long e, long f)
{
	switch (nr) {
	case SYS_sendmsg:
		return send_message((int)a, (const struct msghdr *)b, (int)c);
	case SYS_sendmmsg:
		return c ? send_messages((int)a, (struct mmsghdr *)b, (unsigned)c, (int)d, send_message) :
			   REAL_SYSCALL(nr, a, b, c, d, e, f);
	case SYS_writev:
	case SYS_pwritev2:
		return send_vector(nr, a, b, c, d, e, f);
	default:
		return send_buffer(nr, a, b, c, d, e, f);
	}
}

/* ---- in ---- */

long raw_receive(long nr, long a, long b, long c, long d, long e, long f)
{
	ssize_t n = REAL_SYSCALL(nr, a, b, c, d, e, f);
	const struct msghdr *msg = (const struct msghdr *)b;
	int fd = (int)a;

	if (nr == SYS_preadv2 && d != AT_POSITION)
		return n;
	if (n < 0)
		return engine_received(fd, NULL, 0, 0, n);
	switch (nr) {
	case SYS_readv:
	case SYS_preadv2:
		return engine_received(fd, (const struct iovec *)b, (int)c, 0, n);
	case SYS_recvmsg:
		return engine_received(fd, msg->msg_iov, iov_count(msg), (int)c, n);
	case SYS_recvmmsg:
		return received_messages(fd, (struct mmsghdr *)b, (int)n, (int)d);
	default:
		return engine_received(fd, IOV(b, (size_t)c), 1, nr == SYS_recvfrom ? (int)d : 0, n);
	}
}

/* ---- from descriptor to descriptor ---- */

long raw_move(long nr, long a, long b, long c, long d, long e, long f)
{
	ssize_t n = REAL_SYSCALL(nr, a, b, c, d, e, f);

	if (nr == SYS_sendfile)
		tell_moved((int)b, (int)a, n);
	else
		tell_moved((int)a, (int)c, n);
	return n;
}
