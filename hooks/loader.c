/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dlopen. libc finds the caller's RUNPATH, $ORIGIN and namespace by its own return address, so our hook must leave by
 * a jump and cannot learn how the load went. It leaves a mark on the thread instead, and the engine is told when the
 * same thread next comes by (tell_modules() in hook.h): by then the load has ended, or the loaded object's
 * constructors are running, and either way the whole of it is mapped and relocated.
 *
 * The flags are passed on as they are: without RTLD_DEEPBIND an object might be bound to other copies of its own libraries. Its calls
 * are led to us later (shim/deep_bind.c).
 */
#include "hooks/hook.h"

__thread bool loader_entered;

void loader_tell(void)
{
	loader_entered = false;
	engine_module_loaded();
}

EXPORT MAY_JUMP void *dlopen(const char *file, int flags)
{
	tell_modules();
	loader_entered = true;
	if (flags & RTLD_DEEPBIND)
		engine_binding_deeply();
	JUMP return REAL(dlopen)(file, flags);
}
