/* SPDX-License-Identifier: Apache-2.0 */
/* Calls dlopen for a name that only its own RUNPATH leads to. */
#include "app.h"

#include <dlfcn.h>

void *load(const char *name, int flags);

void *load(const char *name, int flags)
{
	return dlopen(name, flags);
}
