/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/runtimes/python_api.h"

#include <stdatomic.h>

struct python_more python_more;

bool python_more_find(void)
{
	struct python_more *m = &python_more;
	bool all = true;

#define PYTHON(name, result, arguments)                                                                                \
	m->name = (result(*) arguments)cpython_symbol(#name);                                                          \
	all = all && m->name;
	PYTHON_MORE
#undef PYTHON
	m->PyFunction_SetVectorcall = (void (*)(void *, void *))cpython_symbol("PyFunction_SetVectorcall");
	m->function_type = cpython_symbol("PyFunction_Type");
	m->object_type = cpython_symbol("PyBaseObject_Type");
	m->none = cpython_symbol("_Py_NoneStruct");
	m->no = cpython_symbol("_Py_FalseStruct");
	return all && m->function_type && m->object_type && m->none && m->no;
}

bool python_error(void)
{
	return python_more.PyErr_Occurred && python_more.PyErr_Occurred();
}

void *python_of_module(const char *module, const char *name)
{
	void *modules = python.PyImport_GetModuleDict();
	void *found = modules ? python.PyDict_GetItemString(modules, module) : NULL;
	void *attribute = found ? python.PyObject_GetAttrString(found, name) : NULL;

	if (attribute)
		python.Py_DecRef(attribute);
	else
		python.PyErr_Clear();
	return attribute;
}

#define FLAG_HEAP_TYPE (1ul << 9)

bool python_patch_slot(char *type, size_t offset, void *hook, void **ret_real)
{
	unsigned long flags;

	memcpy(&flags, type + PYTHON_TYPE_FLAGS, sizeof(flags));
	if (!(flags & FLAG_HEAP_TYPE))
		return cpython_patch_slot(type, offset, hook, ret_real);
	memcpy(ret_real, type + offset, sizeof(*ret_real));
	atomic_store_explicit((_Atomic(void *) *)(void *)(type + offset), hook, memory_order_release);
	return true;
}

void *python_argument(void *const *args, size_t nargs, void *names, size_t n, const char *name)
{
	ssize_t n_names = names ? python_more.PyTuple_Size(names) : 0;

	if (n < nargs)
		return args[n];
	for (ssize_t i = 0; i < n_names; i++)
		if (python_more.PyUnicode_CompareWithASCIIString(python_more.PyTuple_GetItem(names, i), name) == 0)
			return args[nargs + (size_t)i];
	return NULL;
}
