/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What process.dlopen() opens: an addon that leads to the preloaded library. The library cannot be the addon itself, because a
 * preloaded object comes first in every look-up: addons that refer to their own napi_register_module_v1 by
 * name, as those built with older headers do, would get ours.
 */
#include "hooks/runtimes/node/napi.h"

extern napi_value interspan_node_register(napi_env env, napi_value exports) __attribute__((weak));

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports);

napi_value napi_register_module_v1(napi_env env, napi_value exports)
{
	/* Without the library (a child whose environment lost LD_PRELOAD) there is nothing in the exports. */
	return interspan_node_register ? interspan_node_register(env, exports) : exports;
}
