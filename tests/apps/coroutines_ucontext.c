/* SPDX-License-Identifier: Apache-2.0 */
/* Coroutines by makecontext() and swapcontext(). */
#include <stdint.h>
#include <stdlib.h>
#include <ucontext.h>

#include "tests/apps/coroutines.h"

#define STACK_BYTES (128 * 1024)

static ucontext_t loop;

static void start(unsigned high, unsigned low)
{
	coroutine_body((struct coroutine *)((uintptr_t)high << 32 | low));
}

void coroutine_create(struct coroutine *c)
{
	ucontext_t *context = calloc(1, sizeof(*context));

	if (!context || getcontext(context) != 0)
		abort();
	context->uc_stack.ss_sp = malloc(STACK_BYTES);
	context->uc_stack.ss_size = STACK_BYTES;
	if (!context->uc_stack.ss_sp)
		abort();
	makecontext(context, (void (*)(void))start, 2, (unsigned)((uintptr_t)c >> 32), (unsigned)(uintptr_t)c);
	c->state = context;
}

void coroutine_resume(struct coroutine *c)
{
	swapcontext(&loop, c->state);
}

void coroutine_suspend(struct coroutine *c)
{
	swapcontext(c->state, &loop);
}

int main(int argc, char **argv)
{
	return coroutines_main(argc, argv);
}
