/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "shim/got.h"

/*
 * Libraries that take work to be done later (libuv, GLib, libevent), where they are shared ones. The program's calls of them are led to
 * us through the slots of its objects; a name that we exported would be found in programs that have no such library.
 */

/* The functions of the loaded library whose file name begins so, in the order of names. False: it is not there, or lacks one. */
bool library_find(const char *file, const char *const *names, void **ret, size_t n);
/* Lead all calls to them, from any object, to the hooks. */
void library_patch(const struct got_patch *patches, size_t n);
