/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/head_memos.h"

#include <errno.h>

#include "shim/protocols/http1_memo.h"
#include "shim/reserve.h"

#define CONNECTIONS 4096u /* slots are used again, the last first: beyond it are those of the busiest hour */

static struct memos {
	struct http1_memo in, out;
} *memos;

int head_memos_start(void)
{
	memos = reserve(sizeof(*memos) * CONNECTIONS);
	return memos ? 0 : -ENOMEM;
}

void head_memos_lend(struct conn *c)
{
	uint32_t slot = conn_slot(c);

	if (slot > CONNECTIONS)
		return;
	c->in.memo = &memos[slot - 1].in;
	c->out.memo = &memos[slot - 1].out;
}
