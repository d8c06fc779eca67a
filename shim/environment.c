/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program that this one starts gets in its environment: the current context as TRACEPARENT, TRACESTATE and BAGGAGE, and the
 * preload as INTERSPAN_FOLLOW says, unless it cannot be loaded there. The program's own array is never written to.
 */
#include "shim/environment.h"

#include <errno.h>
#include <string.h>

#include "shim/config.h"
#include "shim/conn.h"
#include "shim/engine.h"
#include "shim/exchange.h"
#include "shim/loadable.h"
#include "shim/process.h"
#include "shim/protocols/tracecontext.h"
#include "shim/rules.h"
#include "shim/self.h"
#include "shim/thread.h"

#define ENTRIES_ADDED 8

struct writer {
	struct exec_scratch *scratch;
	size_t n, used;
};

static bool names(const char *entry, const char *name)
{
	size_t len = strlen(name);

	return strncmp(entry, name, len) == 0 && entry[len] == '=';
}

static void add_entry(struct writer *w, const char *name, const void *value, size_t len)
{
	size_t name_len = strlen(name);
	char *at = w->scratch->text + w->used;

	if (w->used + name_len + len + 2 > sizeof(w->scratch->text))
		return;
	memcpy(at, name, name_len);
	at[name_len] = '=';
	memcpy(at + name_len + 1, value, len);
	at[name_len + 1 + len] = '\0';
	w->used += name_len + len + 2;
	w->scratch->envp[w->n++] = at;
}

/* The preload list without us. False: too long for us; then it stays as it is, since others are in it. */
static bool add_preload_without_us(struct writer *w, const char *list)
{
	char kept[1024];
	size_t n = 0;

	while (*list) {
		size_t len = strcspn(list, " :");

		if (len > 0 && !self_is_path(list, len)) {
			if (n + len + 1 >= sizeof(kept))
				return false;
			memcpy(kept + n, list, len);
			n += len;
			kept[n++] = ':';
		}
		list += len + (list[len] != '\0');
	}
	if (n > 0)
		add_entry(w, "LD_PRELOAD", kept, n - 1);
	return true;
}

static void add_context(struct writer *w, const struct context *c)
{
	uint8_t text[TRACEPARENT_LEN];
	const struct exchange *e = exchange_of(c->exchange);

	traceparent_format(text, c->trace_id, c->span_id, c->flags);
	add_entry(w, "TRACEPARENT", text, sizeof(text));
	if (e && e->tracestate_len)
		add_entry(w, "TRACESTATE", e->tracestate, e->tracestate_len);
	if (e && e->baggage_len)
		add_entry(w, "BAGGAGE", e->baggage, e->baggage_len);
}

static bool is_context(const char *entry)
{
	return names(entry, "TRACEPARENT") || names(entry, "TRACESTATE") || names(entry, "BAGGAGE");
}

static size_t count(char *const *envp)
{
	size_t n = 0;

	while (envp && envp[n])
		n++;
	return n;
}

static bool lists_us(const char *list)
{
	while (*list) {
		size_t len = strcspn(list, " :");

		if (self_is_path(list, len))
			return true;
		list += len + (list[len] != '\0');
	}
	return false;
}

static bool preloads_us(char *const *envp)
{
	for (; envp && *envp; envp++)
		if (names(*envp, "LD_PRELOAD"))
			return lists_us(strchr(*envp, '=') + 1);
	return false;
}

enum preload { PRELOAD_STAYS, PRELOAD_DROPPED, PRELOAD_ADDED };

static enum preload preload_for(const char *program, char *const *envp)
{
	bool there = preloads_us(envp);

	if (config_is(config.follow, "none"))
		return there ? PRELOAD_DROPPED : PRELOAD_STAYS;
	if (!there && (!config_is(config.follow, "all") || !*self_path()))
		return PRELOAD_STAYS;
	if (!loadable_by(program))
		return there ? PRELOAD_DROPPED : PRELOAD_STAYS;
	return there ? PRELOAD_STAYS : PRELOAD_ADDED;
}

/* current: NULL where it is not known; then, if stale, the one in the environment is not its either. */
static char *const *rebuild(char *const *envp, struct exec_scratch *scratch, const struct context *current, bool stale,
			    enum preload preload)
{
	struct writer w = {.scratch = scratch};
	bool has_preload = false;

	for (; envp && *envp; envp++) {
		if ((current || stale) && is_context(*envp))
			continue;
		if (names(*envp, "LD_PRELOAD")) {
			has_preload = true;
			if (preload == PRELOAD_DROPPED && add_preload_without_us(&w, strchr(*envp, '=') + 1))
				continue;
		}
		scratch->envp[w.n++] = *envp;
	}
	if (!has_preload && preload == PRELOAD_ADDED)
		add_entry(&w, "LD_PRELOAD", self_path(), strlen(self_path()));
	if (current)
		add_context(&w, current);
	scratch->envp[w.n] = NULL;
	return scratch->envp;
}

/* What this child was forked for; as long as it has neither waited for anything nor read a request since. */
static struct {
	bool is_known;
	uint32_t window;
	struct handle sync;
	struct context context;
} forked;

void environment_forked(struct thread *t)
{
	forked.window = t->window.seq;
	forked.sync = t->sync;
	forked.is_known = exchange_open_count() > 0 && rules_current(t, &forked.context);
}

static bool forked_for(const struct thread *t, struct context *ret)
{
	if (!forked.is_known || t->window.seq != forked.window || !handle_equal(t->sync, forked.sync))
		return false;
	*ret = forked.context;
	return true;
}

void engine_executing(void)
{
	if (guard_is_on() && exchange_open_count() > 0 && !thread_is_borrowed())
		OBSERVE(conn_release_shared());
}

char *const *engine_exec_environment(const char *path, char *const *envp, struct exec_scratch *scratch)
{
	struct context current;
	enum preload preload;
	bool known;
	int errno_saved = errno;

	if (!guard_enter())
		return envp;
	known = rules_current(thread_self(), &current) || forked_for(thread_self(), &current);
	preload = preload_for(path, envp);
	if (known || process_is_anybodys() || preload != PRELOAD_STAYS) {
		if (!scratch)
			envp = NULL;
		else if (count(envp) + ENTRIES_ADDED <= scratch->envp_max)
			envp = rebuild(envp, scratch, known ? &current : NULL, process_is_anybodys(), preload);
	}
	errno = errno_saved;
	guard_leave();
	return envp;
}
