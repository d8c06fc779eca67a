/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/double/engine_recording.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Atomic bool guard_enabled;
__thread volatile unsigned guard_depth;

struct engine_answers answers;
size_t offered_envp_max;

static char text[8192];
static size_t text_len;

void recording_start(void)
{
	fdtable_start();
	for (int fd; (fd = fdtable_next(0, UINT32_MAX)) >= 0;)
		fdtable_set(fd, FD_UNKNOWN, 0);
	answers = (struct engine_answers){ 0 };
	offered_envp_max = 0;
	text_len = 0;
	text[0] = '\0';
}

const char *recording(void)
{
	return text;
}

static __attribute__((format(printf, 1, 2))) void record(const char *format, ...)
{
	int errno_saved = errno;
	va_list args;

	va_start(args, format);
	int len = vsnprintf(text + text_len, sizeof(text) - text_len, format, args);
	va_end(args);
	if (len > 0 && text_len + (size_t)len < sizeof(text))
		text_len += (size_t)len;
	errno = errno_saved;
}

static void record_iov(const char *what, int fd, const struct iovec *iov, int iovcnt)
{
	record("%s %d [", what, fd);
	for (int i = 0; i < iovcnt; i++)
		record("%s%zu", i ? " " : "", iov[i].iov_len);
	record("]");
}

void engine_opened(int fd, enum fd_kind kind)
{
	record("opened %d %d\n", fd, (int)kind);
}

void engine_bound(int fd)
{
	record("bound %d\n", fd);
}

void engine_listening(int fd)
{
	record("listening %d\n", fd);
}

bool engine_accept_must_wait(int listener)
{
	(void)listener;
	return answers.accept_must_wait;
}

void engine_accepted(int listener, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
	record("accepted %d %d family %d len %u\n", listener, fd, peer ? peer->sa_family : -1, peer_len);
}

void engine_connecting(int fd, const struct sockaddr *peer, socklen_t peer_len, int result, int error)
{
	record("connecting %d family %d len %u = %d error %d\n", fd, peer->sa_family, peer_len, result, error);
}

void engine_paired(int fd_a, int fd_b)
{
	record("paired %d %d\n", fd_a, fd_b);
}

void engine_state_asked(int fd)
{
	record("state asked %d\n", fd);
}

void engine_peer_asked(int fd)
{
	record("peer asked %d\n", fd);
}

void engine_closing(int fd)
{
	record("closing %d\n", fd);
}

void engine_closing_range(unsigned first, unsigned last)
{
	record("closing %u to %u\n", first, last);
}

void engine_duplicated(int old_fd, int new_fd)
{
	record("duplicated %d %d\n", old_fd, new_fd);
}

void engine_shutdown(int fd, int how)
{
	record("shutdown %d %d\n", fd, how);
}

ssize_t engine_received(int fd, const struct iovec *iov, int iovcnt, int flags, ssize_t n)
{
	record_iov("received", fd, iov, iovcnt);
	record(" flags %d = %zd\n", flags, n);
	return n > 0 ? n + answers.received_extra : n;
}

void engine_received_unseen(int fd, ssize_t n)
{
	record("received unseen %d = %zd\n", fd, n);
}

ssize_t engine_send(const struct sending *s)
{
	static char added[] = "added";
	struct iovec iov[3] = { { added, sizeof(added) - 1 } };
	int iovcnt = s->iovcnt > 2 ? 2 : s->iovcnt;

	record_iov("send", s->fd, s->iov, s->iovcnt);
	record(" flags %d\n", s->flags);
	memcpy(iov + 1, s->iov, (size_t)iovcnt * sizeof(*iov));

	ssize_t n = answers.send_edited ? s->edited(s, iov, iovcnt + 1) : s->plain(s);

	return answers.send_limit && n > answers.send_limit ? answers.send_limit : n;
}

void engine_sent_unseen(int fd, ssize_t n)
{
	record("sent unseen %d = %zd\n", fd, n);
}

void engine_waiting_at_most(int timeout_ms)
{
	(void)timeout_ms;
}

int engine_wait_begin(int epfd, int maxevents)
{
	record("wait begin %d max %d\n", epfd, maxevents);
	return answers.wait_max_events ? answers.wait_max_events : maxevents;
}

void engine_wait_end(int epfd, const struct epoll_event *events, int n)
{
	(void)events;
	record("wait end %d = %d\n", epfd, n);
}

_Atomic uint8_t engine_wakers[ENGINE_LOOPS + 1];

void engine_epoll_changed(int epfd, int op, int fd, const struct epoll_event *event)
{
	(void)event;
	record("epoll changed %d %d %d\n", epfd, op, fd);
}

void engine_poll_begin(const struct pollfd *fds, nfds_t n)
{
	(void)fds;
	record("poll begin %zu\n", (size_t)n);
}

void engine_select_begin(int nfds, const fd_set *readable)
{
	record("select begin %d %s\n", nfds, readable ? "readable" : "-");
}

void engine_poll_end(int ready)
{
	record("poll end = %d\n", ready);
}

_Atomic uint8_t engine_queue_filter[ENGINE_QUEUE_FILTER];

void engine_condition_waited(const void *mutex, bool timed_out)
{
	record("condition waited%s%s\n", mutex ? "" : " without mutex", timed_out ? " in vain" : "");
}

void engine_timer_arming(int fd)
{
	record("timer arming %d\n", fd);
}

void engine_sleeping(void)
{
	record("sleeping\n");
}

void engine_semaphore_waiting(void)
{
	record("semaphore waiting\n");
}

void engine_semaphore_taken(const void *semaphore)
{
	record("semaphore taken%s\n", semaphore ? "" : " nowhere");
}

void engine_unlocking(const void *mutex)
{
	record("unlocking%s\n", mutex ? "" : " nothing");
}

void engine_condition_waiting(const void *condition, const void *mutex)
{
	(void)condition;
	(void)mutex;
	record("condition waiting\n");
}

void engine_executing(void)
{
}

static void *thread_start, *thread_arg;

struct thread_package *engine_thread_starting(void *start, void *arg, const pthread_attr_t *attr)
{
	record("thread starting%s\n", attr ? " with attributes" : "");
	thread_start = start;
	thread_arg = arg;
	return answers.package;
}

void engine_coroutine_made(const void *stack, size_t size, void *entry)
{
	record("coroutine made %s %zu %s\n", stack ? "stack" : "-", size, entry ? "entry" : "-");
}

void engine_thread_started(struct thread_package *package, void **ret_start, void **ret_arg)
{
	record("thread started %s\n", package == answers.package ? "ours" : "another's");
	*ret_start = thread_start;
	*ret_arg = thread_arg;
}

void engine_thread_unstarted(struct thread_package *package)
{
	record("thread unstarted %s\n", package == answers.package ? "ours" : "another's");
}

char *const *engine_exec_environment(const char *path, char *const *envp, struct exec_scratch *scratch)
{
	record("environment for %s%s\n", path ? path : "-", scratch ? " with scratch" : "");
	if (scratch)
		offered_envp_max = scratch->envp_max;
	if (!answers.environment)
		return envp;
	return scratch ? answers.environment : NULL;
}

void engine_forking(void)
{
	record("forking\n");
}

void engine_forked(bool in_child)
{
	record("forked in %s\n", in_child ? "child" : "parent");
}

void engine_thread_exiting(void)
{
	record("thread exiting\n");
}

void engine_exiting(void)
{
	record("exiting\n");
}

void engine_identity_changing(enum identity_change change)
{
	record("changing %d\n", (int)change);
}

void engine_identity_changed(enum identity_change change)
{
	record("changed %d\n", (int)change);
}

void engine_module_loaded(void)
{
	record("module loaded\n");
}

void engine_binding_deeply(void)
{
	record("binding deeply\n");
}

void engine_uring_seen(void)
{
	record("uring\n");
}

bool engine_wants_resolutions(void)
{
	return answers.wants_resolutions;
}

void engine_resolved(const char *name, uint64_t start_ns, int error)
{
	record("resolved %s %s error %d\n", name, start_ns ? "timed" : "untimed", error);
}
