/* SPDX-License-Identifier: Apache-2.0 */
#include "export/segments.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export/accounts.h"

/* More than these are not looked at in one go. */
#define FILES_MAX 4096

struct file_entry {
	char name[SEGMENT_NAME_MAX];
	uint64_t bytes; /* of memory, not of length */
	struct timespec changed;
};

struct listing {
	struct file_entry *files;
	unsigned n;
	uint64_t bytes;
};

static bool list_file(void *arg, int dir, const char *name)
{
	struct listing *listing = arg;
	struct file_entry *file = &listing->files[listing->n];
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
		return true;
	memcpy(file->name, name, strlen(name) + 1);
	file->bytes = (uint64_t)st.st_blocks * 512;
	file->changed = st.st_mtim;
	listing->bytes += file->bytes;
	return ++listing->n < FILES_MAX;
}

static int by_age(const void *a, const void *b)
{
	const struct timespec *x = &((const struct file_entry *)a)->changed, *y = &((const struct file_entry *)b)->changed;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? -1 : 1;
	return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

/* Remove it unless somebody writes to it or is at work on it. */
static bool remove_dead(int dir, const char *name, uint64_t *spans)
{
	uint64_t totals[STAT_N];
	struct consumer consumer;
	int64_t queued;
	bool dead;

	if (consumer_open(&consumer, dir, name) != 0)
		return false;
	dead = !consumer_has_writers(&consumer) && consumer_claim(&consumer) == 0;
	if (dead) {
		consumer_totals(&consumer, totals);
		queued = accounts_queued(totals);
		*spans += queued > 0 ? (uint64_t)queued : 0;
		unlinkat(dir, name, 0);
		consumer_resign(&consumer);
	}
	consumer_detach(&consumer);
	return dead;
}

unsigned segments_prune(int dir, uint64_t max_bytes, uint64_t *ret_spans)
{
	struct listing listing = {.files = calloc(FILES_MAX, sizeof(*listing.files))};
	unsigned removed = 0;

	*ret_spans = 0;
	if (!listing.files)
		return 0;
	segments_each(dir, list_file, &listing);
	if (listing.bytes > max_bytes)
		qsort(listing.files, listing.n, sizeof(*listing.files), by_age);
	for (unsigned i = 0; i < listing.n && listing.bytes > max_bytes; i++) {
		if (!remove_dead(dir, listing.files[i].name, ret_spans))
			continue;
		listing.bytes -= listing.files[i].bytes;
		removed++;
	}
	free(listing.files);
	return removed;
}
