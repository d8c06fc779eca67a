/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine that watches nothing and answers like one that stood down: linked with the real hooks it makes a preload
 * that must be invisible. INTERSPAN_DOUBLE=watch makes it watch descriptors and pass their bytes through the engine's
 * own paths, so that programs are compared with those as well.
 */
#include <string.h>

#include "shim/engine.h"
#include "shim/real.h"

_Atomic bool guard_enabled;
__thread volatile unsigned guard_depth;

static bool watching;
static bool strict; /* a sandbox that knows read and write, but no writev: the engine edits nothing in one */

static __attribute__((constructor)) void start(void)
{
	extern char **environ;

	real_resolve();
	for (char **entry = environ; entry && *entry; entry++)
		watching |= strcmp(*entry, "INTERSPAN_DOUBLE=watch") == 0;
	if (watching)
		fdtable_start();
}

static void mark(int fd, enum fd_kind kind)
{
	if (watching && fd >= 0)
		fdtable_set(fd, kind, 0);
}

void engine_opened(int fd, enum fd_kind kind)
{
	mark(fd, kind);
}

void engine_bound(int fd)
{
	(void)fd;
}

void engine_listening(int fd)
{
	mark(fd, FD_LISTENER);
}

bool engine_accept_must_wait(int listener)
{
	(void)listener;
	return false;
}

void engine_accepted(int listener, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
	(void)listener, (void)peer, (void)peer_len;
	mark(fd, FD_CONNECTION);
}

void engine_connecting(int fd, const struct sockaddr *peer, socklen_t peer_len, int result, int error)
{
	(void)peer, (void)peer_len, (void)result, (void)error;
	mark(fd, FD_CONNECTION);
}

void engine_paired(int fd_a, int fd_b)
{
	mark(fd_a, FD_PIPE);
	mark(fd_b, FD_PIPE);
}

void engine_state_asked(int fd)
{
	(void)fd;
}

void engine_peer_asked(int fd)
{
	(void)fd;
}

void engine_closing(int fd)
{
	mark(fd, FD_UNKNOWN);
}

void engine_closing_range(unsigned first, unsigned last)
{
	for (int fd; (fd = fdtable_next(first, last)) >= 0; first = (unsigned)fd + 1)
		mark(fd, FD_UNKNOWN);
}

void engine_duplicated(int old_fd, int new_fd)
{
	mark(new_fd, fdtable_kind(old_fd));
}

void engine_shutdown(int fd, int how)
{
	(void)fd, (void)how;
}

ssize_t engine_received(int fd, const struct iovec *iov, int iovcnt, int flags, ssize_t n)
{
	(void)fd, (void)iov, (void)iovcnt, (void)flags;
	return n;
}

void engine_received_unseen(int fd, ssize_t n)
{
	(void)fd, (void)n;
}

ssize_t engine_send(const struct sending *s)
{
	return !strict && s->iovcnt > 0 && s->iov->iov_len > 1 ? s->edited(s, s->iov, s->iovcnt) : s->plain(s);
}

void engine_sent_unseen(int fd, ssize_t n)
{
	(void)fd, (void)n;
}

void engine_waiting_at_most(int timeout_ms)
{
	(void)timeout_ms;
}

int engine_wait_begin(int epfd, int maxevents)
{
	(void)epfd;
	return maxevents;
}

void engine_wait_end(int epfd, const struct epoll_event *events, int n)
{
	(void)epfd, (void)events, (void)n;
}

_Atomic uint8_t engine_wakers[ENGINE_LOOPS + 1];

void engine_epoll_changed(int epfd, int op, int fd, const struct epoll_event *event)
{
	(void)epfd, (void)op, (void)fd, (void)event;
}

void engine_poll_begin(const struct pollfd *fds, nfds_t n)
{
	(void)fds, (void)n;
}

void engine_select_begin(int nfds, const fd_set *readable)
{
	(void)nfds, (void)readable;
}

void engine_poll_end(int ready)
{
	(void)ready;
}

_Atomic uint8_t engine_queue_filter[ENGINE_QUEUE_FILTER];

void engine_condition_waited(const void *mutex, bool timed_out)
{
	(void)mutex;
	(void)timed_out;
}

void engine_timer_arming(int fd)
{
	(void)fd;
}

void engine_sleeping(void)
{
}

void engine_semaphore_waiting(void)
{
}

void engine_semaphore_taken(const void *semaphore)
{
	(void)semaphore;
}

void engine_unlocking(const void *mutex)
{
	(void)mutex;
}

void engine_condition_waiting(const void *condition, const void *mutex)
{
	(void)condition;
	(void)mutex;
}

void engine_executing(void)
{
}

/* One package at a time is enough to run the trampoline; other threads start untouched meanwhile. */
struct thread_package {
	_Atomic bool taken;
	void *start, *arg;
};
static struct thread_package the_package;

struct thread_package *engine_thread_starting(void *start_routine, void *arg, const pthread_attr_t *attr)
{
	(void)attr;
	if (!watching || atomic_exchange(&the_package.taken, true))
		return NULL;
	the_package.start = start_routine;
	the_package.arg = arg;
	return &the_package;
}

void engine_coroutine_made(const void *stack, size_t size, void *entry)
{
	(void)stack;
	(void)size;
	(void)entry;
}

void engine_thread_started(struct thread_package *package, void **ret_start, void **ret_arg)
{
	*ret_start = package->start;
	*ret_arg = package->arg;
	atomic_store(&package->taken, false);
}

void engine_thread_unstarted(struct thread_package *package)
{
	atomic_store(&package->taken, false);
}

/* Copies the environment when it watches: the program must not notice that either. */
char *const *engine_exec_environment(const char *path, char *const *envp, struct exec_scratch *scratch)
{
	size_t count = 0;

	(void)path;
	if (!watching)
		return envp;
	if (!scratch)
		return NULL;
	while (count + 1 < scratch->envp_max && envp[count]) {
		scratch->envp[count] = envp[count];
		count++;
	}
	scratch->envp[count] = NULL;
	return envp[count] ? envp : scratch->envp;
}

void engine_forking(void)
{
}

void engine_forked(bool in_child)
{
	(void)in_child;
}

void engine_thread_exiting(void)
{
}

void engine_exiting(void)
{
}

void engine_identity_changing(enum identity_change change)
{
	(void)change;
}

void engine_identity_changed(enum identity_change change)
{
	strict = strict || change == IDENTITY_STRICT;
}

void engine_module_loaded(void)
{
}

void engine_binding_deeply(void)
{
}

void engine_uring_seen(void)
{
}

bool engine_wants_resolutions(void)
{
	return watching;
}

void engine_resolved(const char *name, uint64_t start_ns, int error)
{
	(void)name, (void)start_ns, (void)error;
}
