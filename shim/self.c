/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/self.h"

#include <link.h>
#include <string.h>

/* Written by self_start() only. */
static char path[512];
static bool is_first;

/* Is address inside the object that info describes? */
static bool holds(const struct dl_phdr_info *info, uintptr_t address)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && address - info->dlpi_addr - p->p_vaddr < p->p_memsz)
			return true;
	}
	return false;
}

static const char *file_name(const char *p, size_t len, size_t *ret_len)
{
	size_t start = len;

	while (start > 0 && p[start - 1] != '/')
		start--;
	*ret_len = len - start;
	return p + start;
}

struct search {
	const char *names[64]; /* of the objects before ours, in link order */
	unsigned n;
};

static int remember_if_ours(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *s = arg;

	(void)size;
	if (holds(info, (uintptr_t)&self_start)) {
		if (info->dlpi_name && strlen(info->dlpi_name) < sizeof(path))
			strcpy(path, info->dlpi_name);
		return 1;
	}
	if (info->dlpi_name && s->n < sizeof(s->names) / sizeof(s->names[0]))
		s->names[s->n++] = info->dlpi_name;
	return 0;
}

void self_start(void)
{
	struct search s = {.n = 0};

	(void)dl_iterate_phdr(remember_if_ours, &s);
	is_first = true;
	for (unsigned i = 0; i < s.n; i++)
		is_first = is_first && !self_is_path(s.names[i], strlen(s.names[i]));
}

bool self_is_first(void)
{
	return is_first;
}

const char *self_path(void)
{
	return path;
}

bool self_is_path(const char *entry, size_t len)
{
	size_t a, b;
	const char *given = file_name(entry, len, &a), *ours = file_name(path, strlen(path), &b);

	return a > 0 && a == b && memcmp(given, ours, a) == 0;
}
