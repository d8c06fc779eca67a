/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/task.h"

#include <string.h>

#include "shim/sys.h"
#include "shim/text.h"

/* What we want of /proc/<id>/stat; proc(5) numbers the fields from 1, and 2 is "(name)". */
#define FIELD_STATE 3
#define FIELD_THREADS 20
#define FIELD_START 22

struct task_stat {
	char state;
	uint64_t threads;
	uint64_t start_time;
};

static uint64_t parse_digits(const char *at)
{
	uint64_t value = 0;

	while (*at >= '0' && *at <= '9')
		value = value * 10 + (uint64_t)(*at++ - '0');
	return value;
}

/* The name may hold blanks and parentheses: count from the last one. */
static bool parse_stat(const char *line, struct task_stat *ret)
{
	const char *at = strrchr(line, ')');
	int field;

	if (at == NULL)
		return false;
	for (field = 2; field < FIELD_START; field++) {
		at = strchr(at, ' ');
		if (at == NULL)
			return false;
		at++;
		if (field + 1 == FIELD_STATE)
			ret->state = *at;
		else if (field + 1 == FIELD_THREADS)
			ret->threads = parse_digits(at);
	}
	ret->start_time = parse_digits(at);
	return true;
}

static bool read_stat(uint32_t id, struct task_stat *ret)
{
	char path[32], line[400];
	struct text t = {path, sizeof(path), 0};
	ssize_t n;
	int fd;

	text_add_string(&t, "/proc/");
	text_add_unsigned(&t, id);
	text_add_string(&t, "/stat");
	fd = sys_open(path, O_RDONLY);
	if (fd < 0)
		return false;
	n = sys_read(fd, line, sizeof(line) - 1);
	sys_close(fd);
	if (n <= 0)
		return false;
	line[n] = '\0';
	return parse_stat(line, ret);
}

uint64_t task_pid_namespace(void)
{
	static const char prefix[] = "pid:[";
	char text[64];
	ssize_t n = sys_readlink("/proc/self/ns/pid", text, sizeof(text) - 1);

	if (n <= (ssize_t)sizeof(prefix) - 1 || memcmp(text, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	text[n] = '\0';
	return parse_digits(text + sizeof(prefix) - 1);
}

uint64_t task_start_time(uint32_t id)
{
	struct task_stat stat;

	return read_stat(id, &stat) ? stat.start_time : 0;
}

bool task_is_alive(uint32_t id, uint64_t start_time)
{
	struct task_stat stat;

	if (id == 0 || id > INT32_MAX)
		return false;
	if (!read_stat(id, &stat))
		return sys_kill((int)id, 0) != -ESRCH;
	if ((stat.state == 'Z' || stat.state == 'X') && stat.threads <= 1)
		return false;
	return start_time == 0 || stat.start_time == start_time;
}
