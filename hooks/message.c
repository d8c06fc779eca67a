/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes with addresses or control data: recvfrom, recvmsg, sendto, sendmsg and their kin. */
#include <stdint.h>

#include "hooks/hook.h"

WATCHED ssize_t watched_recvfrom(int fd, void *restrict buf, size_t len, int flags, __SOCKADDR_ARG addr,
			socklen_t *restrict addr_len)
{
	ssize_t n = REAL(recvfrom)(fd, buf, len, flags, addr, addr_len);

	return engine_received(fd, IOV(buf, len), 1, flags, n);
}

EXPORT ssize_t recvfrom(int fd, void *restrict buf, size_t len, int flags, __SOCKADDR_ARG addr,
			socklen_t *restrict addr_len)
{
	if (PASSES(fd, recvfrom))
		return real.recvfrom(fd, buf, len, flags, addr, addr_len);
	return watched_recvfrom(fd, buf, len, flags, addr, addr_len);
}

WATCHED ssize_t watched_recvfrom_chk(int fd, void *buf, size_t len, size_t buf_size, int flags, struct sockaddr *addr,
			      socklen_t *addr_len)
{
	ssize_t n = REAL(__recvfrom_chk)(fd, buf, len, buf_size, flags, addr, addr_len);

	return engine_received(fd, IOV(buf, len), 1, flags, n);
}

EXPORT ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t buf_size, int flags, struct sockaddr *addr,
			      socklen_t *addr_len)
{
	if (PASSES(fd, __recvfrom_chk))
		return real.__recvfrom_chk(fd, buf, len, buf_size, flags, addr, addr_len);
	return watched_recvfrom_chk(fd, buf, len, buf_size, flags, addr, addr_len);
}

WATCHED ssize_t watched_recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t n = REAL(recvmsg)(fd, msg, flags);

	return n < 0 ? engine_received(fd, NULL, 0, flags, n) :
		       engine_received(fd, msg->msg_iov, iov_count(msg), flags, n);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	if (PASSES(fd, recvmsg))
		return real.recvmsg(fd, msg, flags);
	return watched_recvmsg(fd, msg, flags);
}

int received_messages(int fd, struct mmsghdr *messages, int count, int flags)
{
	for (int i = 0; i < count; i++) {
		struct msghdr *msg = &messages[i].msg_hdr;
		ssize_t told = engine_received(fd, msg->msg_iov, iov_count(msg), flags, messages[i].msg_len);

		messages[i].msg_len = (unsigned)told;
	}
	return count;
}

WATCHED int watched_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
	int n = REAL(recvmmsg)(fd, messages, count, flags, timeout);

	return n < 0 ? (int)engine_received(fd, NULL, 0, flags, n) : received_messages(fd, messages, n, flags);
}

EXPORT int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
	if (PASSES(fd, recvmmsg))
		return real.recvmmsg(fd, messages, count, flags, timeout);
	return watched_recvmmsg(fd, messages, count, flags, timeout);
}

static ssize_t plain_sendto(const struct sending *s)
{
	return REAL(sendto)(s->fd, s->iov->iov_base, s->iov->iov_len, s->flags,
			    (__CONST_SOCKADDR_ARG){ .__sockaddr__ = s->addr }, s->addr_len);
}

static ssize_t edited_sendto(const struct sending *s, const struct iovec *iov, int iovcnt)
{
	struct msghdr msg = { .msg_name = (void *)s->addr,
			      .msg_namelen = s->addr_len,
			      .msg_iov = (struct iovec *)iov,
			      .msg_iovlen = (size_t)iovcnt };

	return REAL(sendmsg)(s->fd, &msg, s->flags);
}

static ssize_t plain_sendmsg(const struct sending *s)
{
	return REAL(sendmsg)(s->fd, s->msg, s->flags);
}

static ssize_t edited_sendmsg(const struct sending *s, const struct iovec *iov, int iovcnt)
{
	struct msghdr msg = *s->msg;

	msg.msg_iov = (struct iovec *)iov;
	msg.msg_iovlen = (size_t)iovcnt;
	return REAL(sendmsg)(s->fd, &msg, s->flags);
}

WATCHED ssize_t watched_sendto(int fd, const void *buf, size_t len, int flags, __CONST_SOCKADDR_ARG addr,
			       socklen_t addr_len)
{
	return engine_send(&(struct sending){ .fd = fd,
					      .flags = flags,
					      .iov = IOV(buf, len),
					      .iovcnt = 1,
					      .plain = plain_sendto,
					      .edited = edited_sendto,
					      .addr = addr.__sockaddr__,
					      .addr_len = addr_len });
}

EXPORT ssize_t sendto(int fd, const void *buf, size_t len, int flags, __CONST_SOCKADDR_ARG addr, socklen_t addr_len)
{
	if (PASSES(fd, sendto))
		return real.sendto(fd, buf, len, flags, addr, addr_len);
	return watched_sendto(fd, buf, len, flags, addr, addr_len);
}

static ssize_t send_message(int fd, const struct msghdr *msg, int flags)
{
	return engine_send(&MESSAGE(fd, msg, flags, plain_sendmsg, edited_sendmsg));
}

WATCHED ssize_t watched_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return send_message(fd, msg, flags);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	if (PASSES(fd, sendmsg))
		return real.sendmsg(fd, msg, flags);
	return watched_sendmsg(fd, msg, flags);
}

static size_t message_len(const struct msghdr *msg)
{
	size_t len = 0;

	for (int i = 0; i < iov_count(msg); i++)
		len += msg->msg_iov[i].iov_len;
	return len;
}

/*
 * As in the kernel: at most UIO_MAXIOV messages, the first short one is the last, and an error is told only when no
 * message went out.
 */
int send_messages(int fd, struct mmsghdr *messages, unsigned count, int flags,
		  ssize_t (*send_one)(int fd, const struct msghdr *msg, int flags))
{
	int sent = 0;

	while (sent < IOV_MAX && (unsigned)sent < count) {
		struct mmsghdr *message = &messages[sent];
		ssize_t n = send_one(fd, &message->msg_hdr, flags);

		if (n < 0)
			return sent ? sent : -1;
		message->msg_len = (unsigned)n;
		sent++;
		if ((size_t)n < message_len(&message->msg_hdr))
			break;
	}
	return sent;
}

EXPORT int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
	if (!engine_watches(fd) || count == 0)
		return REAL(sendmmsg)(fd, messages, count, flags);
	return send_messages(fd, messages, count, flags, send_message);
}
