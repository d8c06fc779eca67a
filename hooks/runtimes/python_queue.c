/* SPDX-License-Identifier: Apache-2.0 */
/* Queue classes that are written in Python. */
#include "hooks/runtimes/python_queue.h"

#include "hooks/runtimes/python_api.h"
#include "hooks/runtimes/python_function.h"
#include "hooks/runtimes/python_threads.h"

#define ARGUMENTS_OFFSET ((size_t)1 << 63) /* a flag in a vectorcall's count */

static void *run(void *callable, void *const *args, size_t nargs, void *names)
{
	void *r;

	python_in_queue(1);
	r = python_function_run(callable, args, nargs, names);
	python_in_queue(-1);
	return r;
}

static void *put_function(void *callable, void *const *args, size_t nargs, void *names)
{
	size_t n = nargs & ~ARGUMENTS_OFFSET;
	void *item = python_argument(args, n, names, 1, "item"), *r;

	if (n == 0 || !item)
		return python_function_run(callable, args, nargs, names);
	python_item_putting(args[0], item);
	r = run(callable, args, nargs, names);
	if (!r)
		python_item_not_put(args[0], item);
	return r;
}

static void *get_function(void *callable, void *const *args, size_t nargs, void *names)
{
	size_t n = nargs & ~ARGUMENTS_OFFSET;
	void *queue = n ? args[0] : NULL, *r;
	bool looks_only = python_argument(args, n, names, 1, "block") == python_more.no;

	r = run(callable, args, nargs, names);
	if (queue)
		python_item_fetched(queue, r, looks_only);
	return r;
}

/* An object of these classes has no finalizer of its own. */
static void finalize(void *queue)
{
	python_queue_ended(queue);
}

static void watch_end(char *class)
{
	void *own, *none;

	memcpy(&own, class + PYTHON_TYPE_FINALIZE, sizeof(own));
	if (!own)
		(void)python_patch_slot(class, PYTHON_TYPE_FINALIZE, (void *)finalize, &none);
}

/* Getting first: what was seen being put and is not seen being fetched would stay. */
static void patch(void *class)
{
	if (python_hook_method(class, "get", get_function))
		(void)python_hook_method(class, "put", put_function);
	watch_end(class);
}

/* An executor counts its idle threads by a semaphore of its own, which everybody who submits passes. */
static void patch_executor(void)
{
	static bool done;
	void *class = done ? NULL : python_of_module("concurrent.futures.thread", "ThreadPoolExecutor");

	if (!class)
		return;
	done = true;
	(void)python_hook_method(class, "submit", run);
}

void python_queues_patch(void)
{
	static const struct {
		const char *module, *name;
		bool inherits; /* what it does is another's, patched before it */
	} classes[] = {
		{"queue", "Queue", false},	   {"queue", "LifoQueue", true},	  {"queue", "PriorityQueue", true},
		{"queue", "_PySimpleQueue", false}, {"gevent._threading", "Queue", false},
	};
	static bool done[sizeof(classes) / sizeof(classes[0])];

	for (unsigned i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		void *class = done[i] ? NULL : python_of_module(classes[i].module, classes[i].name);

		if (!class)
			continue;
		done[i] = true;
		if (classes[i].inherits)
			watch_end(class);
		else
			patch(class);
	}
	patch_executor();
	python_methods_patch();
}
