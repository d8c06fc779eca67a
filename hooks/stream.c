/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in one buffer or one vector, without addresses: read, recv, write, send and their kin. */
#include "hooks/hook.h"

WATCHED ssize_t watched_read(int fd, void *buf, size_t len)
{
	ssize_t n = REAL(read)(fd, buf, len);

	return engine_received(fd, IOV(buf, len), 1, 0, n);
}

EXPORT ssize_t read(int fd, void *buf, size_t len)
{
	if (PASSES(fd, read))
		return real.read(fd, buf, len);
	return watched_read(fd, buf, len);
}

__typeof__(read) __read ALIAS(read);

WATCHED ssize_t watched_read_chk(int fd, void *buf, size_t len, size_t buf_size)
{
	ssize_t n = REAL(__read_chk)(fd, buf, len, buf_size);

	return engine_received(fd, IOV(buf, len), 1, 0, n);
}

EXPORT ssize_t __read_chk(int fd, void *buf, size_t len, size_t buf_size)
{
	if (PASSES(fd, __read_chk))
		return real.__read_chk(fd, buf, len, buf_size);
	return watched_read_chk(fd, buf, len, buf_size);
}

WATCHED ssize_t watched_readv(int fd, const struct iovec *iov, int iovcnt)
{
	ssize_t n = REAL(readv)(fd, iov, iovcnt);

	return engine_received(fd, iov, iovcnt, 0, n);
}

EXPORT ssize_t readv(int fd, const struct iovec *iov, int iovcnt)
{
	if (PASSES(fd, readv))
		return real.readv(fd, iov, iovcnt);
	return watched_readv(fd, iov, iovcnt);
}

WATCHED ssize_t watched_preadv2(int fd, const struct iovec *iov, int iovcnt, off_t offset, int flags)
{
	ssize_t n = REAL(preadv2)(fd, iov, iovcnt, offset, flags);

	return engine_received(fd, iov, iovcnt, 0, n);
}

EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int iovcnt, off_t offset, int flags)
{
	if (offset != AT_POSITION || PASSES(fd, preadv2))
		return REAL(preadv2)(fd, iov, iovcnt, offset, flags);
	return watched_preadv2(fd, iov, iovcnt, offset, flags);
}

__typeof__(preadv64v2) preadv64v2 ALIAS(preadv2);

WATCHED ssize_t watched_recv(int fd, void *buf, size_t len, int flags)
{
	ssize_t n = REAL(recv)(fd, buf, len, flags);

	return engine_received(fd, IOV(buf, len), 1, flags, n);
}

EXPORT ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	if (PASSES(fd, recv))
		return real.recv(fd, buf, len, flags);
	return watched_recv(fd, buf, len, flags);
}

WATCHED ssize_t watched_recv_chk(int fd, void *buf, size_t len, size_t buf_size, int flags)
{
	ssize_t n = REAL(__recv_chk)(fd, buf, len, buf_size, flags);

	return engine_received(fd, IOV(buf, len), 1, flags, n);
}

EXPORT ssize_t __recv_chk(int fd, void *buf, size_t len, size_t buf_size, int flags)
{
	if (PASSES(fd, __recv_chk))
		return real.__recv_chk(fd, buf, len, buf_size, flags);
	return watched_recv_chk(fd, buf, len, buf_size, flags);
}

static ssize_t plain_write(const struct sending *s)
{
	return REAL(write)(s->fd, s->iov->iov_base, s->iov->iov_len);
}

static ssize_t plain_writev(const struct sending *s)
{
	return REAL(writev)(s->fd, s->iov, s->iovcnt);
}

static ssize_t edited_writev(const struct sending *s, const struct iovec *iov, int iovcnt)
{
	return REAL(writev)(s->fd, iov, iovcnt);
}

static ssize_t plain_send(const struct sending *s)
{
	return REAL(send)(s->fd, s->iov->iov_base, s->iov->iov_len, s->flags);
}

static ssize_t edited_send(const struct sending *s, const struct iovec *iov, int iovcnt)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)iovcnt };

	return REAL(sendmsg)(s->fd, &msg, s->flags);
}

WATCHED ssize_t watched_write(int fd, const void *buf, size_t len)
{
	return engine_send(&(struct sending){
		.fd = fd, .iov = IOV(buf, len), .iovcnt = 1, .plain = plain_write, .edited = edited_writev });
}

EXPORT ssize_t write(int fd, const void *buf, size_t len)
{
	if (PASSES(fd, write))
		return real.write(fd, buf, len);
	return watched_write(fd, buf, len);
}

__typeof__(write) __write ALIAS(write);

WATCHED ssize_t watched_writev(int fd, const struct iovec *iov, int iovcnt)
{
	return engine_send(&(struct sending){
		.fd = fd, .iov = iov, .iovcnt = iovcnt, .plain = plain_writev, .edited = edited_writev });
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int iovcnt)
{
	if (PASSES(fd, writev))
		return real.writev(fd, iov, iovcnt);
	return watched_writev(fd, iov, iovcnt);
}

static ssize_t edited_pwritev2(const struct sending *s, const struct iovec *iov, int iovcnt)
{
	return REAL(pwritev2)(s->fd, iov, iovcnt, AT_POSITION, s->rw_flags);
}

static ssize_t plain_pwritev2(const struct sending *s)
{
	return edited_pwritev2(s, s->iov, s->iovcnt);
}

WATCHED ssize_t watched_pwritev2(int fd, const struct iovec *iov, int iovcnt, int flags)
{
	return engine_send(&(struct sending){ .fd = fd,
					      .rw_flags = flags,
					      .iov = iov,
					      .iovcnt = iovcnt,
					      .plain = plain_pwritev2,
					      .edited = edited_pwritev2 });
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int iovcnt, off_t offset, int flags)
{
	if (offset != AT_POSITION || PASSES(fd, pwritev2))
		return REAL(pwritev2)(fd, iov, iovcnt, offset, flags);
	return watched_pwritev2(fd, iov, iovcnt, flags);
}

__typeof__(pwritev64v2) pwritev64v2 ALIAS(pwritev2);

WATCHED ssize_t watched_send(int fd, const void *buf, size_t len, int flags)
{
	return engine_send(&(struct sending){ .fd = fd,
					      .flags = flags,
					      .iov = IOV(buf, len),
					      .iovcnt = 1,
					      .plain = plain_send,
					      .edited = edited_send });
}

EXPORT ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	if (PASSES(fd, send))
		return real.send(fd, buf, len, flags);
	return watched_send(fd, buf, len, flags);
}

__typeof__(send) __send ALIAS(send);
