/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The directory of this user's segments and messages, /dev/shm/interspan-<euid>, mode 0700. /dev/shm is
 * everybody's: one that is not ours alone is never used. Async-signal-safe; makes system calls.
 */

#define RUNDIR_PATH_MAX 40

/* The path, and its length. */
unsigned rundir_path(char ret_path[RUNDIR_PATH_MAX]);
/*
 * Open it, made if it is missing: an O_PATH descriptor for openat(), or -errno; -EPERM when it belongs to somebody else, is open
 * to others, or is not a directory.
 */
int rundir_open(void);
