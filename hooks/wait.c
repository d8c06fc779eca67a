/* SPDX-License-Identifier: Apache-2.0 */
/* Where a thread waits for events: the borders of the engine's windows. */
#include "hooks/hook.h"

/* glibc declares poll's array as written only, and the compiler takes our look at it for a mistake: it need not know. */
static const struct pollfd *as_given(struct pollfd *fds)
{
	__asm__("" : "+r"(fds));
	return fds;
}

EXPORT int epoll_create(int size)
{
	int fd = REAL(epoll_create)(size);

	tell_opened(fd, FD_EPOLL);
	return fd;
}

EXPORT int epoll_create1(int flags)
{
	int fd = REAL(epoll_create1)(flags);

	tell_opened(fd, FD_EPOLL);
	return fd;
}

void tell_epoll_changed(int epfd, int op, int fd, const struct epoll_event *event, int result)
{
	if (result == 0 && !engine_epoll_is_plain(epfd, fd))
		engine_epoll_changed(epfd, op, fd, event);
}

WATCHED int watched_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	int result = REAL(epoll_ctl)(epfd, op, fd, event);

	tell_epoll_changed(epfd, op, fd, event, result);
	return result;
}

EXPORT int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	if (engine_epoll_is_plain(epfd, fd) && real.epoll_ctl != NULL)
		return real.epoll_ctl(epfd, op, fd, event);
	return watched_epoll_ctl(epfd, op, fd, event);
}

int timespec_ms(const struct timespec *timeout)
{
	if (!timeout)
		return -1;
	return timeout->tv_sec >= INT_MAX / 1000 ? INT_MAX : (int)(timeout->tv_sec * 1000 + timeout->tv_nsec / 1000000);
}

int timeval_ms(const struct timeval *timeout)
{
	return timeout ? timespec_ms(&(struct timespec){ timeout->tv_sec, timeout->tv_usec * 1000 }) : -1;
}

int epoll_begin(int epfd, int max_events, int timeout_ms)
{
	tell_modules();
	engine_waiting_at_most(timeout_ms);
	return engine_wait_begin(epfd, max_events);
}

EXPORT int epoll_wait(int epfd, struct epoll_event *events, int max_events, int timeout_ms)
{
	int allowed = epoll_begin(epfd, max_events, timeout_ms);
	int n = allowed || !max_events ? REAL(epoll_wait)(epfd, events, allowed, timeout_ms) : 0;

	engine_wait_end(epfd, events, n);
	return n;
}

EXPORT int epoll_pwait(int epfd, struct epoll_event *events, int max_events, int timeout_ms, const sigset_t *mask)
{
	int allowed = epoll_begin(epfd, max_events, timeout_ms);
	int n = allowed || !max_events ? REAL(epoll_pwait)(epfd, events, allowed, timeout_ms, mask) : 0;

	engine_wait_end(epfd, events, n);
	return n;
}

EXPORT int epoll_pwait2(int epfd, struct epoll_event *events, int max_events, const struct timespec *timeout,
			const sigset_t *mask)
{
	int allowed = epoll_begin(epfd, max_events, timespec_ms(timeout));
	int n = allowed || !max_events ? REAL(epoll_pwait2)(epfd, events, allowed, timeout, mask) : 0;

	engine_wait_end(epfd, events, n);
	return n;
}

void poll_begin(const struct pollfd *fds, nfds_t count, int timeout_ms)
{
	tell_modules();
	engine_waiting_at_most(timeout_ms);
	engine_poll_begin(fds, count);
}

EXPORT int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	poll_begin(as_given(fds), count, timeout_ms);

	int ready = REAL(poll)(fds, count, timeout_ms);

	engine_poll_end(ready);
	return ready;
}

__typeof__(poll) __poll ALIAS(poll);

EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t fds_size)
{
	poll_begin(as_given(fds), count, timeout_ms);

	int ready = REAL(__poll_chk)(fds, count, timeout_ms, fds_size);

	engine_poll_end(ready);
	return ready;
}

EXPORT int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
	poll_begin(as_given(fds), count, timespec_ms(timeout));

	int ready = REAL(ppoll)(fds, count, timeout, mask);

	engine_poll_end(ready);
	return ready;
}

EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask,
		       size_t fds_size)
{
	poll_begin(as_given(fds), count, timespec_ms(timeout));

	int ready = REAL(__ppoll_chk)(fds, count, timeout, mask, fds_size);

	engine_poll_end(ready);
	return ready;
}

void select_begin(int count, const fd_set *readable, int timeout_ms)
{
	tell_modules();
	engine_waiting_at_most(timeout_ms);
	engine_select_begin(count, readable);
}

EXPORT int select(int count, fd_set *restrict readable, fd_set *restrict writable, fd_set *restrict exceptional,
		  struct timeval *restrict timeout)
{
	select_begin(count, readable, timeval_ms(timeout));

	int ready = REAL(select)(count, readable, writable, exceptional, timeout);

	engine_poll_end(ready);
	return ready;
}

__typeof__(select) __select ALIAS(select);

EXPORT int pselect(int count, fd_set *restrict readable, fd_set *restrict writable, fd_set *restrict exceptional,
		   const struct timespec *restrict timeout, const sigset_t *restrict mask)
{
	select_begin(count, readable, timespec_ms(timeout));

	int ready = REAL(pselect)(count, readable, writable, exceptional, timeout, mask);

	engine_poll_end(ready);
	return ready;
}
