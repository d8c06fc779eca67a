/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/self.h"

#include <link.h>
#include <string.h>

static char path[512]; /* written by self_start() only */

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

static int remember_if_ours(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	if (!holds(info, (uintptr_t)&self_start))
		return 0;
	if (info->dlpi_name && strlen(info->dlpi_name) < sizeof(path))
		strcpy(path, info->dlpi_name);
	return 1;
}

void self_start(void)
{
	(void)dl_iterate_phdr(remember_if_ours, NULL);
}

const char *self_path(void)
{
	return path;
}

static const char *file_name(const char *p, size_t len, size_t *ret_len)
{
	size_t start = len;

	while (start > 0 && p[start - 1] != '/')
		start--;
	*ret_len = len - start;
	return p + start;
}

bool self_is_path(const char *entry, size_t len)
{
	size_t a, b;
	const char *given = file_name(entry, len, &a), *ours = file_name(path, strlen(path), &b);

	return a > 0 && a == b && memcmp(given, ours, a) == 0;
}
