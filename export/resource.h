/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "export/attributes.h"

/*
 * The resource of one process: what all processes of its segment share, and what is its own. Big (some 100 KiB):
 * keep one and refill it.
 */
struct resource {
	struct attributes attributes;
	struct attribute room[ATTRIBUTES_MAX];
	struct elements elements;
	struct texts texts;
	char instance_id[37];
	char created[32];
};

/* A process as its segment describes it; copied out of the segment, so it cannot change under us. */
struct process_identity {
	uint32_t pid;
	uint32_t parent_pid;
	uint64_t start_time; /* clock ticks since boot */
	uint8_t instance_id[16];
};

/*
 * Fill ret from valid items (items_valid(); pointers into them are kept) and from the process, whose values win, except
 * that a service.instance.id among the items is the user's. A service.name is always there afterwards. boot_unix_s:
 * when the machine was started, 0 = not known.
 */
void resource_read(struct resource *ret, const uint8_t *items, uint32_t len, const struct process_identity *process,
		   uint64_t boot_unix_s);

/* Unix time, in ns, of a process's start. */
uint64_t resource_time_ns(uint64_t boot_unix_s, uint64_t ticks);
/* "btime" of /proc/stat; 0 = not known. */
uint64_t resource_boot_time(void);
