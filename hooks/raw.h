/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "hooks/hook.h"

/*
 * syscall(2) under a fixed form: six longs are forwarded whatever the number takes. With the sixth argument's stack slot
 * among our own parameters the compiler can leave by a jump, so a system call that comes back on another stack
 * (clone) returns to its caller and not to us.
 */
typedef long raw_syscall_fn(long nr, long a, long b, long c, long d, long e, long f);

#define REAL_SYSCALL ((raw_syscall_fn *)(void (*)(void))&REAL(syscall))

/* By family; nr is one of the family's. The first two need a descriptor (a) that the engine knows. */
raw_syscall_fn raw_send, raw_receive, raw_move, raw_wait, raw_exec;
