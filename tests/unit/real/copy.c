/* SPDX-License-Identifier: Apache-2.0 */
/* The look-up in an object of its own. */
#include "shim/real.h"

#include <string.h>

void *copy_real(const char *name);

static const char *const names[] = {
#define HOOK(name) #name,
#include "shim/real.def"
#undef HOOK
};

__attribute__((visibility("default"))) void *copy_real(const char *name)
{
	void *pointer = NULL;

	real_resolve();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], name) == 0)
			memcpy(&pointer, (char *)&real + i * sizeof(pointer), sizeof(pointer));
	return pointer;
}
