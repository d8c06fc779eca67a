/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/error_stack.h"

#include "shim/config.h"
#include "shim/plugin.h"
#include "shim/self.h"
#include "shim/span.h"

#define OWN_FRAMES 16 /* most that are ours, above the program's */

static struct unwind unwind; /* written by error_stack_start() only; .here NULL: off */

void error_stack_start(void)
{
	uint64_t first[4];

	if (!config.error_stacktrace || plugin_load_unwind(&unwind) != 0)
		return;
	/* What it sets up at its first use is set up now. */
	(void)unwind.here(first, 4);
}

void error_stack_take(struct exchange *e)
{
	uint64_t stack[RECORD_STACK_MAX + OWN_FRAMES];
	int n, own = 0;

	if (!unwind.here || !e->recorded || e->has_stack)
		return;
	e->has_stack = true;
	n = unwind.here(stack, RECORD_STACK_MAX + OWN_FRAMES);
	while (own < n && self_holds((uintptr_t)stack[own]))
		own++;
	if (n <= own)
		return;
	stack[own]--; /* in a stack the first is no return address: this stands for the call */
	if (span_may_add(e))
		record_add_stack(&e->record, ATTR_CODE_STACKTRACE, stack + own, (unsigned)(n - own));
}
