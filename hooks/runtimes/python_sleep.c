/* SPDX-License-Identifier: Apache-2.0 */
/* How greenlets sleep: gevent has functions of its own for that. Threads' sleep libc shows. */
#include "hooks/runtimes/python_api.h"
#include "hooks/runtimes/python_function.h"
#include "hooks/runtimes/python_queue.h"
#include "hooks/runtimes/python_threads.h"

#define ARGUMENTS_OFFSET ((size_t)1 << 63) /* a flag in a vectorcall's count */

static void *sleep_function(void *callable, void *const *args, size_t nargs, void *names)
{
	python_set_slept(true);
	return python_function_run(callable, args, nargs, names);
}

/* Who fails to take one at once is made to sleep, to let others run. Who fails otherwise has waited for as long as it liked. */
static void *acquire_function(void *callable, void *const *args, size_t nargs, void *names)
{
	bool slept = python_has_slept();
	bool waits = python_argument(args, nargs & ~ARGUMENTS_OFFSET, names, 1, "blocking") != python_more.no;
	void *r = python_function_run(callable, args, nargs, names);

	python_set_slept(slept || (waits && r == python_more.no));
	return r;
}

/* gevent's sleep is time.sleep, too, where that was patched. */
static void patch_sleep(void)
{
	static bool done;
	void *function = done ? NULL : python_of_module("gevent.hub", "sleep");

	done = done || function;
	if (function)
		(void)python_function_hook(function, sleep_function);
}

static void patch_lock(void)
{
	static bool done;
	void *class = done ? NULL : python_of_module("gevent.thread", "LockType");

	done = done || class;
	if (class)
		(void)python_hook_method(class, "acquire", acquire_function);
}

void python_sleep_patch(void)
{
	patch_sleep();
	patch_lock();
}
