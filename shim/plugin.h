/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/helper.h"

#include "shim/unwind.h"

/*
 * libinterspan-export.so and libinterspan-unwind.so, which lie beside the shim: opened at first use, never closed, privately, so that
 * their libraries do not meet the program's own copies of them. Context: a thread of ours, or one of the program's inside the guard; may
 * block and allocate; one caller at a time for each of the two.
 */
struct plugin {
	export_prepare_fn *prepare;
	export_run_fn *run;
	bool tls_was_loaded; /* see struct export_host */
};

/* Returns 0; -ENOENT when there is no usable plug-in. What is wrong is logged, once. */
int plugin_load(struct plugin *ret);
int plugin_load_unwind(struct unwind *ret);
