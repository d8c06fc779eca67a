/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/blocks.h"

#include "shim/pool.h"

#define SMALL_BLOCKS 65536u
#define LARGE_BLOCKS 1024u

static struct pool small, large;

int blocks_start(void)
{
	int err = pool_start(&small, BLOCK_SMALL, SMALL_BLOCKS);

	return err ? err : pool_start(&large, BLOCK_LARGE, LARGE_BLOCKS);
}

uint8_t *block_take(size_t bytes, uint32_t *ret_cap)
{
	struct pool *pool = bytes <= BLOCK_SMALL ? &small : &large;
	uint32_t slot = bytes <= BLOCK_LARGE ? pool_take(pool) : 0;

	*ret_cap = pool == &small ? BLOCK_SMALL : BLOCK_LARGE;
	return slot ? pool_at(pool, slot) : NULL;
}

void block_give(uint8_t *block)
{
	if (!block)
		return;

	struct pool *pool = block > small.memory && block < small.memory + (SMALL_BLOCKS + 1u) * small.object_bytes
				    ? &small
				    : &large;

	pool_give(pool, pool_slot(block));
}
