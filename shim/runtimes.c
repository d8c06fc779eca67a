/* SPDX-License-Identifier: Apache-2.0 */
/* Runtimes that park threads where we cannot see it: rule 5 is off in their processes. */
#include <link.h>
#include <string.h>

#include "shim/engine.h"
#include "shim/thread.h"

static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
	static const char *const names[] = {"libjvm.so", "libcoreclr.so", "libmonosgen-2.0.so"};
	const char *slash = info->dlpi_name ? strrchr(info->dlpi_name, '/') : NULL;
	const char *name = slash ? slash + 1 : info->dlpi_name;

	(void)size;
	for (size_t i = 0; name && i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(name, names[i], strlen(names[i])) == 0)
			*(bool *)arg = true;
	return 0;
}

void engine_module_loaded(void)
{
	bool found = false;

	(void)dl_iterate_phdr(look, &found);
	if (found)
		thread_classes_distrust();
}
