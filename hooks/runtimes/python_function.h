/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Calls of a function written in Python, seen without the program's seeing it: the function object, its code, its frames and
 * tracebacks stay what they are. A function object holds a pointer to the C function that runs it, and every call reads
 * that. Only CPython 3.11 runs functions called from Python without looking there: where their type is exactly "function". There the
 * object gets a type of its own, a copy that differs in identity only.
 */
typedef void *(*python_vectorcall)(void *callable, void *const *args,
						   size_t nargs, void *kwnames);

/*
 * From now on calls of the function class.name run hook, which is expected to call python_function_run(). False: not possible here,
 * nothing is changed. GIL held; no exception may be set, and none is afterwards.
 */
bool python_function_hook(void *function, python_vectorcall hook);

/* Run a function as it would have been run. */
void *python_function_run(void *callable, void *const *args, size_t nargs,
					  void *kwnames);

/* The same for the function that is this attribute of a class. */
bool python_hook_method(void *class, const char *name, python_vectorcall hook);
