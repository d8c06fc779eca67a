/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Scratch memory for the few calls that need some: heads that arrive in pieces, edited sends, bytes owed to a peer.
 * Two sizes, from reserved address space. Context: any thread, async-signal-safe.
 */
#define BLOCK_SMALL 4096u
#define BLOCK_LARGE 69632u /* a head of the largest size and what is added to it */

int blocks_start(void);
/* At least bytes; *ret_cap says how many. NULL: none left, or too many wanted. */
uint8_t *block_take(size_t bytes, uint32_t *ret_cap);
void block_give(uint8_t *block); /* NULL is fine */
