/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime.h"

#include <link.h>
#include <string.h>

#include "shim/deep_bind.h"
#include "shim/engine.h"
#include "shim/thread.h"

static const struct runtime *runtimes[RUNTIMES_MAX]; /* written before the shim is on */
static unsigned n_runtimes;

_Atomic bool runtime_is_here;

void runtime_found(void)
{
	atomic_store_explicit(&runtime_is_here, true, memory_order_release);
}

void runtime_register(const struct runtime *runtime)
{
	if (n_runtimes < RUNTIMES_MAX)
		runtimes[n_runtimes++] = runtime;
	if (!runtime->announces)
		runtime_found();
}

enum runtime_answer runtime_ask_current(struct thread *t, struct label *ret)
{
	for (unsigned i = 0; i < n_runtimes; i++) {
		enum runtime_answer answer = runtimes[i]->current ? runtimes[i]->current(t, ret) : RUNTIME_ABSENT;

		if (answer != RUNTIME_ABSENT)
			return answer;
	}
	return RUNTIME_ABSENT;
}

void runtime_adopt(struct thread *t, const struct label *label)
{
	struct label unused;

	for (unsigned i = 0; i < n_runtimes; i++) {
		if (!runtimes[i]->current || runtimes[i]->current(t, &unused) == RUNTIME_ABSENT)
			continue;
		if (runtimes[i]->adopt)
			runtimes[i]->adopt(t, label);
		return;
	}
}

void runtime_adopt_as(const void *task, const struct label *was, const struct label *label)
{
	for (unsigned i = 0; i < n_runtimes; i++)
		if (runtimes[i]->adopt_as)
			runtimes[i]->adopt_as(task, was, label);
}

void runtime_thread_making(struct thread *t)
{
	for (unsigned i = 0; i < n_runtimes && runtime_may_be_here(); i++)
		if (runtimes[i]->thread_making)
			runtimes[i]->thread_making(t);
}

bool runtime_owns_thread(void)
{
	for (unsigned i = 0; i < n_runtimes; i++)
		if (runtimes[i]->owns_thread && runtimes[i]->owns_thread())
			return true;
	return false;
}

void runtime_accepted(struct thread *t, struct handle connection)
{
	for (unsigned i = 0; i < n_runtimes; i++)
		if (runtimes[i]->accepted)
			runtimes[i]->accepted(t, connection);
}

void runtime_ask_received(struct thread *t, struct conn *c)
{
	for (unsigned i = 0; i < n_runtimes; i++)
		if (runtimes[i]->received)
			runtimes[i]->received(t, c);
}

void runtime_ask_requested(struct thread *t, struct conn *c, const struct context *context)
{
	for (unsigned i = 0; i < n_runtimes; i++)
		if (runtimes[i]->requested)
			runtimes[i]->requested(t, c, context);
}

void runtime_ask_answered(struct thread *t, const struct exchange *e)
{
	for (unsigned i = 0; i < n_runtimes; i++)
		if (runtimes[i]->answered)
			runtimes[i]->answered(t, e);
}

void runtime_place(struct runtime_place *ret)
{
	*ret = (struct runtime_place){0};
	for (unsigned i = 0; i < n_runtimes && !ret->place; i++)
		if (runtimes[i]->place && runtimes[i]->glimpse)
			*ret = (struct runtime_place){runtimes[i], runtimes[i]->place()};
}

enum runtime_answer runtime_glimpse(const struct runtime_place *place, struct label *ret)
{
	return place->place ? place->runtime->glimpse(place->place, ret) : RUNTIME_ABSENT;
}

void runtime_peer_asked(struct thread *t, struct handle connection)
{
	for (unsigned i = 0; i < n_runtimes; i++)
		if (runtimes[i]->peer_asked)
			runtimes[i]->peer_asked(t, connection);
}

void runtime_state_asked(struct thread *t, struct handle connection)
{
	for (unsigned i = 0; i < n_runtimes; i++)
		if (runtimes[i]->state_asked)
			runtimes[i]->state_asked(t, connection);
}

void runtime_ask_answers(struct thread *t, const struct exchange *e)
{
	for (unsigned i = 0; i < n_runtimes; i++)
		if (runtimes[i]->answers)
			runtimes[i]->answers(t, e);
}

void runtime_forked(void)
{
	for (unsigned i = 0; i < n_runtimes; i++)
		if (runtimes[i]->forked)
			runtimes[i]->forked();
}

/* ---- runtimes without an adapter that park threads where we cannot see it: rule 5 is off in their processes ---- */

static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
	static const char *const names[] = {"libjvm.so", "libcoreclr.so", "libmonosgen-2.0.so"};
	const char *slash = info->dlpi_name ? strrchr(info->dlpi_name, '/') : NULL;
	const char *name = slash ? slash + 1 : info->dlpi_name;

	(void)size;
	for (size_t i = 0; name && i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(name, names[i], strlen(names[i])) == 0)
			*(bool *)arg = true;
	return 0;
}

void engine_module_loaded(void)
{
	bool found = false;

	deep_bind_patch();
	(void)dl_iterate_phdr(look, &found);
	if (found)
		thread_classes_distrust();
	for (unsigned i = 0; i < n_runtimes; i++)
		if (runtimes[i]->modules_loaded)
			runtimes[i]->modules_loaded();
}
