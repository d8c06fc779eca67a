/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GLib's main loop, where it is a shared library. What an idle source, a timeout or an invocation runs is for whoever added it, the first
 * time; and what one source's callback reads, no other one's has: each dispatch is a window of its own.
 *
 * GLib tells when a source's callback is run to whoever brings its own functions for the callback's data, as bindings do: it is
 * referenced, asked for the callback, and let go of. Everything that looks for a callback or its data finds the program's own.
 *
 * An idle source may also be a pump, added by one of those for whom it works then, while the others find it added. So what it
 * was added for is believed once such callbacks have often enough answered that request, and never another one.
 */
#include <stdatomic.h>
#include <stdint.h>

#include "hooks/runtimes/library.h"
#include "shim/carrier.h"
#include "shim/guard.h"
#include "shim/pool.h"
#include "shim/runtime.h"
#include "shim/stats.h"
#include "shim/thread.h"

#define ITEMS 16384u
#define FUNCTIONS 256u /* callbacks of which is known how far to trust them */

typedef int source_function(void *data);
typedef void notify_function(void *data);

/* GSourceCallbackFuncs */
struct callback_functions {
	void (*ref)(void *item);
	void (*unref)(void *item);
	void (*get)(void *item, void *source, source_function **ret_function, void **ret_data);
};

enum { SET_CALLBACK, SET_INDIRECT, IDLE_NEW, TIMEOUT_NEW, SET_PRIORITY, ATTACH, UNREF, INVOKE, IDLE_FUNCTIONS, TIMEOUT_FUNCTIONS, N_FOUND };
static const char *const names[N_FOUND] = {
	"g_source_set_callback", "g_source_set_callback_indirect", "g_idle_source_new", "g_timeout_source_new",
	"g_source_set_priority", "g_source_attach", "g_source_unref", "g_main_context_invoke_full",
	"g_idle_funcs", "g_timeout_funcs",
};
static void *found[N_FOUND]; /* written before a slot is patched */

#define GLIB(i, type) ((type)(found[i]))
#define PRIORITY_DEFAULT 0
#define PRIORITY_DEFAULT_IDLE 200

/* ---- callbacks ---- */

/* Of the thread that dispatches it, from ref to unref; else of whoever holds its source. */
struct item {
	_Atomic uint32_t references;
	_Atomic(const struct thread *) dispatcher;
	source_function *function;
	void *data;
	notify_function *notify;
	bool labelled, begun;
	struct label label;
	struct carrier_proof *proof;
	struct carrier_saved saved;
};

static struct pool items;

static struct function {
	_Atomic(source_function *) function;
	struct carrier_proof proof;
} functions[FUNCTIONS];

/* NULL: no room, and its label is never believed. */
static struct carrier_proof *proof_of(source_function *function)
{
	for (uint32_t probe = 0; probe < FUNCTIONS; probe++) {
		struct function *f = &functions[((uint32_t)((uintptr_t)function >> 4) + probe) % FUNCTIONS];
		source_function *none = NULL;

		if (atomic_compare_exchange_strong(&f->function, &none, function) || none == function)
			return &f->proof;
	}
	return NULL;
}

static void begin(struct item *item)
{
	struct thread *t = thread_self();

	if (item->labelled)
		carrier_begin_unproven(t, &item->label, item->proof, &item->saved);
	else
		thread_window_part(t);
	item->begun = true;
}

/* The first run is over: what it does in further ones is anybody's. */
static void end(struct item *item)
{
	if (item->labelled)
		carrier_end(thread_self(), &item->saved);
	item->labelled = false;
	item->begun = false;
}

static void item_ref(void *arg)
{
	struct item *item = arg;

	atomic_fetch_add(&item->references, 1);
	atomic_store(&item->dispatcher, thread_self());
}

static void item_get(void *arg, void *source, source_function **ret_function, void **ret_data)
{
	struct item *item = arg;

	(void)source;
	*ret_function = item->function;
	*ret_data = item->data;
	if (atomic_load(&item->dispatcher) == thread_self() && !item->begun)
		OBSERVE(begin(item));
}

static void item_unref(void *arg)
{
	struct item *item = arg;

	if (atomic_load(&item->dispatcher) == thread_self()) {
		if (item->begun)
			OBSERVE(end(item));
		atomic_store(&item->dispatcher, NULL);
	}
	if (atomic_fetch_sub(&item->references, 1) != 1)
		return;

	notify_function *notify = item->notify;
	void *data = item->data;

	pool_give(&items, pool_slot(item));
	if (notify)
		notify(data);
}

static const struct callback_functions item_functions = {item_ref, item_unref, item_get};

static void prepare(source_function *function, void *data, notify_function *notify, bool deferred, struct item **ret)
{
	uint32_t slot = pool_take(&items);
	struct item *item;

	if (!slot) {
		stats_count(STAT_WORK_ITEMS_UNTRACKED);
		return;
	}
	item = pool_at(&items, slot);
	*item = (struct item){.references = 1, .function = function, .data = data, .notify = notify};
	item->proof = deferred ? proof_of(function) : NULL;
	item->labelled = item->proof != NULL;
	if (item->labelled)
		carrier_capture_queued(thread_self(), &item->label);
	*ret = item;
}

/* The functions of a source are its third word. */
static bool is_deferred(const void *source)
{
	const void *of_source = ((void *const *)source)[2];

	return of_source == found[IDLE_FUNCTIONS] || of_source == found[TIMEOUT_FUNCTIONS];
}

static void hook_set_callback(void *source, source_function *function, void *data, notify_function *notify)
{
	struct item *item = NULL;

	if (source && function)
		OBSERVE(prepare(function, data, notify, is_deferred(source), &item));
	if (item)
		GLIB(SET_INDIRECT, void (*)(void *, void *, const void *))(source, item, &item_functions);
	else
		GLIB(SET_CALLBACK, void (*)(void *, source_function *, void *, notify_function *))(source, function, data, notify);
}

/* ---- GLib's shorter ways to the same, which do not pass the slots ---- */

static unsigned attach(void *source, void *context, int priority, source_function *function, void *data, notify_function *notify)
{
	unsigned id;

	GLIB(SET_PRIORITY, void (*)(void *, int))(source, priority);
	hook_set_callback(source, function, data, notify);
	id = GLIB(ATTACH, unsigned (*)(void *, void *))(source, context);
	GLIB(UNREF, void (*)(void *))(source);
	return id;
}

static unsigned hook_idle_add_full(int priority, source_function *function, void *data, notify_function *notify)
{
	return attach(GLIB(IDLE_NEW, void *(*)(void))(), NULL, priority, function, data, notify);
}

static unsigned hook_idle_add(source_function *function, void *data)
{
	return hook_idle_add_full(PRIORITY_DEFAULT_IDLE, function, data, NULL);
}

static unsigned hook_timeout_add_full(int priority, unsigned interval, source_function *function, void *data, notify_function *notify)
{
	return attach(GLIB(TIMEOUT_NEW, void *(*)(unsigned))(interval), NULL, priority, function, data, notify);
}

static unsigned hook_timeout_add(unsigned interval, source_function *function, void *data)
{
	return hook_timeout_add_full(PRIORITY_DEFAULT, interval, function, data, NULL);
}

/* An invocation may run at once, or by a source that GLib makes within: it is given another function and data. */

static int run_invoked(void *arg)
{
	struct item *item = arg;
	int again;

	if (!item->begun)
		OBSERVE(begin(item));
	again = item->function(item->data);
	if (item->begun)
		OBSERVE(end(item));
	return again;
}

static void invoked(void *arg)
{
	item_unref(arg);
}

static void hook_invoke_full(void *context, int priority, source_function *function, void *data, notify_function *notify)
{
	void (*real_function)(void *, int, source_function *, void *, notify_function *);
	struct item *item = NULL;

	real_function = GLIB(INVOKE, void (*)(void *, int, source_function *, void *, notify_function *));
	if (function)
		OBSERVE(prepare(function, data, notify, true, &item));
	if (item)
		real_function(context, priority, run_invoked, item, invoked);
	else
		real_function(context, priority, function, data, notify);
}

static void hook_invoke(void *context, source_function *function, void *data)
{
	hook_invoke_full(context, PRIORITY_DEFAULT, function, data, NULL);
}

/* ---- finding it ---- */

static void look(void)
{
	static const struct {
		const char *name;
		void *hook;
	} hooks[] = {
		{"g_source_set_callback", (void *)hook_set_callback}, {"g_idle_add", (void *)hook_idle_add},
		{"g_idle_add_full", (void *)hook_idle_add_full},      {"g_timeout_add", (void *)hook_timeout_add},
		{"g_timeout_add_full", (void *)hook_timeout_add_full}, {"g_main_context_invoke", (void *)hook_invoke},
		{"g_main_context_invoke_full", (void *)hook_invoke_full},
	};
	enum { N = sizeof(hooks) / sizeof(hooks[0]) };
	static struct got_patch patches[N];
	static bool ready;

	if (!ready && library_find("libglib-2.0.so", names, found, N_FOUND)) {
		const char *hooked[N];
		void *reals[N];

		for (unsigned i = 0; i < N; i++)
			hooked[i] = hooks[i].name;
		ready = pool_start(&items, sizeof(struct item), ITEMS) == 0 && library_find("libglib-2.0.so", hooked, reals, N);
		for (unsigned i = 0; ready && i < N; i++)
			patches[i] = (struct got_patch){hooks[i].name, reals[i], hooks[i].hook};
	}
	if (ready)
		library_patch(patches, N);
}

const struct runtime runtime_glib = {
	.name = "GLib",
	.announces = true, /* it is asked nothing else */
	.modules_loaded = look,
};
