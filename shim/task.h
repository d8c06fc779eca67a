/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Whether a process or thread still exists. A number alone says nothing, since numbers are reused: it goes with the start time
 * (field 22 of /proc/<id>/stat, clock ticks after boot). Async-signal-safe; makes system calls.
 */

/* The pid namespace of the calling process, by its inode; 0: not known (no /proc). Numbers of tasks mean something only within it. */
uint64_t task_pid_namespace(void);
/* 0: there is no such task, or no /proc. */
uint64_t task_start_time(uint32_t id);
/*
 * Does the task run that had this id and start time (0: not known)? A zombie does not, except the first thread of a
 * process whose other threads go on. where /proc is not to be seen, any task of that id counts.
 */
bool task_is_alive(uint32_t id, uint64_t start_time);
