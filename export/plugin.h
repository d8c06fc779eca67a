/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/helper.h"

/*
 * What libinterspan-export.so offers to the shim, which finds it by name; contracts in shim/helper.h. prepare may run
 * on any thread: it opens no descriptor that stays open, unless host->may_create_files says that the calling thread
 * has a descriptor table of its own. run is for the helper thread.
 */
#define PLUGIN_EXPORT __attribute__((visibility("default")))

PLUGIN_EXPORT export_prepare_fn interspan_export_prepare;
PLUGIN_EXPORT export_run_fn interspan_export_run;
PLUGIN_EXPORT const char *interspan_export_version(void);
