/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels of Contexts, and how they are handed on. asyncio copies the current Context for every task and callback that it makes, so
 * the copy's label is the maker's. Contexts are made and freed all the time, at the same few addresses: a label goes
 * when its Context does.
 */
#include <link.h>

#include "hooks/runtimes/cpython_frame.h"
#include "hooks/runtimes/cpython_internal.h"
#include "hooks/runtimes/label_table.h"
#include "shim/got.h"
#include "shim/guard.h"
#include "shim/stats.h"
#include "shim/thread.h"

#define LABELS 65536u

/* Slots of a type object, in builds with the GIL. */
#define TYPE_DEALLOC 48
#define TYPE_NEW 312
#define METH_NOARGS 0x4
#define METH_FASTCALL_KEYWORDS 0x82

static struct label_table labels;

/* ---- labels ---- */

bool cpython_label_get(const void *context, struct label *ret)
{
	return label_table_get(&labels, context, ret);
}

void cpython_label_set(const void *context, const struct label *label)
{
	struct label before;
	bool known = label_table_get(&labels, context, &before);

	if (!label_table_set(&labels, context, label))
		stats_count(STAT_CONTEXTS_UNTRACKED);
	else if (!known)
		stats_count(STAT_CONTEXTS_LABELLED);
}

bool cpython_labels_are_whole(void)
{
	return label_table_is_whole(&labels);
}

/* ---- making and freeing ---- */

static void copied(void *context)
{
	struct label own, derived;

	if (!cpython_label_current(thread_self(), &own))
		return;
	label_derive(&own, &derived);
	cpython_label_set(context, &derived);
}

static void *hook_copy_current(void)
{
	void *context = python.PyContext_CopyCurrent();

	cpython_settle();
	if (context && cpython_is_ready())
		OBSERVE(copied(context));
	else if (context)
		cpython_runs_untold_loop();
	return context;
}

static void *(*real_copy)(void *self, void *unused);

static void copied_from(const void *from, void *context)
{
	struct label own, derived;

	if (!cpython_label_of(thread_self(), from, &own))
		return;
	label_derive(&own, &derived);
	cpython_label_set(context, &derived);
}

static void *hook_copy(void *self, void *unused)
{
	void *context = real_copy(self, unused);

	if (context)
		OBSERVE(copied_from(self, context));
	return context;
}

static void *(*real_new)(void *type, void *arguments, void *keywords);

/* Context(): the program wants to be apart from everything. */
static void *hook_new(void *type, void *arguments, void *keywords)
{
	void *context = real_new(type, arguments, keywords);

	if (context && cpython_is_ready())
		OBSERVE(cpython_label_set(context, &(struct label){.kind = LABEL_NONE}));
	return context;
}

static void (*real_dealloc)(void *self);

static void freed(const void *context)
{
	if (label_table_drop(&labels, context))
		stats_count(STAT_CONTEXTS_FORGOTTEN);
}

static void hook_dealloc(void *self)
{
	OBSERVE(freed(self));
	real_dealloc(self);
}

/* ---- patching ---- */

static bool patch_method(const char *name, int flags, void *hook, void **ret_real)
{
	void *method = python.PyObject_GetAttrString(python.context_type, name);
	bool done = method && cpython_patch_method(method, name, flags, hook, ret_real);

	if (method)
		python.Py_DecRef(method);
	else
		python.PyErr_Clear();
	return done;
}

bool cpython_contexts_patch(void)
{
	/* The last first: a label must not outlive its Context, whatever else can be patched. */
	return label_table_start(&labels, LABELS) == 0 && cpython_frames_start() &&
	       cpython_patch_slot(python.context_type, TYPE_DEALLOC, (void *)hook_dealloc, (void **)&real_dealloc) &&
	       cpython_patch_slot(python.context_type, TYPE_NEW, (void *)hook_new, (void **)&real_new) &&
	       patch_method("copy", METH_NOARGS, (void *)hook_copy, (void **)&real_copy) &&
	       patch_method("run", METH_FASTCALL_KEYWORDS, (void *)cpython_hook_run, (void **)&cpython_real_run);
}

static int patch_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	const struct got_patch patches[] = {
		{"PyContext_CopyCurrent", (void *)python.PyContext_CopyCurrent, (void *)hook_copy_current},
		{"PyContext_Enter", (void *)python.PyContext_Enter, (void *)cpython_hook_enter},
		{"PyContext_Exit", (void *)python.PyContext_Exit, (void *)cpython_hook_exit},
	};

	(void)size;
	if (!cpython_uvloop_patch(info) || got_patch(info, patches, sizeof(patches) / sizeof(patches[0])) < 0)
		*(bool *)arg = true;
	return 0;
}

void cpython_modules_patch(void)
{
	bool failed = false;

	(void)dl_iterate_phdr(patch_object, &failed);
	if (failed)
		cpython_lineage_is_broken();
}
