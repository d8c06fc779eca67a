/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where this library was loaded from. Context: any thread after self_start(); nothing allocates. */
void self_start(void);
const char *self_path(void); /* "" when not known */
/* Does address lie in this library? */
bool self_holds(uintptr_t address);
/* False: another copy of the library stands before this one in the link order, and the program calls that one's hooks. */
bool self_is_first(void);
/* Does this entry of a preload list name us: the same path, or the same file name? */
bool self_is_path(const char *entry, size_t len);
