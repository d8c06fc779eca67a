/* SPDX-License-Identifier: Apache-2.0 */
#include "export/segments.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int segments_open_dir(void)
{
	char path[64];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "/dev/shm/interspan-%u", geteuid());
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0 || st.st_uid != geteuid() || (st.st_mode & 022)) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

static bool is_segment_name(const char *name)
{
	size_t len = strlen(name);

	return len > 4 && len < SEGMENT_NAME_MAX && name[0] != '.' && strcmp(name + len - 4, ".seg") == 0;
}

int segments_each(int dir, bool (*each)(void *arg, int dir, const char *name), void *arg)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;
	bool more = true;

	if (!stream) {
		int error = errno;

		if (copy >= 0)
			close(copy);
		return -error;
	}
	while (more && (entry = readdir(stream)))
		if (is_segment_name(entry->d_name))
			more = each(arg, dir, entry->d_name);
	closedir(stream);
	return 0;
}

struct orphan_search {
	const struct drain *proto;
	struct orphan_counts counts;
};

static bool drain_orphan(void *arg, int dir, const char *name)
{
	struct orphan_search *search = arg;
	struct drain drain = *search->proto;
	struct consumer consumer;
	bool done = false;

	if (consumer_open(&consumer, dir, name) != 0)
		return true;
	if (!consumer_has_writers(&consumer) && consumer_claim(&consumer) == 0) {
		search->counts.found++;
		drain.consumer = &consumer;
		done = drain_begin(&drain) == 0 && drain_all(&drain) && consumer_is_empty(&consumer);
		/* Only now, and once more: a process that was forked from a writer may have joined. */
		if (done && !consumer_has_writers(&consumer))
			unlinkat(dir, name, 0);
		drain_end(&drain);
		consumer_resign(&consumer);
		search->counts.drained += done;
		search->counts.left += !done;
	}
	consumer_detach(&consumer);
	return !drain.stop || atomic_load_explicit(drain.stop, memory_order_acquire) == 0;
}

struct orphan_counts segments_drain_orphans(int dir, const struct drain *proto)
{
	struct orphan_search search = {.proto = proto};

	segments_each(dir, drain_orphan, &search);
	return search.counts;
}
