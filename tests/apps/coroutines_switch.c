/* SPDX-License-Identifier: Apache-2.0 */
/* Coroutines by a few instructions of our own, as many libraries have them: nothing of it is visible from outside. */
#include <stdint.h>
#include <stdlib.h>

#include "tests/apps/coroutines.h"

#define STACK_BYTES (64 * 1024)

void switch_stacks(void **save, void *load);

#if defined(__x86_64__)
__asm__(".text\n.globl switch_stacks\n.type switch_stacks, @function\nswitch_stacks:\n"
	"push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
	"mov %rsp, (%rdi)\nmov %rsi, %rsp\n"
	"pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n");
#else
#error "no switch for this machine"
#endif

static void *loop, *current;

static void start(void)
{
	coroutine_body(current);
}

void coroutine_create(struct coroutine *c)
{
	char *stack = malloc(STACK_BYTES);
	void **top = (void **)(((uintptr_t)stack + STACK_BYTES) & ~(uintptr_t)15);

	if (!stack)
		abort();
	*--top = NULL; /* where start() would return to: it never does */
	*--top = (void *)(uintptr_t)start;
	for (int i = 0; i < 6; i++)
		*--top = NULL;
	c->state = top;
}

void coroutine_resume(struct coroutine *c)
{
	current = c;
	switch_stacks(&loop, c->state);
}

void coroutine_suspend(struct coroutine *c)
{
	switch_stacks(&c->state, loop);
}

int main(int argc, char **argv)
{
	return coroutines_main(argc, argv);
}
