/* SPDX-License-Identifier: Apache-2.0 */
#include "export/symbols.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export/elf.h"
#include "shim/task.h"

#define MAPPINGS_MAX 4096
#define MAPPED_PATH 512 /* bytes; a file with a longer path is not looked into */
#define NAME_MAX_SHOWN 200 /* characters of a function's name: C++ has no bound of its own */

/* Executable memory, and the file that it is of. */
struct symbols_mapping {
	uint64_t start, end, offset;
	char path[MAPPED_PATH]; /* "" where there is none; "[vdso]" and the like as they are */
	bool named; /* in the text that is being made: its build id is there already */
	bool looked;
	struct elf *elf; /* what was found then; NULL: nothing */
};

/* ---- /proc/PID/maps ---- */

static void forget_mappings(struct symbols *s)
{
	free(s->mappings);
	s->mappings = NULL;
	s->n_mappings = 0;
}

/* "start-end perms offset device inode path" */
static bool parse_line(char *line, struct symbols_mapping *ret)
{
	char perms[5];
	int path_at = 0;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %*s %n", &ret->start, &ret->end, perms,
		   &ret->offset, &path_at) != 4 ||
	    path_at == 0 || perms[2] != 'x')
		return false;
	snprintf(ret->path, sizeof(ret->path), "%s", line + path_at);
	return true;
}

static void read_mappings(struct symbols *s)
{
	char path[64], line[PATH_MAX + 128];
	FILE *file;

	s->mappings = calloc(MAPPINGS_MAX, sizeof(*s->mappings));
	if (!s->mappings || !task_is_alive(s->pid, s->start_time))
		return;
	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/maps", s->pid);
	file = fopen(path, "re");
	if (!file)
		return;
	while (s->n_mappings < MAPPINGS_MAX && fgets(line, sizeof(line), file))
		s->n_mappings += parse_line(line, &s->mappings[s->n_mappings]);
	fclose(file);
}

void symbols_begin(struct symbols *s, uint32_t pid, uint64_t start_time)
{
	forget_mappings(s);
	s->pid = pid;
	s->start_time = start_time;
}

void symbols_ask_when_late(struct symbols *s, symbols_late_fn *late, void *arg)
{
	s->late = late;
	s->late_arg = arg;
}

void symbols_forget(struct symbols *s)
{
	forget_mappings(s);
}

void symbols_free(struct symbols *s)
{
	forget_mappings(s);
	for (unsigned i = 0; i < SYMBOLS_FILES; i++)
		elf_free(s->files[i]);
	memset(s->files, 0, sizeof(s->files));
}

static struct symbols_mapping *find_mapping(struct symbols *s, uint64_t address)
{
	if (s->pid != 0 && !s->mappings)
		read_mappings(s);
	for (size_t i = 0; i < s->n_mappings; i++)
		if (address >= s->mappings[i].start && address < s->mappings[i].end)
			return &s->mappings[i];
	return NULL;
}

/* ---- files ---- */

/* Its place is another's now. */
static void forget_file(struct symbols *s, struct elf *elf)
{
	for (size_t i = 0; elf && i < s->n_mappings; i++) {
		if (s->mappings[i].elf != elf)
			continue;
		s->mappings[i].looked = false;
		s->mappings[i].elf = NULL;
	}
	elf_free(elf);
}

static bool is_late(const struct symbols *s)
{
	return s->late && s->late(s->late_arg);
}

/* Among those that were read, or else read now. */
static struct elf *find_file(struct symbols *s, struct symbols_mapping *m)
{
	char path[MAPPED_PATH + 32];

	m->looked = true;
	/* One that was replaced ends in " (deleted)", and is not to be found. */
	if (m->path[0] != '/' || strlen(m->path) == MAPPED_PATH - 1)
		return NULL;
	if (s->pid == (uint32_t)getpid())
		snprintf(path, sizeof(path), "%s", m->path);
	else
		snprintf(path, sizeof(path), "/proc/%" PRIu32 "/root%s", s->pid, m->path);
	for (unsigned i = 0; i < SYMBOLS_FILES; i++)
		if (s->files[i] && elf_is_at(s->files[i], path))
			return s->files[i];

	/* If it is, the next one who asks is to ask again. */
	m->looked = !is_late(s);

	struct elf *elf = m->looked ? elf_open(path) : NULL;
	struct elf **place = &s->files[s->next_file];

	if (!elf)
		return NULL;
	s->next_file = (s->next_file + 1) % SYMBOLS_FILES;
	forget_file(s, *place);
	*place = elf;
	return elf;
}

static const struct elf *file_of(struct symbols *s, struct symbols_mapping *m)
{
	if (!m->looked)
		m->elf = find_file(s, m);
	return m->elf;
}

/* ---- text ---- */

/* A line under way; too long: cut, and not to be used. */
struct line {
	char text[PATH_MAX + 512];
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *line, const char *format, ...)
{
	size_t room = sizeof(line->text) - line->len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line->text + line->len, room, format, args);
	va_end(args);
	if (n > 0)
		line->len += (size_t)n < room ? (size_t)n : room - 1;
}

static void add_build_id(struct line *line, const struct elf *elf)
{
	if (elf->build_id_len == 0)
		return;
	add(line, " build-id ");
	for (unsigned i = 0; i < elf->build_id_len; i++)
		add(line, "%02x", elf->build_id[i]);
}

/* back: how far before the address the instruction is that it stands for. */
static void describe(struct symbols *s, struct symbols_mapping *m, uint64_t address, uint64_t back, struct line *line)
{
	const struct elf *elf = file_of(s, m);
	uint64_t offset = address - m->start + m->offset, into = 0;
	const char *function = elf ? elf_function(elf, offset - back, &into) : NULL;

	if (function)
		add(line, "%.*s+0x%" PRIx64, NAME_MAX_SHOWN, function, into + back);
	else
		add(line, "0x%" PRIx64, address);
	if (m->path[0])
		add(line, " (%s+0x%" PRIx64 ")", m->path, offset);
	if (elf && !m->named)
		add_build_id(line, elf);
	m->named = true;
}

static bool is_ours(const struct symbols_mapping *m)
{
	const char *slash = strrchr(m->path, '/');

	return slash && strncmp(slash, "/libinterspan", 13) == 0;
}

size_t symbols_text(struct symbols *s, const uint64_t *addresses, size_t n, char *text, size_t cap)
{
	size_t len = 0;

	for (size_t i = 0; s && i < s->n_mappings; i++)
		s->mappings[i].named = false;
	for (size_t i = 0; i < n; i++) {
		uint64_t back = i > 0 && addresses[i] > 0;
		struct symbols_mapping *m = s ? find_mapping(s, addresses[i] - back) : NULL;
		struct line line = {.len = 0};

		if (m && is_ours(m))
			continue;
		if (m)
			describe(s, m, addresses[i], back, &line);
		else
			add(&line, "0x%" PRIx64, addresses[i]);
		if (line.len + (len > 0) > cap - len)
			break;
		if (len > 0)
			text[len++] = '\n';
		memcpy(text + len, line.text, line.len);
		len += line.len;
	}
	return len;
}
