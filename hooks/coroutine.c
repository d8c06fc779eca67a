/* SPDX-License-Identifier: Apache-2.0 */
/*
 * makecontext: where a coroutine's stack is. Switches need no hook, since the stack pointer tells
 * (shim/coroutine.h); and one of getcontext or swapcontext would be wrong: the context that is saved must be the
 * caller's own frame, not ours.
 *
 * makecontext takes as many arguments as the program has for the coroutine, and nobody says where they end. They
 * stay where they are: this passes on those that registers hold, and leaves by a jump.
 */
#include "hooks/hook.h"

typedef void fixed_makecontext(ucontext_t *context, void (*entry)(void), int count, long a, long b, long c, long d,
			       long e);

fixed_makecontext hook_makecontext __asm__("makecontext");

static bool may_be_stack(const ucontext_t *context)
{
	return context->uc_stack.ss_sp && context->uc_stack.ss_size > 0;
}

EXPORT MAY_JUMP void hook_makecontext(ucontext_t *context, void (*entry)(void), int count, long a, long b, long c,
				      long d, long e)
{
	if (may_be_stack(context))
		engine_coroutine_made(context->uc_stack.ss_sp, context->uc_stack.ss_size, (void *)entry);
	JUMP return ((fixed_makecontext *)REAL(makecontext))(context, entry, count, a, b, c, d, e);
}
