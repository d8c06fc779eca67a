/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/*
 * Turn the calling thread into one that the program has nothing to do with: a name of its own, no real-time
 * priority, and a descriptor table of its own, in which nothing of the program's is open: it then takes no number from the
 * program, keeps none of its files open, and survives loops that close everything. 0 to 2 are /dev/null there, but
 * for those asked to be kept. Where the kernel does not let us have our own table, the program's stays in use and
 * untouched. Context: a thread of ours; makes system calls only.
 */
void background_enter(bool keep_stdout, bool keep_stderr);
