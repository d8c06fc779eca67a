/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

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
