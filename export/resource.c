/* SPDX-License-Identifier: Apache-2.0 */
#include "export/resource.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define IS_IN(set, key) ((set)->place_of[key] != 0)

static void read_items(struct attributes *set, const uint8_t *items, uint32_t len)
{
	struct record_item item;
	const uint8_t *payload;
	uint32_t cursor = 0;

	while (items_next(items, len, &cursor, &item, &payload))
		attributes_add_item(set, &item, payload);
}

/* RFC 9562 section 4: 8-4-4-4-12 hex digits. */
static void format_uuid(char ret[37], const uint8_t id[16])
{
	static const char digits[] = "0123456789abcdef";
	char *p = ret;

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = digits[id[i] >> 4];
		*p++ = digits[id[i] & 15];
	}
	*p = '\0';
}

uint64_t resource_time_ns(uint64_t boot_unix_s, uint64_t ticks)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);

	return (boot_unix_s + ticks / hz) * 1000000000 + ticks % hz * 1000000000 / hz;
}

/* ISO 8601, UTC, milliseconds. */
static bool format_time(char *ret, size_t cap, uint64_t boot_unix_s, uint64_t ticks)
{
	uint64_t ns = resource_time_ns(boot_unix_s, ticks);
	time_t seconds = (time_t)(ns / 1000000000);
	struct tm tm;
	size_t n;

	if (!gmtime_r(&seconds, &tm))
		return false;
	n = strftime(ret, cap, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(ret + n, cap - n, ".%03uZ", (unsigned)(ns / 1000000 % 1000));
	return n != 0;
}

static bool is_set(const uint8_t *id, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (id[i])
			return true;
	return false;
}

void resource_read(struct resource *ret, const uint8_t *items, uint32_t len, const struct process_identity *process,
		   uint64_t boot_unix_s)
{
	struct attributes *set = &ret->attributes;

	attributes_begin(set, ret->room, ATTRIBUTES_MAX);
	set->named_are_arrays = false;
	set->texts = &ret->texts;
	set->elements = &ret->elements;
	ret->texts.used = 0;
	ret->elements.n = 0;
	read_items(set, items, len);
	if (process->pid) {
		attributes_set_int(set, ATTR_PROCESS_PID, process->pid);
		attributes_set_int(set, ATTR_PROCESS_PARENT_PID, process->parent_pid);
	}
	if (!IS_IN(set, ATTR_SERVICE_INSTANCE_ID) && is_set(process->instance_id, sizeof(process->instance_id))) {
		format_uuid(ret->instance_id, process->instance_id);
		attributes_set_string(set, ATTR_SERVICE_INSTANCE_ID, ret->instance_id);
	}
	if (process->start_time && boot_unix_s &&
	    format_time(ret->created, sizeof(ret->created), boot_unix_s, process->start_time))
		attributes_set_string(set, ATTR_PROCESS_CREATION_TIME, ret->created);
	if (!IS_IN(set, ATTR_SERVICE_NAME))
		attributes_set_string(set, ATTR_SERVICE_NAME, "unknown_service");
}

uint64_t resource_boot_time(void)
{
	int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
	uint64_t boot = 0;
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	char *line = NULL;
	size_t cap = 0;

	if (!file)
		return 0;
	while (getline(&line, &cap, file) > 0)
		if (strncmp(line, "btime ", 6) == 0)
			boot = strtoull(line + 6, NULL, 10);
	free(line);
	fclose(file);
	return boot;
}
