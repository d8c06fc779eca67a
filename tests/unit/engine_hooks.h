/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/*
 * What the hooks do, for tests of the engine: the real call on a real socket, then the fact told to the engine (closing
 * before it), and the result that a program would be given. `ours` is the program's end of a connection, `peer` the
 * other one, used with plain calls and unknown to the engine. Both non-blocking unless said otherwise.
 */
struct link {
	int ours, peer;
};

struct link hook_accept(void);                        /* a peer at 192.0.2.7:4711 connected to us */
struct link hook_accept_from(const char *ip, int port); /* ip NULL: over a unix socket without a name */
struct link hook_connect(void);                       /* we connected to 192.0.2.9:8080 */
struct link hook_connect_to(const char *ip, int port);
void hook_close(int fd);
void link_close(struct link *l); /* ours by the hook, then the peer's */

ssize_t hook_recv(int fd, void *buf, size_t cap, int flags);
ssize_t hook_readv(int fd, const struct iovec *iov, int iovcnt);
ssize_t hook_send(int fd, const void *buf, size_t len, int flags);
ssize_t hook_writev(int fd, const struct iovec *iov, int iovcnt);
ssize_t hook_sendmsg(int fd, const struct iovec *iov, int iovcnt, int flags);

/* How the socket takes bytes: at most room of them in all, then EAGAIN; at most chunk in one call. SIZE_MAX: no bound. */
extern size_t hook_room, hook_chunk;

/* As the program and as the peer would, whole: text of any length. */
void peer_says(const struct link *l, const char *text);
size_t peer_reads(const struct link *l, char *buf, size_t cap); /* all there is, NUL-terminated */
void program_says(const struct link *l, const char *text);
size_t program_reads(const struct link *l, char *buf, size_t cap); /* one read, NUL-terminated */

#define REQUEST "GET /a HTTP/1.1\r\nHost: h.example\r\n\r\n"
#define RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* The request arrives and is read; the response goes out. */
void serve_begin(const struct link *l, const char *request);
void serve_end(const struct link *l);
/* Our request goes out (the peer's copy is left unread in buf, if given); the response arrives and is read. */
void call_begin(const struct link *l, const char *request, char *buf, size_t cap);
void call_end(const struct link *l);

/* One event on an epoll descriptor that the engine knows: the wait began and returned n events, after timeout_ms at most. */
int hook_epoll(void);
void hook_waited(int epfd, int timeout_ms, int n);
