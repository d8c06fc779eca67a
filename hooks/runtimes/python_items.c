/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/runtimes/python_items.h"

#include <stddef.h>
#include <string.h>

#include "shim/large_table.h"
#include "shim/stats.h"

#define ENTRIES 16384u /* a power of two */
#define MOST (ENTRIES / 4 * 3)
#define QUEUES 4096u

struct entry {
	const void *queue, *item; /* item NULL: free */
	uint32_t times;
	struct item what;
};

/* Open addressing without gaps: an entry lies between its home and the next free place. */
static struct entry entries[ENTRIES] LARGE_TABLE;
static uint32_t live;
/* How many entries have a queue of that hash: most queues that end are empty. */
static uint16_t pending[QUEUES];

static uint64_t mix(uint64_t x)
{
	x *= 0x9e3779b97f4a7c15u;
	return x ^ (x >> 29);
}

static uint32_t home_of(const void *queue, const void *item)
{
	return (uint32_t)(mix((uintptr_t)queue + mix((uintptr_t)item)) >> 20) & (ENTRIES - 1);
}

static uint16_t *pending_of(const void *queue)
{
	return &pending[(mix((uintptr_t)queue) >> 20) & (QUEUES - 1)];
}

static struct entry *find(const void *queue, const void *item)
{
	uint32_t at = home_of(queue, item);

	while (entries[at].item && (entries[at].item != item || entries[at].queue != queue))
		at = (at + 1) & (ENTRIES - 1);
	return &entries[at];
}

/* What follows may have been pushed away from its home by it. */
static void drop(struct entry *e)
{
	uint32_t gap = (uint32_t)(e - entries), at = gap;

	(*pending_of(e->queue))--;
	live--;
	stats_count(STAT_ITEMS_FORGOTTEN);
	for (;;) {
		at = (at + 1) & (ENTRIES - 1);
		if (!entries[at].item)
			break;

		uint32_t home = home_of(entries[at].queue, entries[at].item);

		if (((at - home) & (ENTRIES - 1)) < ((at - gap) & (ENTRIES - 1)))
			continue;
		entries[gap] = entries[at];
		gap = at;
	}
	entries[gap].item = NULL;
}

void items_put(const void *queue, const void *item, const struct item *what)
{
	struct entry *e = find(queue, item);

	if (e->item) {
		e->times++;
		e->what.returned = e->what.returned && what->returned;
		if (!label_same(&e->what.label, &what->label))
			e->what.label = (struct label){.kind = LABEL_UNKNOWN};
		return;
	}
	if (live == MOST || *pending_of(queue) == UINT16_MAX)
		return;
	*e = (struct entry){.queue = queue, .item = item, .times = 1, .what = *what};
	(*pending_of(queue))++;
	live++;
	stats_count(STAT_ITEMS_LABELLED);
}

bool items_take(const void *queue, const void *item, struct item *ret)
{
	struct entry *e = find(queue, item);

	if (!e->item)
		return false;
	*ret = e->what;
	if (--e->times == 0)
		drop(e);
	return true;
}

void items_end(const void *queue)
{
	if (*pending_of(queue) == 0)
		return;
	for (uint32_t at = 0; at < ENTRIES;) {
		if (entries[at].item && entries[at].queue == queue)
			drop(&entries[at]); /* and look at what has moved here */
		else
			at++;
	}
}
