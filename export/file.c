/* SPDX-License-Identifier: Apache-2.0 */
#include "export/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shim/clock.h"

/* struct delivery: kind of trouble = this plus errno. */
#define KIND_FILE 3000

void file_begin(struct file *file, const struct config *settings, pid_t owner, bool console)
{
	char cwd[2048] = "";

	file->fd = -1;
	file->console = console;
	file->torn = false;
	if (console) {
		snprintf(file->path, sizeof(file->path), "standard output");
		return;
	}
	if (settings->trace_file[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		snprintf(cwd, sizeof(cwd), ".");
	if (settings->trace_file[0])
		snprintf(file->path, sizeof(file->path), "%s%s%.2000s", cwd, cwd[0] ? "/" : "", settings->trace_file);
	else
		snprintf(file->path, sizeof(file->path), "%s/interspan-%d.jsonl", cwd, owner);
}

int file_open(struct file *file)
{
	if (file->fd >= 0)
		return 0;
	if (file->console)
		file->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3); /* kept for us by whoever made this thread */
	else
		/* O_NONBLOCK: a FIFO that nobody reads must not hold us up. */
		file->fd = open(file->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
	return file->fd < 0 ? -errno : 0;
}

void file_close(struct file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

/* Write all of it. Returns 0, -errno, or -ECANCELED when patience ran out; *ret_done says how much was written. */
static int write_all(int fd, const uint8_t *bytes, size_t len, struct patience patience, size_t *ret_done)
{
	uint64_t start = clock_monotonic_ns();
	struct pollfd ready = {.fd = fd, .events = POLLOUT};
	ssize_t n;

	for (*ret_done = 0; *ret_done < len;) {
		n = write(fd, bytes + *ret_done, len - *ret_done);
		if (n > 0) {
			*ret_done += (size_t)n;
			continue;
		}
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return n == 0 ? -ENOSPC : -errno;
		if (!patience.wait_on(patience.arg, (clock_monotonic_ns() - start) / 1000000))
			return -ECANCELED;
		poll(&ready, 1, DELIVERY_SLICE_MS);
	}
	return 0;
}

static void fail(const struct file *file, int error, struct delivery *ret)
{
	ret->outcome = error == -ECANCELED ? DELIVERY_STOPPED : DELIVERY_RETRY;
	ret->kind = KIND_FILE - error;
	snprintf(ret->reason, sizeof(ret->reason), "%.200s: %s", file->path, strerror(-error));
}

void file_write(struct file *file, const uint8_t *line, size_t len, struct patience patience, struct delivery *ret)
{
	size_t done = 0;
	int error = file_open(file);

	*ret = (struct delivery){.outcome = DELIVERY_ACCEPTED};
	if (!error && file->torn) {
		error = write_all(file->fd, (const uint8_t *)"\n", 1, patience, &done);
		file->torn = error != 0;
	}
	if (!error) {
		error = write_all(file->fd, line, len, patience, &done);
		file->torn = error && done;
	}
	if (error)
		fail(file, error, ret);
}
