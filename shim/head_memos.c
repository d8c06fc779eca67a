/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/head_memos.h"

#include <errno.h>
#include <sys/mman.h>

#include "shim/protocols/http1_memo.h"

#define CONNECTIONS 4096u /* slots are used again, the last first: beyond it are those of the busiest hour */

static struct memos {
	struct http1_memo in, out;
} *memos;

int head_memos_start(void)
{
	void *memory = mmap(NULL, sizeof(*memos) * CONNECTIONS, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return -ENOMEM;
	memos = memory;
	return 0;
}

void head_memos_lend(struct conn *c)
{
	uint32_t slot = conn_slot(c);

	if (slot > CONNECTIONS)
		return;
	c->in.memo = &memos[slot - 1].in;
	c->out.memo = &memos[slot - 1].out;
}
