/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/runtimes/python_function.h"

#include <stdint.h>
#include <string.h>

#include "hooks/runtimes/python_api.h"

/* Fields of a type object, the same in all versions that have vectorcall. */
#define OBJECT_TYPE 8
#define TYPE_VECTORCALL_OFFSET 56
#define TYPE_BASE 256
#define TYPE_DICT 264
#define TYPE_BASES 336
#define TYPE_MRO 344
#define TYPE_CACHE 352
#define TYPE_SUBCLASSES 360
#define TYPE_WEAKREFS 368
#define TYPE_VERSION_TAG 384
#define TYPE_BYTES_3_11 408
#define METH_O 0x8
#define FLAG_VALID_VERSION_TAG (1ul << 19)

static python_vectorcall plain; /* what runs every function that nobody has hooked */

static void *field(void *object, ptrdiff_t offset)
{
	return (char *)object + offset;
}

static void set_pointer(void *object, ptrdiff_t offset, const void *value)
{
	memcpy(field(object, offset), &value, sizeof(value));
}

static void *get_pointer(void *object, ptrdiff_t offset)
{
	void *value;

	memcpy(&value, field(object, offset), sizeof(value));
	return value;
}

static ptrdiff_t vectorcall_offset(void)
{
	return (ptrdiff_t)get_pointer(python_more.function_type, TYPE_VECTORCALL_OFFSET);
}

void *python_function_run(void *callable, void *const *args, size_t nargs,
					  void *kwnames)
{
	return plain(callable, args, nargs, kwnames);
}

/* ---- 3.11: a type of its own ---- */

/* Pickled and copied by name, as functions are: both look for exactly that type first. */
static void *reduce(void *self, void *protocol)
{
	(void)protocol;
	return python.PyObject_GetAttrString(self, "__qualname__");
}

static struct {
	const char *name;
	void *function;
	int flags;
	const char *doc;
} reduction = {.name = "__reduce_ex__", .function = (void *)reduce, .flags = METH_O};

static _Alignas(16) unsigned char copy[TYPE_BYTES_3_11];

static bool give_dict(void *type)
{
	void *dict = python_more.PyDict_Copy(get_pointer(type, TYPE_DICT));
	void *method = dict ? python_more.PyDescr_NewMethod(type, &reduction) : NULL;

	if (!method || python_more.PyDict_SetItemString(dict, reduction.name, method) != 0)
		return false;
	set_pointer(type, TYPE_DICT, dict);
	return true;
}

/* The copy's ancestors: itself, function, object. */
static bool give_ancestors(void *type)
{
	void *of_function = get_pointer(type, TYPE_MRO);
	void *bases = python_more.PyTuple_Pack(1, python_more.function_type);
	void *mro = python_more.PyTuple_Pack(3, type, python_more.function_type, python_more.object_type);

	if (!bases || !mro || python_more.PyTuple_Size(of_function) != 2)
		return false;
	set_pointer(type, TYPE_BASE, python_more.function_type);
	set_pointer(type, TYPE_BASES, bases);
	set_pointer(type, TYPE_MRO, mro);
	return true;
}

/* The copy of the type "function"; NULL: it cannot be made. What was allocated for it then stays, once. */
static void *own_type(void)
{
	static bool tried, made;
	uintptr_t flags;

	if (tried)
		return made ? copy : NULL;
	tried = true;
	memcpy(copy, python_more.function_type, sizeof(copy));
	flags = (uintptr_t)get_pointer(copy, PYTHON_TYPE_FLAGS); /* unsigned long, of a pointer's size */
	set_pointer(copy, PYTHON_TYPE_FLAGS, (void *)(flags & ~FLAG_VALID_VERSION_TAG));
	memset(field(copy, TYPE_VERSION_TAG), 0, sizeof(uint32_t));
	set_pointer(copy, TYPE_CACHE, NULL);
	set_pointer(copy, TYPE_SUBCLASSES, NULL);
	set_pointer(copy, TYPE_WEAKREFS, NULL);
	made = strcmp(get_pointer(copy, PYTHON_TYPE_NAME), "function") == 0 && give_dict(copy) && give_ancestors(copy);
	if (!made)
		python.PyErr_Clear();
	return made ? copy : NULL;
}

/* ---- hooking ---- */

/* The pointer that all plain functions share, learnt from the first that is hooked. */
static bool is_plain(void *function)
{
	python_vectorcall now = (python_vectorcall)get_pointer(function, vectorcall_offset());

	if (!plain)
		plain = now;
	return now && now == plain;
}

bool python_function_hook(void *function, python_vectorcall hook)
{
	ptrdiff_t offset = vectorcall_offset();
	bool by_type = python.version == 0x30b;

	if (offset < 64 || offset > 256 || python_type(function) != python_more.function_type || !is_plain(function))
		return false;
	if (by_type && !own_type())
		return false;
	/* From 3.12 on, specialised calls know a function by its version. */
	if (python.version >= 0x30c && !python_more.PyFunction_SetVectorcall)
		return false;
	if (python.version >= 0x30c)
		python_more.PyFunction_SetVectorcall(function, (void *)hook);
	else
		set_pointer(function, offset, (void *)hook);
	if (by_type)
		set_pointer(function, OBJECT_TYPE, copy);
	return true;
}

bool python_hook_method(void *class, const char *name, python_vectorcall hook)
{
	void *function = python.PyObject_GetAttrString(class, name);
	bool done = function && python_function_hook(function, hook);

	if (function)
		python.Py_DecRef(function);
	else
		python.PyErr_Clear();
	return done;
}
