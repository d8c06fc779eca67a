/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The functions that we stand in front of: the next definition in the link order after the shim's. Types come from the
 * system headers, so a hook whose signature drifts does not compile. Found by walking the loaded objects'
 * symbol tables (no dlsym: it allocates and, before glibc 2.36, picks the oldest version). Tests replace members.
 */
#ifndef _GNU_SOURCE
#error "compile with -D_GNU_SOURCE"
#endif
#if defined(_FILE_OFFSET_BITS) && _FILE_OFFSET_BITS == 64
#error "this would turn a hook named fcntl into one named fcntl64"
#endif

#include <dlfcn.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <threads.h>
#include <ucontext.h>
#include <unistd.h>

/* glibc exports these without declaring them: other names of the functions that they are called after. */
extern __typeof__(close) __close;
extern __typeof__(connect) __connect;
extern __typeof__(dup2) __dup2;
extern __typeof__(fcntl) __fcntl;
extern __typeof__(pipe) __pipe;
extern __typeof__(poll) __poll;
extern __typeof__(read) __read;
extern __typeof__(select) __select;
extern __typeof__(send) __send;
extern __typeof__(write) __write;

/* glibc declares these only under _FORTIFY_SOURCE. */
int __poll_chk(struct pollfd *fds, nfds_t nfds, int timeout, size_t fdslen);
int __ppoll_chk(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout, const sigset_t *ss, size_t fdslen);
ssize_t __read_chk(int fd, void *buf, size_t nbytes, size_t buflen);
ssize_t __recv_chk(int fd, void *buf, size_t n, size_t buflen, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t buflen, int flags, struct sockaddr *addr,
		       socklen_t *addr_len);

extern struct real {
#define HOOK(name) __typeof__(name) *name;
#include "shim/real.def"
#undef HOOK
} real __attribute__((visibility("hidden")));

/* Fill in every member that is still NULL. Idempotent, async-signal-safe, allocates nothing. */
void real_resolve(void);
/* The default version of a libc function that we do not interpose, or NULL. Same properties. */
void *real_find(const char *name);

/* A function or variable that this loaded object defines and exports, or NULL. Same properties. */
struct dl_phdr_info;
void *real_find_in(const struct dl_phdr_info *info, const char *name);

/* The function of number i that we stand in front of, and what of ours does; false: there are not so many. Same properties. */
bool real_hook(size_t i, const char **ret_name, void **ret_real, void **ret_hook);

/* Does an object before libc define name, too? Then that definition is the one that programs and libraries call. */
bool real_is_overridden(const char *name);

/* What a name that nobody defines answers: -1 with ENOSYS. */
long real_missing(void);

/* Call the real function: REAL(read)(fd, buf, len). Early calls, before the constructor, resolve on the way. */
#define REAL(name) (*(__builtin_expect(real.name != NULL, 1) ? real.name : REAL_NOW(name)))
#define REAL_NOW(name) (real_resolve(), real.name ? real.name : (__typeof__(real.name))(void (*)(void))real_missing)
