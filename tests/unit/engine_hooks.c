/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/engine_hooks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/engine.h"
#include "tests/unit/engine_fixture.h"

size_t hook_room = SIZE_MAX, hook_chunk = SIZE_MAX;

/* ---- connections ---- */

static struct link new_link(void)
{
	int fds[2], size = 1 << 20;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	for (int i = 0; i < 2; i++)
		(void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return (struct link){fds[0], fds[1]};
}

static socklen_t address(struct sockaddr_storage *ret, const char *ip, int port)
{
	struct sockaddr_in *in = (void *)ret;
	struct sockaddr_in6 *in6 = (void *)ret;

	memset(ret, 0, sizeof(*ret));
	if (!ip) {
		ret->ss_family = AF_UNIX;
		return sizeof(sa_family_t);
	}
	if (inet_pton(AF_INET, ip, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		return sizeof(*in);
	}
	assert_int_equal(inet_pton(AF_INET6, ip, &in6->sin6_addr), 1);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons((uint16_t)port);
	return sizeof(*in6);
}

struct link hook_accept_from(const char *ip, int port)
{
	struct link l = new_link();
	struct sockaddr_storage addr;
	socklen_t len = address(&addr, ip, port);

	engine_accepted(-1, l.ours, (struct sockaddr *)&addr, len);
	return l;
}

struct link hook_accept(void)
{
	return hook_accept_from("192.0.2.7", 4711);
}

struct link hook_connect_to(const char *ip, int port)
{
	struct link l = new_link();
	struct sockaddr_storage addr;
	socklen_t len = address(&addr, ip, port);

	engine_opened(l.ours, FD_SOCKET);
	engine_connecting(l.ours, (struct sockaddr *)&addr, len, 0, 0);
	return l;
}

struct link hook_connect(void)
{
	return hook_connect_to("192.0.2.9", 8080);
}

void hook_close(int fd)
{
	engine_closing(fd);
	assert_int_equal(close(fd), 0);
}

void link_close(struct link *l)
{
	hook_close(l->ours);
	close(l->peer);
	l->ours = l->peer = -1;
}

/* ---- bytes ---- */

ssize_t hook_readv(int fd, const struct iovec *iov, int iovcnt)
{
	return engine_received(fd, iov, iovcnt, 0, readv(fd, iov, iovcnt));
}

ssize_t hook_recv(int fd, void *buf, size_t cap, int flags)
{
	struct iovec iov = {buf, cap};

	return engine_received(fd, &iov, 1, flags, recv(fd, buf, cap, flags));
}

/* What the kernel would do with a socket buffer that has only so much room. */
static ssize_t take(int fd, const struct iovec *iov, int iovcnt)
{
	size_t most = hook_room < hook_chunk ? hook_room : hook_chunk, n = 0;
	struct iovec cut[128];
	ssize_t done;
	int k = 0;

	for (; k < iovcnt && n < most; k++) {
		cut[k] = iov[k];
		if (cut[k].iov_len > most - n)
			cut[k].iov_len = most - n;
		n += cut[k].iov_len;
	}
	if (most == 0) {
		errno = EAGAIN;
		return -1;
	}
	done = writev(fd, cut, k);
	if (done > 0 && hook_room != SIZE_MAX)
		hook_room -= (size_t)done;
	return done;
}

static ssize_t plain(const struct sending *s)
{
	return take(s->fd, s->iov, s->iovcnt);
}

static ssize_t edited(const struct sending *s, const struct iovec *iov, int iovcnt)
{
	return take(s->fd, iov, iovcnt);
}

ssize_t hook_sendmsg(int fd, const struct iovec *iov, int iovcnt, int flags)
{
	const struct sending s = {
		.fd = fd, .flags = flags, .iov = iov, .iovcnt = iovcnt, .plain = plain, .edited = edited};

	return engine_send(&s);
}

ssize_t hook_writev(int fd, const struct iovec *iov, int iovcnt)
{
	return hook_sendmsg(fd, iov, iovcnt, 0);
}

ssize_t hook_send(int fd, const void *buf, size_t len, int flags)
{
	const struct iovec iov = {(void *)(uintptr_t)buf, len};

	return hook_sendmsg(fd, &iov, 1, flags);
}

/* ---- whole steps ---- */

void peer_says(const struct link *l, const char *text)
{
	assert_int_equal(send(l->peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

size_t peer_reads(const struct link *l, char *buf, size_t cap)
{
	size_t n = 0;
	ssize_t got;

	while (n < cap - 1 && (got = recv(l->peer, buf + n, cap - 1 - n, 0)) > 0)
		n += (size_t)got;
	buf[n] = '\0';
	return n;
}

void program_says(const struct link *l, const char *text)
{
	assert_int_equal(hook_send(l->ours, text, strlen(text), 0), (ssize_t)strlen(text));
}

size_t program_reads(const struct link *l, char *buf, size_t cap)
{
	ssize_t n = hook_recv(l->ours, buf, cap - 1, 0);

	assert_true(n >= 0);
	buf[n] = '\0';
	return (size_t)n;
}

void serve_begin(const struct link *l, const char *request)
{
	char buf[8192];

	peer_says(l, request);
	assert_true(program_reads(l, buf, sizeof(buf)) >= strlen(request));
}

void serve_end(const struct link *l)
{
	program_says(l, RESPONSE);
}

void call_begin(const struct link *l, const char *request, char *buf, size_t cap)
{
	char own[8192];

	program_says(l, request);
	(void)peer_reads(l, buf ? buf : own, buf ? cap : sizeof(own));
}

void call_end(const struct link *l)
{
	char buf[8192];

	peer_says(l, RESPONSE);
	(void)program_reads(l, buf, sizeof(buf));
}

/* ---- loops ---- */

int hook_epoll(void)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	assert_true(fd >= 0);
	engine_opened(fd, FD_EPOLL);
	return fd;
}

void hook_waited(int epfd, int timeout_ms, int n)
{
	struct epoll_event events[1] = {{0}};

	engine_waiting_at_most(timeout_ms);
	(void)engine_wait_begin(epfd, 1);
	engine_wait_end(epfd, events, n);
}
