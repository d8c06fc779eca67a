/* SPDX-License-Identifier: Apache-2.0 */
#include "export/agent.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int pidfd_of(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

void tree_begin(struct tree *tree, pid_t pid)
{
	tree->pid = pid;
	tree->pidfd = pidfd_of(pid);
	tree->looked = false;
	tree->segment.header = NULL;
}

void tree_end(struct tree *tree)
{
	if (tree->pidfd >= 0)
		close(tree->pidfd);
	if (tree->segment.header)
		consumer_detach(&tree->segment);
}

/* True: the process behind the descriptor is gone. */
static bool wait_for(int pidfd, int timeout_ms)
{
	struct pollfd end = {.fd = pidfd, .events = POLLIN};

	return poll(&end, 1, timeout_ms) > 0;
}

/* A segment's name begins with the number of the process that made it: in its own namespace, which must be ours. */
static bool open_if_its(void *arg, int dir, const char *name)
{
	struct tree *tree = arg;
	char prefix[16];

	snprintf(prefix, sizeof(prefix), "%d-", tree->pid);
	if (strncmp(name, prefix, strlen(prefix)) != 0)
		return true;
	if (consumer_open(&tree->segment, dir, name) == 0) {
		if (!tree->segment.elsewhere)
			return false;
		consumer_detach(&tree->segment);
	}
	tree->segment.header = NULL;
	return true;
}

/* One that is registered in the segment and still runs, as a pidfd; -1: none. */
static int find_writer(const struct consumer *segment)
{
	struct consumer_process process;

	for (uint32_t i = 0; i < SEGMENT_MAX_PROCESSES && consumer_has_writers(segment); i++) {
		int pidfd = consumer_process(segment, i, &process) && process.pid ? pidfd_of((pid_t)process.pid) : -1;

		if (pidfd >= 0 && !wait_for(pidfd, 0))
			return pidfd;
		if (pidfd >= 0)
			close(pidfd);
	}
	return -1;
}

bool tree_wait(struct tree *tree, int dir, int timeout_ms)
{
	if (tree->pidfd >= 0) {
		if (!wait_for(tree->pidfd, timeout_ms))
			return false;
		close(tree->pidfd);
		tree->pidfd = -1;
	}
	if (!tree->looked)
		segments_each(dir, open_if_its, tree);
	tree->looked = true;
	if (tree->segment.header)
		tree->pidfd = find_writer(&tree->segment);
	return tree->pidfd < 0;
}
