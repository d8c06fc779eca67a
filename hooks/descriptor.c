/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors as such: copies, ends, and the kinds that wake an event loop. */
#include <stdarg.h>
#include <stdint.h>
#include <errno.h>
#include <linux/close_range.h>

#include "hooks/hook.h"

void tell_duplicated(int old_fd, int new_fd)
{
	if (new_fd >= 0 && new_fd != old_fd && (engine_watches(old_fd) || engine_watches(new_fd)))
		engine_duplicated(old_fd, new_fd);
}

WATCHED int watched_close(int fd)
{
	if (engine_watches(fd))
		engine_closing(fd);
	return REAL(close)(fd);
}

EXPORT int close(int fd)
{
	if (PASSES(fd, close))
		return real.close(fd);
	return watched_close(fd);
}

__typeof__(close) __close ALIAS(close);

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	if (!(flags & (int)CLOSE_RANGE_CLOEXEC) && first <= last)
		engine_closing_range(first, last);
	return REAL(close_range)(first, last, flags);
}

EXPORT void closefrom(int first)
{
	engine_closing_range(first > 0 ? (unsigned)first : 0, UINT32_MAX);
	REAL(closefrom)(first);
}

EXPORT int dup(int old_fd)
{
	int fd = REAL(dup)(old_fd);

	tell_duplicated(old_fd, fd);
	return fd;
}

EXPORT int dup2(int old_fd, int new_fd)
{
	int fd = REAL(dup2)(old_fd, new_fd);

	tell_duplicated(old_fd, fd);
	return fd;
}

__typeof__(dup2) __dup2 ALIAS(dup2);

EXPORT int dup3(int old_fd, int new_fd, int flags)
{
	int fd = REAL(dup3)(old_fd, new_fd, flags);

	tell_duplicated(old_fd, fd);
	return fd;
}

/* The argument is an int, a long or a pointer, or not there at all; one machine word carries each of them. */
EXPORT int fcntl(int fd, int command, ...)
{
	va_list args;

	va_start(args, command);
	void *arg = va_arg(args, void *);
	va_end(args);

	int result = REAL(fcntl)(fd, command, arg);

	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		tell_duplicated(fd, result);
	return result;
}

__typeof__(fcntl) __fcntl ALIAS(fcntl);

EXPORT int fcntl64(int fd, int command, ...)
{
	va_list args;

	va_start(args, command);
	void *arg = va_arg(args, void *);
	va_end(args);

	int result = REAL(fcntl64)(fd, command, arg);

	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		tell_duplicated(fd, result);
	return result;
}

/* libc closes a stream's descriptor by an internal call, which no hook sees. */
static void stream_closing(FILE *stream)
{
	int errno_saved = errno;
	int fd = stream ? fileno(stream) : -1;

	errno = errno_saved;
	if (engine_watches(fd))
		engine_closing(fd);
}

EXPORT int fclose(FILE *stream)
{
	stream_closing(stream);
	return REAL(fclose)(stream);
}

EXPORT FILE *freopen(const char *restrict path, const char *restrict mode, FILE *restrict stream)
{
	stream_closing(stream);
	return REAL(freopen)(path, mode, stream);
}

EXPORT FILE *freopen64(const char *restrict path, const char *restrict mode, FILE *restrict stream)
{
	stream_closing(stream);
	return REAL(freopen64)(path, mode, stream);
}

EXPORT int eventfd(unsigned count, int flags)
{
	int fd = REAL(eventfd)(count, flags);

	tell_opened(fd, FD_EVENT);
	return fd;
}

/* timerfd_settime has no hook: that a timer is set says nothing; that it went off is seen where it is read or waited for. */
EXPORT int timerfd_create(clockid_t clock, int flags)
{
	int fd = REAL(timerfd_create)(clock, flags);

	tell_opened(fd, FD_TIMER);
	return fd;
}

void tell_timer_arming(int fd, const struct itimerspec *wanted)
{
	if (engine_watches(fd) && wanted && (wanted->it_value.tv_sec || wanted->it_value.tv_nsec))
		engine_timer_arming(fd);
}

EXPORT int timerfd_settime(int fd, int flags, const struct itimerspec *wanted, struct itimerspec *before)
{
	tell_timer_arming(fd, wanted);
	return REAL(timerfd_settime)(fd, flags, wanted, before);
}

void tell_pipe(const int fds[2], int result)
{
	if (result == 0)
		engine_paired(fds[0], fds[1]);
}

EXPORT int pipe(int fds[2])
{
	int result = REAL(pipe)(fds);

	tell_pipe(fds, result);
	return result;
}

__typeof__(pipe) __pipe ALIAS(pipe);

EXPORT int pipe2(int fds[2], int flags)
{
	int result = REAL(pipe2)(fds, flags);

	tell_pipe(fds, result);
	return result;
}
