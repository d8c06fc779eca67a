/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct dl_phdr_info;

/*
 * Calls from a loaded object to a function of another one go through a slot of its global offset table. Where the executable
 * itself defines the function, no preload can stand in front of it, but the slots of the modules that call it can
 * be pointed elsewhere.
 *
 * Context: not on the hot path. Allocates nothing; makes system calls only where a slot has been made read-only.
 */
struct got_patch {
	const char *name;
	void *real;  /* what slots must lead to, or be still unbound, to be patched */
	void *hook;
};

/* The object's slots of these names. Returns how many lead to their hooks now; -1 where one could not be written. */
int got_patch(const struct dl_phdr_info *info, const struct got_patch *patches, size_t n);
/* May this address be written as it is: is it in a writable segment of some object, and not sealed? */
bool got_is_writable(const void *address);
/* Is it in any segment at all? */
bool got_is_readable(const void *address);
