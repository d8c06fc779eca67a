/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/runtimes/python_greenlet.h"

#include <link.h>
#include <stdatomic.h>
#include <string.h>

#include "hooks/runtimes/python_api.h"
#include "hooks/runtimes/python_threads.h"
#include "hooks/runtimes/python_worker.h"
#include "shim/got.h"
#include "shim/guard.h"
#include "shim/large_table.h"
#include "shim/pool.h"
#include "shim/process.h"
#include "shim/stats.h"
#include "shim/sys.h"

/* ---- the workers of greenlets ---- */

#define GREENLETS 65536u
#define CHAINS 4096u
#define CHAIN_MOST 1024u /* steps: a chain may change under a thread that follows it without the GIL */

struct greenlet {
	_Atomic(const void *) object;
	_Atomic uint32_t next;
	struct worker worker;
};

static struct pool greenlets;
static _Atomic uint32_t chains[CHAINS] LARGE_TABLE;

static _Atomic uint32_t *chain_of(const void *object)
{
	return &chains[((uintptr_t)object >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 52];
}

/* Others change the chains, but not the place of one that runs on the calling thread: at worst it is not found. */
static struct greenlet *find(const void *object)
{
	uint32_t at = atomic_load_explicit(chain_of(object), memory_order_acquire);

	for (unsigned steps = 0; at && steps < CHAIN_MOST; steps++) {
		struct greenlet *g = pool_at(&greenlets, at);

		if (atomic_load_explicit(&g->object, memory_order_acquire) == object)
			return g;
		at = atomic_load_explicit(&g->next, memory_order_acquire);
	}
	return NULL;
}

static void add(const void *object, const struct label *label)
{
	_Atomic uint32_t *chain = chain_of(object);
	uint32_t slot = pool_take(&greenlets);
	struct greenlet *g = slot ? pool_at(&greenlets, slot) : NULL;

	if (!g)
		return;
	g->worker = (struct worker){.what = WORKER_STARTED, .label = *label, .started = started_now()};
	atomic_store_explicit(&g->next, atomic_load(chain), memory_order_relaxed);
	atomic_store_explicit(&g->object, object, memory_order_release);
	atomic_store_explicit(chain, slot, memory_order_release);
	stats_count(STAT_GREENLETS_LABELLED);
}

static void forget(const void *object)
{
	_Atomic uint32_t *link = chain_of(object);

	for (uint32_t at; (at = atomic_load(link)) != 0;) {
		struct greenlet *g = pool_at(&greenlets, at);

		if (atomic_load(&g->object) == object) {
			atomic_store_explicit(link, atomic_load(&g->next), memory_order_release);
			atomic_store_explicit(&g->object, NULL, memory_order_release);
			pool_give(&greenlets, at);
			stats_count(STAT_GREENLETS_FORGOTTEN);
			return;
		}
		link = &g->next;
	}
}

/* ---- which one runs: measuring ---- */

#define BLOCK_WORDS 8u  /* of the module's thread-local storage that are searched for the pointer to its state of a thread */
#define STATE_WORDS 16u /* of that state that are searched for greenlets */
#define PAGE 4096u

struct places {
	uint16_t of[BLOCK_WORDS]; /* bit per word of the state */
};

static char *type;                          /* of greenlets */
static void *(*get_current)(void);          /* a new reference; GIL */
static struct places first_places;
static const void *first_current;           /* what ran then: the flow of a thread itself */
static _Atomic bool measured;
static size_t block_at, current_at, main_at; /* byte offsets; once measured */
static __thread const char *block __attribute__((tls_model("initial-exec")));
static __thread bool makes_greenlets __attribute__((tls_model("initial-exec")));

struct block_search {
	const char *block;
	size_t bytes;
};

static int search_block(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct block_search *s = arg;
	bool is_it = false;
	size_t bytes = 0;

	if (size < offsetof(struct dl_phdr_info, dlpi_tls_data) + sizeof(info->dlpi_tls_data))
		return 1;
	for (ElfW(Half) i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + p->p_vaddr;

		if (p->p_type == PT_LOAD && (uintptr_t)type >= start && (uintptr_t)type < start + p->p_memsz)
			is_it = true;
		if (p->p_type == PT_TLS)
			bytes = p->p_memsz;
	}
	if (is_it)
		*s = (struct block_search){info->dlpi_tls_data, bytes};
	return is_it;
}

/* A pointer to something that is there? Without a system call this cannot be known. */
static bool is_mapped(uintptr_t address)
{
	unsigned char unused[2];
	uintptr_t page = address & ~(uintptr_t)(PAGE - 1);

	return address % sizeof(void *) == 0 && address > 16 * PAGE && !process_is_sandboxed() &&
	       sys_call3(SYS_mincore, (long)page, 2 * PAGE, (long)unused) == 0;
}

static void search_places(const struct block_search *s, const void *current, struct places *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (unsigned i = 0; i < BLOCK_WORDS && (i + 1) * sizeof(void *) <= s->bytes; i++) {
		const char *state;

		memcpy(&state, s->block + i * sizeof(void *), sizeof(state));
		if (!is_mapped((uintptr_t)state))
			continue;
		for (unsigned k = 0; k < STATE_WORDS; k++)
			if (memcmp(state + k * sizeof(void *), &current, sizeof(current)) == 0)
				ret->of[i] |= (uint16_t)(1u << k);
	}
}

/* Exactly one place held both; and one more still holds the first: that is where the thread's own flow is. */
static void compare(const struct block_search *s, const struct places *now)
{
	unsigned n = 0, i_found = 0, k_found = 0;

	for (unsigned i = 0; i < BLOCK_WORDS; i++) {
		for (unsigned k = 0; k < STATE_WORDS; k++) {
			if (!(now->of[i] & first_places.of[i] & 1u << k))
				continue;
			i_found = i;
			k_found = k;
			n++;
		}
	}
	if (n != 1)
		return;

	unsigned others = first_places.of[i_found] & ~(1u << k_found);

	if (__builtin_popcount(others) != 1)
		return;
	(void)s;
	block_at = i_found * sizeof(void *);
	current_at = k_found * sizeof(void *);
	main_at = (size_t)__builtin_ctz(others) * sizeof(void *);
	atomic_store_explicit(&measured, true, memory_order_release);
}

/* One is being made: by the thread's own flow at first, by another one some time. */
static void measure(void)
{
	void *current = get_current();
	struct block_search s = {NULL, 0};
	struct places places;

	if (!current)
		return;
	python.Py_DecRef(current); /* it runs: something else holds it */
	(void)dl_iterate_phdr(search_block, &s);
	block = s.block;
	if (!block || atomic_load(&measured))
		return;
	search_places(&s, current, &places);
	if (!first_current) {
		first_current = current;
		first_places = places;
	} else if (current != first_current) {
		compare(&s, &places);
	}
}

static const void *word(const char *at)
{
	const void *value;

	memcpy(&value, at, sizeof(value));
	return value;
}

enum greenlet_here greenlet_current(struct worker **ret)
{
	const char *state;
	const void *current;
	struct greenlet *g;

	if (!makes_greenlets)
		return GREENLET_NONE;
	if (!block || !atomic_load_explicit(&measured, memory_order_acquire))
		return GREENLET_UNKNOWN;
	state = word(block + block_at);
	if ((uintptr_t)state < 16 * PAGE)
		return GREENLET_MAIN; /* the thread is ending */
	current = word(state + current_at);
	g = find(current);
	if (!g)
		return current == word(state + main_at) ? GREENLET_MAIN : GREENLET_UNKNOWN;
	*ret = &g->worker;
	return GREENLET_ONE;
}

/* ---- making and freeing ---- */

static void *(*real_new)(void *type, void *arguments, void *keywords);
static void (*real_dealloc)(void *self);

static void made(const void *object)
{
	struct label label;

	python_flow_made(&label);
	add(object, &label);
}

static void *hook_new(void *class, void *arguments, void *keywords)
{
	void *object = real_new(class, arguments, keywords);

	if (!object)
		return NULL;
	makes_greenlets = true;
	if (!block || !atomic_load(&measured))
		OBSERVE(measure());
	OBSERVE(made(object));
	return object;
}

static void hook_dealloc(void *self)
{
	OBSERVE(forget(self));
	real_dealloc(self);
}

void python_greenlets_patch(void)
{
	static bool done;
	char *class = done ? NULL : python_of_module("greenlet._greenlet", "greenlet");
	void *capsule = class ? python_of_module("greenlet._greenlet", "_C_API") : NULL;
	void **api;

	if (!class)
		return;
	done = true;
	api = capsule ? python_more.PyCapsule_GetPointer(capsule, "greenlet._C_API") : NULL;
	if (!api) {
		python.PyErr_Clear();
		return;
	}
	memcpy(&get_current, &api[4], sizeof(get_current)); /* the same in all versions */
	type = class;
	if (pool_start(&greenlets, sizeof(struct greenlet), GREENLETS) == 0 &&
	    python_patch_slot(class, PYTHON_TYPE_DEALLOC, (void *)hook_dealloc, (void **)&real_dealloc))
		(void)python_patch_slot(class, PYTHON_TYPE_NEW, (void *)hook_new, (void **)&real_new);
}
