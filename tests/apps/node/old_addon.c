/* SPDX-License-Identifier: Apache-2.0 */
/* An addon as headers before Node 20 made them: it registers from a constructor, and refers to its initialiser by name. */
#include "hooks/runtimes/node/napi.h"

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports);

napi_value napi_register_module_v1(napi_env env, napi_value exports)
{
	napi_value text;

	if (napi_create_string_utf8(env, "its own", NAPI_AUTO_LENGTH, &text) == 0)
		(void)napi_set_named_property(env, exports, "initialised", text);
	return exports;
}

struct module {
	int version;
	unsigned flags;
	const char *filename;
	napi_value (*init)(napi_env env, napi_value exports);
	const char *name;
	void *private;
	void *reserved[4];
};

extern void napi_module_register(struct module *module) __attribute__((weak));

__attribute__((constructor)) static void register_it(void)
{
	static struct module module = {.version = 1, .filename = __FILE__, .init = napi_register_module_v1, .name = "old"};

	napi_module_register(&module);
}
