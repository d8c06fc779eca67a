/* SPDX-License-Identifier: Apache-2.0 */
/* dlopen resolves names as if the caller had called it directly: its RUNPATH, its $ORIGIN, its errors. */
#include "app.h"

#include <dlfcn.h>

void *load(const char *name, int flags);

static void answer(void *plugin)
{
	int (*plugin_answer)(void);

	*(void **)&plugin_answer = plugin ? dlsym(plugin, "plugin_answer") : NULL;
	if (plugin_answer)
		TRY(plugin_answer());
	else
		puts("not found");
	if (plugin)
		TRY(dlclose(plugin));
}

/* Without the addresses and directories that differ. */
static void say_error(void)
{
	const char *error = dlerror();

	puts(!error ? "no error" : strstr(error, "cannot open") ? "cannot open" : error);
}

int main(void)
{
	puts("the caller has no RUNPATH to it");
	answer(dlopen("libloading_plugin.so", RTLD_NOW));
	say_error();
	puts("the library's RUNPATH leads to it");
	TRY(load("libloading_plugin.so", RTLD_NOW | RTLD_NOLOAD) == NULL);
	answer(load("libloading_plugin.so", RTLD_NOW | RTLD_LOCAL));
	say_error();
	puts("$ORIGIN is the caller's");
	answer(load("$ORIGIN/plugins/libloading_plugin.so", RTLD_LAZY));
	puts("DEEPBIND");
	answer(load("libloading_plugin.so", RTLD_NOW | RTLD_DEEPBIND));
	TRY(load("libloading_plugin.so", RTLD_NOW | RTLD_NOLOAD) == NULL);
	TRY(dlopen(NULL, RTLD_NOW) != NULL);
	TRY(dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD) != NULL);
	TRY(dlopen("libc.so.6", 0) == NULL);
	puts(dlerror());
	TRY(dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW) != NULL);
	list_descriptors();
	return 0;
}
