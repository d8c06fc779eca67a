/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <limits.h>

#include "shim/engine.h"
#include "shim/real.h"

/*
 * What every hook needs. A hook is translation only: call the real function, tell the engine, return what the real
 * function returned, errno included.
 */
#define EXPORT __attribute__((visibility("default")))

/*
 * On the I/O path this is asked first. A descriptor that does not interest us then costs a look-up and a jump to the
 * real function. What is not known to pass takes the long way, in a function of its own (WATCHED) so that the short
 * one saves no register: descriptors that the engine knows, and calls before real_resolve() has run, for which the
 * engine does nothing.
 */
#define PASSES(fd, name) __builtin_expect(!engine_watches(fd) && real.name != NULL, 1)
#define WATCHED static __attribute__((noinline))

/* Another name under which libc exports the function of, which is in the same file: __typeof__(of) name ALIAS(of); */
#if __has_attribute(copy)
#define ALIAS(of) EXPORT __attribute__((alias(#of), copy(of)))
#else
#define ALIAS(of) EXPORT __attribute__((alias(#of)))
#endif

/* A jump at every optimisation level: clang promises one, gcc makes one where it is allowed to. */
#ifdef __clang__
#define JUMP __attribute__((musttail))
#define MAY_JUMP
#else
#define JUMP
#define MAY_JUMP __attribute__((optimize("O2", "optimize-sibling-calls")))
#endif

/* One buffer as an iovec that lives as long as the enclosing block. */
#define IOV(buf, len) (&(struct iovec){ .iov_base = (void *)(buf), .iov_len = (len) })

/* Set on a thread that entered dlopen and has not told the engine yet; see loader.c. */
extern __thread bool loader_entered __attribute__((tls_model("initial-exec"), visibility("hidden")));
void loader_tell(void);

static inline void tell_modules(void)
{
	if (__builtin_expect(loader_entered, 0))
		loader_tell();
}

/* socket() gave fd. Only stream sockets are of interest, but a number known from before must lose its old meaning. */
void tell_socket(int fd, int domain, int type);
/* fd was opened for something other than a stream socket; a failed open (fd < 0) tells nothing. */
void tell_opened(int fd, enum fd_kind kind);
/* accept() gave fd; peer_room is what the caller's buffer held before the call. */
void tell_accepted(int listener, int fd, const struct sockaddr *peer, socklen_t peer_room, const socklen_t *peer_len);
void tell_duplicated(int old_fd, int new_fd);
/* What the call of that name did; result is its own. */
void tell_bound(int fd, int result);
void tell_shutdown(int fd, int how, int result);
void tell_pair(const int fds[2], int result);
void tell_pipe(const int fds[2], int result);
void tell_timer_arming(int fd, const struct itimerspec *wanted); /* before the call */
void tell_epoll_changed(int epfd, int op, int fd, const struct epoll_event *event, int result);
void tell_moved(int in_fd, int out_fd, ssize_t n);

/* preadv2 and pwritev2 with this offset are readv and writev, the only form that sockets take. */
#define AT_POSITION (-1)

/* A vector's length as the engine takes it. The kernel refuses more than IOV_MAX, so what is cut here was never sent. */
static inline int iov_count(const struct msghdr *msg)
{
	return msg->msg_iovlen > IOV_MAX ? IOV_MAX : (int)msg->msg_iovlen;
}

/* A message as the engine takes it. */
#define MESSAGE(to, message, its_flags, as_given, with_ours)                                                           \
	((struct sending){ .fd = to,                                                                                   \
			   .flags = its_flags,                                                                         \
			   .iov = (message)->msg_iov,                                                                  \
			   .iovcnt = iov_count(message),                                                               \
			   .plain = as_given,                                                                          \
			   .edited = with_ours,                                                                        \
			   .msg = message })

/* recvmmsg() filled count messages; returns count. */
int received_messages(int fd, struct mmsghdr *messages, int count, int flags);
/* sendmmsg(), one send() each. */
int send_messages(int fd, struct mmsghdr *messages, unsigned count, int flags,
		  ssize_t (*send_one)(int fd, const struct msghdr *msg, int flags));

/* Before a wait. Timeouts are rounded down: one that ends at its timeout must not look as if it had ended before. */
int timespec_ms(const struct timespec *timeout);
int timeval_ms(const struct timeval *timeout);
int epoll_begin(int epfd, int max_events, int timeout_ms); /* returns what to pass on; 0: do not wait, there is nothing */
void poll_begin(const struct pollfd *fds, nfds_t count, int timeout_ms);
void select_begin(int count, const fd_set *readable, int timeout_ms);
