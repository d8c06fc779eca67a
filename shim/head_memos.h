/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/conn.h"

/*
 * What the heads on connections have in common (http1_memo.h), for as many connections at a time as are worth the memory. It belongs to
 * a slot and outlives its connection: what one peer sends, the next is likely to send. Memory is touched where heads arrive.
 */

/* Reserve room. 0 or -ENOMEM. */
int head_memos_start(void);
/* A new connection's streams are given those of its slot. */
void head_memos_lend(struct conn *c);
