/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/*
 * May a program that is about to be started keep us in its preload? Not when its loader would complain on its standard error, or die
 * of it: the library's file cannot be read from here (another root directory, another user), the program is of another
 * machine or word size, or its C library is musl. A script is as its interpreter. In doubt: yes. Static programs, too: nobody
 * loads anything there, and what they start may be traced.
 *
 * program: as exec takes it; without a slash it is looked for in PATH. NULL: not known.
 * Context: any thread, a child of vfork, no allocation; 2 KiB of stack. Opens, reads and closes a file.
 */
bool loadable_by(const char *program);
