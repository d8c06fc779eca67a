/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/ownership.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#include "shim/process.h"
#include "shim/sys.h"

#define CELLS 65536

struct cell {
	_Atomic uint32_t owner;   /* pid; 0: unclaimed since the fork */
	_Atomic uint32_t holders; /* processes that still hold a copy */
};

struct cells {
	_Atomic uint32_t used;
	struct cell cell[CELLS];
};

/* Mapped at the first fork that needs it (one thread: the forking one), inherited by all children. Cells are not
 * reused: 65,535 open exchanges over forks is the bound of one process tree, after which a child simply ends what it sees. */
static struct cells *cells;

uint32_t ownership_share(void)
{
	if (!cells && process_is_sandboxed())
		return 0;
	if (!cells) {
		void *p = mmap(NULL, sizeof(*cells), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (p == MAP_FAILED)
			return 0;
		cells = p;
	}

	uint32_t i = atomic_fetch_add(&cells->used, 1) + 1;

	if (i >= CELLS) {
		atomic_fetch_sub(&cells->used, 1);
		return 0;
	}
	atomic_store(&cells->cell[i].owner, 0);
	atomic_store(&cells->cell[i].holders, 2);
	return i;
}

void ownership_hold(uint32_t i)
{
	if (cells && i)
		atomic_fetch_add(&cells->cell[i].holders, 1);
}

bool ownership_claim(uint32_t i)
{
	uint32_t self, owner = 0;

	if (!cells || !i)
		return true;
	/* Where we may not ask who we are, whoever comes first has it, and nobody after. */
	self = process_is_sandboxed() ? UINT32_MAX : (uint32_t)sys_getpid();
	return atomic_compare_exchange_strong(&cells->cell[i].owner, &owner, self) || owner == self;
}

bool ownership_release(uint32_t i)
{
	if (!cells || !i)
		return false;
	if (atomic_fetch_sub(&cells->cell[i].holders, 1) != 1)
		return false;
	return ownership_claim(i);
}
