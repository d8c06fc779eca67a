/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/types.h>

#include "hooks/runtimes/cpython.h"

/*
 * More of CPython's API than cpython.h has, for the files python_*.c. Objects are void pointers, laid out as in builds with a GIL;
 * all of this needs the GIL.
 */
#define PYTHON_MORE                                                                                                    \
	PYTHON(PyDict_Copy, void *, (void *))                                                                          \
	PYTHON(PyDict_SetItemString, int, (void *, const char *, void *))                                              \
	PYTHON(PyTuple_Pack, void *, (ssize_t, ...))                                                                   \
	PYTHON(PyTuple_Size, ssize_t, (void *))                                                                        \
	PYTHON(PyTuple_GetItem, void *, (void *, ssize_t))                                                             \
	PYTHON(PyDescr_NewMethod, void *, (void *, void *))                                                            \
	PYTHON(PyUnicode_CompareWithASCIIString, int, (void *, const char *))                                          \
	PYTHON(PyCapsule_GetPointer, void *, (void *, const char *))                                                   \
	PYTHON(PyErr_Occurred, void *, (void))                                                                         \
	PYTHON(PyObject_IsTrue, int, (void *))

struct python_more {
#define PYTHON(name, result, arguments) result(*name) arguments;
	PYTHON_MORE
#undef PYTHON
	void (*PyFunction_SetVectorcall)(void *, void *); /* since 3.12, else NULL */
	char *function_type, *object_type; /* PyFunction_Type, PyBaseObject_Type */
	void *none, *no;                   /* None, False */
};
extern struct python_more python_more;

/* Is an exception set? Then nothing of ours may call anything that could set or clear one. */
bool python_error(void);
/* Find it, once the interpreter was found. False: some of it is missing. */
bool python_more_find(void);

/* Fields of a type object. */
#define PYTHON_TYPE_NAME 24
#define PYTHON_TYPE_DEALLOC 48
#define PYTHON_TYPE_FLAGS 168
#define PYTHON_TYPE_NEW 312
#define PYTHON_TYPE_FINALIZE 392

static inline char *python_type(const void *object)
{
	char *type;

	memcpy(&type, (const char *)object + 8, sizeof(type));
	return type;
}

/* The name of an object's type as it was defined: of queue.Queue's it is "Queue". */
static inline const char *python_type_name(const void *object)
{
	const char *name;

	memcpy(&name, python_type(object) + PYTHON_TYPE_NAME, sizeof(name));
	return name;
}

/* As cpython_patch_slot(), for types that are allocated, too. */
bool python_patch_slot(char *type, size_t offset, void *hook, void **ret_real);

/* An attribute of a module that the program has imported: borrowed from it. NULL: it is not there. Leaves no exception. */
void *python_of_module(const char *module, const char *name);

/* The nth argument of a vectorcall, or the one of that name; NULL: not given. */
void *python_argument(void *const *args, size_t nargs, void *names, size_t n, const char *name);
