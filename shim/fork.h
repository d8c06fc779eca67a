/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/* What a fork means for what we know: the parent keeps it, the child owns nothing of it and starts over. */

int fork_start(void); /* 0 or -ENOMEM */
/* Were we forked from a process that had the shim? */
bool fork_made_us(void);
/* In a child that was forked behind our back: start over now. Before anything is written or ended. Two loads otherwise. */
void fork_notice(void);
