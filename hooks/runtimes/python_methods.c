/* SPDX-License-Identifier: Apache-2.0 */
/* Classes that are written in C, queues and gevent's events: their methods' own definitions say what is called. */
#include "hooks/runtimes/python_api.h"
#include "hooks/runtimes/python_queue.h"
#include "hooks/runtimes/python_threads.h"

/* Ways to be called, as flags of a method. */
#define BY_TUPLE 0x3
#define BY_NOTHING 0x4
#define BY_OBJECT 0x8
#define BY_ARRAY 0x82
#define BY_ARRAY_OF_CLASS 0x282

typedef void *(*by_tuple)(void *self, void *args, void *keywords);
typedef void *(*by_object)(void *self, void *object);
typedef void *(*by_array)(void *self, void *const *args, ssize_t nargs, void *names);
typedef void *(*by_array_of_class)(void *self, void *class, void *const *args, ssize_t nargs, void *names);

enum does { GETS, LOOKS, PUTS, WAITS, WAKES };

struct method {
	const char *module, *class, *name;
	enum does does;
	void *real;
	bool done;
};

static struct method methods[] = {
	{"_queue", "SimpleQueue", "put", PUTS, NULL, false},
	{"_queue", "SimpleQueue", "put_nowait", PUTS, NULL, false},
	{"_queue", "SimpleQueue", "get", GETS, NULL, false},
	{"_queue", "SimpleQueue", "get_nowait", LOOKS, NULL, false},
	{"gevent._gevent_cqueue", "Queue", "put", PUTS, NULL, false},
	{"gevent._gevent_cqueue", "Queue", "put_nowait", PUTS, NULL, false},
	{"gevent._gevent_cqueue", "Queue", "get", GETS, NULL, false},
	{"gevent._gevent_cqueue", "Queue", "get_nowait", LOOKS, NULL, false},
	{"gevent._gevent_cqueue", "UnboundQueue", "put", PUTS, NULL, false},
	{"gevent._gevent_cevent", "Event", "set", WAKES, NULL, false},
	{"gevent._gevent_cevent", "Event", "wait", WAITS, NULL, false},
};

#define METHODS (sizeof(methods) / sizeof(methods[0]))

/* ---- what all ways share ---- */

static void *before(const struct method *m, void *self, void *item)
{
	if (m->does == PUTS && item)
		python_item_putting(self, item);
	else if (m->does == WAKES)
		python_waking(self);
	return m->does == WAITS ? python_waiting(self) : item;
}

static void *after(const struct method *m, void *self, void *what, bool looks_only, void *r)
{
	if (m->does == PUTS && what && !r)
		python_item_not_put(self, what);
	else if (m->does == GETS || m->does == LOOKS)
		python_item_fetched(self, r, looks_only || m->does == LOOKS);
	else if (m->does == WAITS)
		python_waited(what, r != python_more.no);
	return r;
}

static const char *parameter(const struct method *m)
{
	return m->does == PUTS ? "item" : "block";
}

static void *of_tuple(void *args, void *keywords, const char *name)
{
	if (args && python_more.PyTuple_Size(args) > 0)
		return python_more.PyTuple_GetItem(args, 0);
	return keywords ? python.PyDict_GetItemString(keywords, name) : NULL;
}

static void *call_tuple(const struct method *m, void *self, void *args, void *keywords)
{
	void *first = of_tuple(args, keywords, parameter(m));
	void *what = before(m, self, first);

	return after(m, self, what, first == python_more.no, ((by_tuple)m->real)(self, args, keywords));
}

static void *call_object(const struct method *m, void *self, void *object)
{
	void *what = before(m, self, object);

	return after(m, self, what, false, ((by_object)m->real)(self, object));
}

static void *call_array(const struct method *m, void *self, void *const *args, ssize_t nargs, void *names)
{
	void *first = python_argument(args, (size_t)nargs, names, 0, parameter(m));
	void *what = before(m, self, first);

	return after(m, self, what, first == python_more.no, ((by_array)m->real)(self, args, nargs, names));
}

static void *call_array_of_class(const struct method *m, void *self, void *class, void *const *args, ssize_t nargs, void *names)
{
	void *first = python_argument(args, (size_t)nargs, names, 0, parameter(m));
	void *what = before(m, self, first);

	return after(m, self, what, first == python_more.no, ((by_array_of_class)m->real)(self, class, args, nargs, names));
}

/* ---- a function for each method and way: a method is not told its own definition ---- */

#define WAYS(i)                                                                                                        \
	static void *tuple_##i(void *self, void *args, void *keywords)                                                 \
	{                                                                                                              \
		return call_tuple(&methods[i], self, args, keywords);                                                  \
	}                                                                                                              \
	static void *object_##i(void *self, void *object)                                                              \
	{                                                                                                              \
		return call_object(&methods[i], self, object);                                                         \
	}                                                                                                              \
	static void *array_##i(void *self, void *const *args, ssize_t nargs, void *names)                              \
	{                                                                                                              \
		return call_array(&methods[i], self, args, nargs, names);                                              \
	}                                                                                                              \
	static void *array_of_class_##i(void *self, void *class, void *const *args, ssize_t nargs, void *names)        \
	{                                                                                                              \
		return call_array_of_class(&methods[i], self, class, args, nargs, names);                              \
	}
#define EACH(do) do(0) do(1) do(2) do(3) do(4) do(5) do(6) do(7) do(8) do(9) do(10)

EACH(WAYS)

static const struct {
	void *tuple, *object, *array, *array_of_class;
} ways[METHODS] = {
#define ROW(i) {(void *)tuple_##i, (void *)object_##i, (void *)array_##i, (void *)array_of_class_##i},
	EACH(ROW)
};

/* ---- patching ---- */

/* A method of Cython's holds its definition where a function written in C does, not where a method does. */
#define METHOD_DEFINITION 40
#define FUNCTION_DEFINITION 16

static bool patch_way(unsigned i, void *found, int flags, void *hook)
{
	const char *type = python_type_name(found);

	if (strcmp(type, "cython_function_or_method") == 0)
		found = (char *)found + FUNCTION_DEFINITION - METHOD_DEFINITION;
	else if (strcmp(type, "method_descriptor") != 0)
		return false;
	return cpython_patch_method(found, methods[i].name, flags, hook, &methods[i].real);
}

static void patch_method(unsigned i)
{
	struct method *m = &methods[i];
	void *class = python_of_module(m->module, m->class);
	void *found = class ? python.PyObject_GetAttrString(class, m->name) : NULL;

	if (!class)
		return;
	m->done = true;
	if (!found) {
		python.PyErr_Clear();
		return;
	}
	(void)(patch_way(i, found, BY_ARRAY, ways[i].array) || patch_way(i, found, BY_ARRAY_OF_CLASS, ways[i].array_of_class) ||
	       patch_way(i, found, BY_TUPLE, ways[i].tuple) || patch_way(i, found, BY_OBJECT, ways[i].object) ||
	       patch_way(i, found, BY_NOTHING, ways[i].object));
	python.Py_DecRef(found);
}

static void (*simple_dealloc)(void *);

static void hook_dealloc(void *self)
{
	python_queue_ended(self);
	simple_dealloc(self);
}

static void *(*event_new)(void *type, void *arguments, void *keywords);

static void *hook_event_new(void *type, void *arguments, void *keywords)
{
	void *event = event_new(type, arguments, keywords);

	if (event)
		python_made(event);
	return event;
}

static void patch_events(void)
{
	static bool done;
	char *event = done ? NULL : python_of_module("gevent._gevent_cevent", "Event");

	done = done || event;
	if (event)
		(void)python_patch_slot(event, PYTHON_TYPE_NEW, (void *)hook_event_new, (void **)&event_new);
}

void python_methods_patch(void)
{
	char *simple = methods[0].done ? NULL : python_of_module("_queue", "SimpleQueue");

	if (simple)
		(void)python_patch_slot(simple, PYTHON_TYPE_DEALLOC, (void *)hook_dealloc, (void **)&simple_dealloc);
	patch_events();
	for (unsigned i = 0; i < METHODS; i++)
		if (!methods[i].done)
			patch_method(i);
}
