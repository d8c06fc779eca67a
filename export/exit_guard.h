/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "shim/helper.h"

/*
 * TLS libraries take themselves down in an atexit handler, which runs before any destructor of the shim: an exporter
 * that is inside one at that moment may crash the program's exit. So a handler of our own, registered after theirs and
 * therefore run before, has the segment flushed and the exporter stopped while the library is still whole.
 */

/*
 * The calling thread begins to export from host's segment. tls: nothing is done without it. False: the exit has begun,
 * it is too late to.
 */
bool exit_guard_enter(struct export_host *host, bool tls);
/* It has ended, and will not enter the TLS library again. */
void exit_guard_leave(void);
