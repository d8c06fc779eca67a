/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "hooks/runtimes/cpython.h"
#include "shim/runtime.h"

/* What the files of the CPython adapter share. */

/* Holding the GIL, once everything is measured: patch what Contexts are made, entered and freed by. False: nothing was. */
bool cpython_contexts_patch(void);
/* Room for what the frames keep. */
bool cpython_frames_start(void);
/* struct runtime's; in cpython.c. */
void cpython_modules_loaded(void);
/* Before that: the calls that modules make by name. */
void cpython_modules_patch(void);
/* cpython_uvloop.c: this object's slots, if it is uvloop's. False: it could not be written. */
struct dl_phdr_info;
bool cpython_uvloop_patch(const struct dl_phdr_info *info);
/* The current Context of a thread state; ready. */
static inline void *cpython_context_of(const void *thread_state)
{
	void *context;

	__builtin_memcpy(&context, (const char *)thread_state + python.context_offset, sizeof(context));
	return context;
}
