/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

/*
 * Address space for tables, zeroed, never given back. Memory stands behind a page from its first touch on, 4 KiB at a time: where
 * huge pages are the machine's default, each table would cost 2 MiB at its first entry. All tables share one mapping, since
 * each would be a system call at every exec. Returns NULL when there is no more.
 * Context: any thread, async-signal-safe. A few system calls for the first one, and for what the mapping has no room for.
 */
void *reserve(size_t bytes);
