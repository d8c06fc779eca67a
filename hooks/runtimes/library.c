/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/runtimes/library.h"

#include <link.h>
#include <string.h>

#include "shim/real.h"

struct search {
	const char *file;
	const char *const *names;
	void **ret;
	size_t n;
	bool all;
};

static int search_in(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *s = arg;
	const char *slash = info->dlpi_name ? strrchr(info->dlpi_name, '/') : NULL;

	(void)size;
	if (!slash || strncmp(slash + 1, s->file, strlen(s->file)) != 0)
		return 0;
	s->all = true;
	for (size_t i = 0; i < s->n; i++) {
		s->ret[i] = real_find_in(info, s->names[i]);
		s->all = s->all && s->ret[i];
	}
	return 1;
}

bool library_find(const char *file, const char *const *names, void **ret, size_t n)
{
	struct search s = {file, names, ret, n, false};

	(void)dl_iterate_phdr(search_in, &s);
	return s.all;
}

struct patching {
	const struct got_patch *patches;
	size_t n;
};

static int patch_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	const struct patching *p = arg;

	(void)size;
	(void)got_patch(info, p->patches, p->n);
	return 0;
}

void library_patch(const struct got_patch *patches, size_t n)
{
	struct patching p = {patches, n};

	(void)dl_iterate_phdr(patch_object, &p);
}
