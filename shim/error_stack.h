/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

struct exchange;

/*
 * INTERSPAN_ERROR_STACKTRACE: the attribute code.stacktrace on spans that end in ERROR, where the program's thread
 * was when that became known. It is the one thing of the plug-ins that runs on the program's threads, and only for
 * who asked for it.
 */

/* In the constructor: with the setting on, load the plug-in, since a hook may not. */
void error_stack_start(void);
/* The exchange (its connection entered) has failed: once each. Async-signal-safe. */
void error_stack_take(struct exchange *e);
