/* SPDX-License-Identifier: Apache-2.0 */
#include "export/segments.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "export/metrics.h"

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

bool segments_retire(struct drain *drain, int dir, const char *name)
{
	/* The writers first: what is empty now may not be so before they are gone. */
	if (consumer_has_writers(drain->consumer) || !consumer_is_empty(drain->consumer))
		return false;
	if (drain->metrics)
		metrics_send(drain->metrics, drain, METRICS_AT_THE_END);
	unlinkat(dir, name, 0);
	return true;
}

struct orphan_search {
	const struct drain *proto;
	uint8_t *room;
	struct orphan_counts counts;
};

static bool drain_orphan(void *arg, int dir, const char *name)
{
	struct orphan_search *search = arg;
	struct drain drain = *search->proto;
	struct consumer consumer;
	bool done;

	if (consumer_open(&consumer, dir, name) != 0)
		return true;
	if (!consumer_has_writers(&consumer) && consumer_claim(&consumer) == 0) {
		drain.consumer = &consumer;
		drain_begin(&drain, search->room);
		done = drain_all(&drain) && segments_retire(&drain, dir, name);
		consumer_resign(&consumer);
		search->counts.found++;
		search->counts.drained += done;
		search->counts.left += !done;
	}
	consumer_detach(&consumer);
	return !drain.stop || atomic_load_explicit(drain.stop, memory_order_acquire) == 0;
}

struct orphan_counts segments_drain_orphans(int dir, const struct drain *proto, uint8_t *room)
{
	struct orphan_search search = {.proto = proto, .room = room};

	segments_each(dir, drain_orphan, &search);
	return search.counts;
}
