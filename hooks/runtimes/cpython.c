/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding an interpreter in the process, and measuring what its headers would tell. All that is assumed of private layout is
 * checked here first; where anything differs, the adapter stays off and says so once.
 */
#include "hooks/runtimes/cpython.h"

#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <string.h>

#include "hooks/runtimes/cpython_internal.h"
#include "shim/got.h"
#include "shim/log.h"
#include "shim/real.h"
#include "shim/runtime.h"

enum state { NOT_FOUND, FOUND, READY, UNUSABLE };

#define OLDEST 0x308
#define NEWEST 0x30e
#define STATE_BYTES 256 /* of a thread state that are searched; no supported version has a smaller one */

/* Slots of a type object, and fields of a method descriptor, in builds with the GIL. */
#define TYPE_NAME 24
#define DESCRIPTOR_METHOD 40

struct python python;
static _Atomic int state;
static _Atomic bool settling;

static int current_state(void)
{
	return atomic_load_explicit(&state, memory_order_acquire);
}

bool cpython_is_ready(void)
{
	return current_state() == READY;
}

/* ---- finding it ---- */

struct search {
	const char *name;
	void *found;
};

static int search_in(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *s = arg;

	(void)size;
	s->found = real_find_in(info, s->name);
	return s->found != NULL;
}

void *cpython_symbol(const char *name)
{
	struct search s = {.name = name};

	(void)dl_iterate_phdr(search_in, &s);
	return s.found;
}

/* All of the API, or nothing. */
static bool find_api(void)
{
	void *unchecked;

#define PYTHON(name, result, arguments)                                                                                \
	python.name = (result(*) arguments)cpython_symbol(#name);                                                      \
	if (!python.name)                                                                                              \
		return false;
	PYTHON_API
#undef PYTHON
	unchecked = cpython_symbol("PyThreadState_GetUnchecked");
	if (!unchecked)
		unchecked = cpython_symbol("_PyThreadState_UncheckedGet");
	python.current_thread_state = (void *(*)(void))unchecked;
	python.context_type = cpython_symbol("PyContext_Type");
	return unchecked && python.context_type;
}

static void unusable(const char *why)
{
	atomic_store_explicit(&state, UNUSABLE, memory_order_release);
	log_line(LOG_WARN, "python: %s; its tasks are not told apart", why);
}

static void look_for_python(void)
{
	int none = NOT_FOUND;

	if (!cpython_symbol("PyContext_CopyCurrent"))
		return; /* none, or one before 3.7 */
	if (!find_api())
		return;
	runtime_found();
	if (atomic_compare_exchange_strong(&state, &none, FOUND))
		log_line(LOG_DEBUG, "python: found");
}

/* ---- measuring ---- */

bool cpython_holds_gil(void)
{
	void *current, *mine;

	if (current_state() == NOT_FOUND || !python.Py_IsInitialized())
		return false;
	/* Before 3.12 the first is whoever holds the GIL, later whoever this thread runs as: ours in both only if we hold it. */
	current = python.current_thread_state();
	mine = python.PyGILState_GetThisThreadState();
	return current && current == mine;
}

static unsigned parse_version(const char *text)
{
	unsigned major = 0, minor = 0;

	while (*text >= '0' && *text <= '9')
		major = major * 10 + (unsigned)(*text++ - '0');
	if (*text == '.')
		text++;
	while (*text >= '0' && *text <= '9')
		minor = minor * 10 + (unsigned)(*text++ - '0');
	return major << 8 | (minor & 0xff);
}

/* Where in the thread state is this pointer? Exactly one place, or 0. */
static size_t offset_of(const char *thread_state, const void *pointer)
{
	size_t found = 0;

	for (size_t at = sizeof(void *); at + sizeof(void *) <= STATE_BYTES; at += sizeof(void *)) {
		if (memcmp(thread_state + at, &pointer, sizeof(pointer)) != 0)
			continue;
		if (found)
			return 0;
		found = at;
	}
	return found;
}

static size_t offset_of_entered(void)
{
	void *context = python.PyContext_New();
	size_t found = 0;

	if (context && python.PyContext_Enter(context) == 0) {
		found = offset_of(python.current_thread_state(), context);
		(void)python.PyContext_Exit(context);
	}
	if (context)
		python.Py_DecRef(context);
	return found;
}

static bool measure_offset(void)
{
	size_t first = offset_of_entered();

	python.context_offset = first;
	return first && offset_of_entered() == first;
}

static bool type_is_as_known(void)
{
	const char *name, *dot;

	memcpy(&name, python.context_type + TYPE_NAME, sizeof(name));
	if (!got_is_writable(python.context_type) || !got_is_readable(name))
		return false;
	dot = strrchr(name, '.');
	return strcmp(dot ? dot + 1 : name, "Context") == 0;
}

/* Modules that are part of the interpreter have no slots of their own to lead through us. */
static bool has_asyncio_built_in(void)
{
	struct builtin {
		const char *name;
		void *start;
	} *const *table = cpython_symbol("PyImport_Inittab");

	for (const struct builtin *b = table ? *table : NULL; b && b->name; b++)
		if (strcmp(b->name, "_asyncio") == 0 || strcmp(b->name, "_contextvars") == 0)
			return true;
	return table == NULL;
}

static void measure_and_patch(void)
{
	const char *text = python.Py_GetVersion();

	python.version = parse_version(text);
	if (python.version < OLDEST || python.version > NEWEST || strstr(text, "free-threading"))
		unusable("a version that is not known");
	else if (!type_is_as_known() || !measure_offset())
		unusable("its layout is not known");
	else if (has_asyncio_built_in())
		unusable("asyncio is built into it");
	else if (!cpython_contexts_patch())
		unusable("its Context cannot be followed");
	else
		atomic_store_explicit(&state, READY, memory_order_release);
}

void cpython_settle(void)
{
	if (current_state() != FOUND || atomic_exchange(&settling, true))
		return;
	measure_and_patch();
}

/* ---- patching ---- */

/* The beginning of a PyMethodDef. */
struct method {
	const char *name;
	void *function;
	int flags;
};

bool cpython_patch_method(void *descriptor, const char *name, int flags, void *hook, void **ret_real)
{
	struct method *m;
	void *found;

	memcpy(&found, (char *)descriptor + DESCRIPTOR_METHOD, sizeof(found));
	m = found;
	if (!got_is_writable(m) || !got_is_readable(m->name) || strcmp(m->name, name) != 0 || m->flags != flags)
		return false;
	*ret_real = m->function;
	atomic_store_explicit((_Atomic(void *) *)&m->function, hook, memory_order_release);
	return true;
}

bool cpython_patch_slot(char *type, size_t offset, void *hook, void **ret_real)
{
	if (!got_is_writable(type + offset))
		return false;
	memcpy(ret_real, type + offset, sizeof(*ret_real));
	atomic_store_explicit((_Atomic(void *) *)(void *)(type + offset), hook, memory_order_release);
	return true;
}

void *cpython_context(void)
{
	void *thread_state = python.PyGILState_GetThisThreadState();

	return thread_state ? cpython_context_of(thread_state) : NULL;
}

/* ---- whenever a library may have been loaded ---- */

void cpython_modules_loaded(void)
{
	int errno_saved = errno;

	if (current_state() == NOT_FOUND)
		look_for_python();
	if (current_state() != NOT_FOUND) {
		cpython_modules_patch();
		if (current_state() == FOUND && cpython_holds_gil())
			cpython_settle();
	}
	errno = errno_saved;
}
