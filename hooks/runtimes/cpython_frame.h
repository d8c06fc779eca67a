/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hooks/runtimes/cpython.h"

/*
 * Which Context a thread is in, and since when: a frame is the time between its being entered and left. Event loops run each
 * callback in a frame of its own, so what is accepted or read in a frame that was entered after the thread last waited is what that
 * callback is for.
 */

/* Context.run, by the method's function. */
typedef void *cpython_run(void *self, void *const *arguments, ptrdiff_t count, void *keyword_names);
extern cpython_run *cpython_real_run;
cpython_run cpython_hook_run;
/* PyContext_Enter and PyContext_Exit, by the slots of modules that call them. */
int cpython_hook_enter(void *context);
int cpython_hook_exit(void *context);

/* The label that a copy of this Context would inherit. False: none is known. Entered into the guard. */
bool cpython_label_of(struct thread *t, const void *context, struct label *ret);
/* Contexts are made in a way that we cannot see: one without a label is not known to be nobody's. */
void cpython_lineage_is_broken(void);
/* This thread copies Contexts, and they cannot be followed. */
void cpython_runs_untold_loop(void);
/* This thread runs uvloop's event loop: it reads and writes outside of its tasks. */
void cpython_runs_uvloop(void);
/* The task that this thread runs has handed bytes to its event loop, to be sent on client connection c (entered) later. */
struct conn;
void cpython_handed(struct thread *t, struct conn *c);
bool cpython_labels_are_whole(void); /* cpython_context.c */
