/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets: how they begin, whom they speak to, how they are shut down. Their end is in descriptor.c. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "hooks/hook.h"

void tell_opened(int fd, enum fd_kind kind)
{
	tell_modules();
	if (fd >= 0 && (kind != FD_UNKNOWN || engine_watches(fd)))
		engine_opened(fd, kind);
}

void tell_socket(int fd, int domain, int type)
{
	bool stream = (type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) == SOCK_STREAM;
	bool known = domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX;

	tell_opened(fd, stream && known ? FD_SOCKET : FD_UNKNOWN);
}

void tell_accepted(int listener, int fd, const struct sockaddr *peer, socklen_t peer_room, const socklen_t *peer_len)
{
	tell_modules();
	if (fd < 0)
		return;
	/* The kernel reports the address's full length even where it cut it to the caller's room. */
	engine_accepted(listener, fd, peer, peer && peer_len ? (*peer_len < peer_room ? *peer_len : peer_room) : 0);
}

EXPORT int socket(int domain, int type, int protocol)
{
	int fd = REAL(socket)(domain, type, protocol);

	tell_socket(fd, domain, type);
	return fd;
}

EXPORT int getpeername(int fd, __SOCKADDR_ARG peer, socklen_t *restrict peer_len)
{
	int result = REAL(getpeername)(fd, peer, peer_len);

	engine_peer_asked(fd);
	return result;
}

EXPORT int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict len)
{
	int result = REAL(getsockopt)(fd, level, name, value, len);

	if (level == IPPROTO_TCP && name == TCP_INFO)
		engine_state_asked(fd);
	return result;
}

void tell_pair(const int fds[2], int result)
{
	if (result == 0)
		engine_paired(fds[0], fds[1]);
}

EXPORT int socketpair(int domain, int type, int protocol, int fds[2])
{
	int result = REAL(socketpair)(domain, type, protocol, fds);

	tell_pair(fds, result);
	return result;
}

void tell_bound(int fd, int result)
{
	if (result == 0 && engine_watches(fd))
		engine_bound(fd);
}

EXPORT int bind(int fd, __CONST_SOCKADDR_ARG addr, socklen_t addr_len)
{
	int result = REAL(bind)(fd, addr, addr_len);

	tell_bound(fd, result);
	return result;
}

EXPORT int listen(int fd, int backlog)
{
	int result = REAL(listen)(fd, backlog);

	if (result == 0)
		engine_listening(fd);
	return result;
}

static bool must_wait(int listener)
{
	if (!engine_accept_must_wait(listener))
		return false;
	errno = EAGAIN;
	return true;
}

/* The listener need not be known: it may have been inherited over exec. */
EXPORT int accept(int listener, __SOCKADDR_ARG peer, socklen_t *restrict peer_len)
{
	socklen_t room = peer.__sockaddr__ && peer_len ? *peer_len : 0;

	if (must_wait(listener))
		return -1;

	int fd = REAL(accept)(listener, peer, peer_len);

	tell_accepted(listener, fd, peer.__sockaddr__, room, peer_len);
	return fd;
}

EXPORT int accept4(int listener, __SOCKADDR_ARG peer, socklen_t *restrict peer_len, int flags)
{
	socklen_t room = peer.__sockaddr__ && peer_len ? *peer_len : 0;

	if (must_wait(listener))
		return -1;

	int fd = REAL(accept4)(listener, peer, peer_len, flags);

	tell_accepted(listener, fd, peer.__sockaddr__, room, peer_len);
	return fd;
}

WATCHED int watched_connect(int fd, __CONST_SOCKADDR_ARG peer, socklen_t peer_len)
{
	int result = REAL(connect)(fd, peer, peer_len);

	engine_connecting(fd, peer.__sockaddr__, peer_len, result, result < 0 ? errno : 0);
	return result;
}

EXPORT int connect(int fd, __CONST_SOCKADDR_ARG peer, socklen_t peer_len)
{
	if (PASSES(fd, connect))
		return real.connect(fd, peer, peer_len);
	return watched_connect(fd, peer, peer_len);
}

__typeof__(connect) __connect ALIAS(connect);

void tell_shutdown(int fd, int how, int result)
{
	if (result == 0 && engine_watches(fd))
		engine_shutdown(fd, how);
}

EXPORT int shutdown(int fd, int how)
{
	int result = REAL(shutdown)(fd, how);

	tell_shutdown(fd, how, result);
	return result;
}
