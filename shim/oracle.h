/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/thread.h"

/*
 * Evidence after the fact: what a loop answers next is what the response that it has just read was for. Each such observation is
 * held against the parent that was given; where it does not agree, the rule is switched off on that loop. The calling thread's.
 */

/* The response to a client exchange made for `who` by `rule` was read. */
void oracle_expect(struct thread *t, struct handle who, enum evidence rule);
/* A response to server exchange `who` begins to be written: does it agree with what was just read? */
void oracle_compare(struct thread *t, struct handle who);

static inline void oracle_observe_response(struct thread *t, struct handle who)
{
	if (!handle_is_none(t->expected))
		oracle_compare(t, who);
}
