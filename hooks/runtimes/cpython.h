/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/label.h"

struct thread;

/*
 * CPython, as the adapters see it. Its C API is found in the running interpreter (no headers, no link), its private layout
 * is measured, and what does not measure up is left alone: then contexts stay unlabelled, and threads that are seen to run
 * event loops answer "cannot tell". A task of the program is the Context that it runs in; labels go with Contexts.
 *
 * "Holds the GIL": may call Python's C API, outside the guard where that can run Python code.
 */

/* Every function of the API that we call: PYTHON(name, result, arguments). */
#define PYTHON_API                                                                                                     \
	PYTHON(Py_IsInitialized, int, (void))                                                                          \
	PYTHON(Py_GetVersion, const char *, (void))                                                                    \
	PYTHON(Py_DecRef, void, (void *))                                                                              \
	PYTHON(PyErr_Clear, void, (void))                                                                              \
	PYTHON(PyGILState_GetThisThreadState, void *, (void))                                                          \
	PYTHON(PyObject_GetAttrString, void *, (void *, const char *))                                                 \
	PYTHON(PyContext_New, void *, (void))                                                                          \
	PYTHON(PyContext_CopyCurrent, void *, (void))                                                                  \
	PYTHON(PyContext_Enter, int, (void *))                                                                         \
	PYTHON(PyContext_Exit, int, (void *))                                                                          \
	PYTHON(PyImport_GetModuleDict, void *, (void))                                                                 \
	PYTHON(PyDict_GetItemString, void *, (void *, const char *))                                                   \
	PYTHON(PySet_Add, int, (void *, void *))

/* Written once, before any of it can be called. */
struct python {
#define PYTHON(name, result, arguments) result(*name) arguments;
	PYTHON_API
#undef PYTHON
	void *(*current_thread_state)(void); /* PyThreadState_GetUnchecked, under whatever name */
	char *context_type;                  /* PyContext_Type */
	size_t context_offset;               /* of the current Context in a thread state; measured */
	unsigned version;                    /* major << 8 | minor */
};
extern struct python python;

/* Measured and patched: labels are kept. Any thread, async-signal-safe. */
bool cpython_is_ready(void);
/* Does the calling thread hold the GIL? Once the interpreter was found. Never wrong where it says yes. */
bool cpython_holds_gil(void);
/* Whatever the interpreter exports under this name, or NULL. Not on the hot path. */
void *cpython_symbol(const char *name);
/* Holding the GIL: measure and patch, if that has not been done. */
void cpython_settle(void);

/*
 * Let a method that is written in C be called through hook: method is a descriptor found on its class (as
 * PyObject_GetAttrString gives it). Type, name and identity of the Python object stay. False, and nothing is
 * changed: it is not the method of that name and those METH_ flags, or cannot be written.
 */
bool cpython_patch_method(void *method, const char *name, int flags, void *hook, void **ret_real);
/* Replace a slot of a type (one word at this offset). False: it cannot be written. */
bool cpython_patch_slot(char *type, size_t offset, void *hook, void **ret_real);

/* The Context that is current on the calling thread; NULL: none, or this thread runs no Python. Ready; any thread. */
void *cpython_context(void);

/* ---- labels of Contexts (cpython_context.c); any thread ---- */

/* False: it has none. */
bool cpython_label_get(const void *context, struct label *ret);
void cpython_label_set(const void *context, const struct label *label);
/* What a task would inherit that this thread makes now. False: nothing is known, and nothing is to be recorded. */
bool cpython_label_current(struct thread *t, struct label *ret);
