/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/deep_bind.h"

#include <link.h>
#include <stdatomic.h>
#include <stdint.h>

#include "shim/engine.h"
#include "shim/got.h"
#include "shim/guard.h"
#include "shim/real.h"

#define HOOKS_MAX 128

/* Objects are listed in the order in which they came: how many there were before the first load that has not been looked at; 0: none. */
static _Atomic uint32_t known_before;

static int count_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)info;
	(void)size;
	++*(uint32_t *)arg;
	return 0;
}

void engine_binding_deeply(void)
{
	uint32_t count = 0, none = 0;

	if (!guard_is_on())
		return;
	(void)dl_iterate_phdr(count_object, &count);
	atomic_compare_exchange_strong(&known_before, &none, count);
}

struct walk {
	uint32_t skip;
	size_t n;
	struct got_patch patches[HOOKS_MAX];
};

static int patch_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct walk *w = arg;

	(void)size;
	if (w->skip > 0)
		w->skip--;
	else
		(void)got_patch(info, w->patches, w->n);
	return 0;
}

void deep_bind_patch(void)
{
	struct walk w = {.skip = atomic_exchange(&known_before, 0)};

	if (w.skip == 0)
		return;
	for (size_t i = 0; w.n < HOOKS_MAX && real_hook(i, &w.patches[w.n].name, &w.patches[w.n].real, &w.patches[w.n].hook); i++)
		w.n += w.patches[w.n].hook && w.patches[w.n].real;
	(void)dl_iterate_phdr(patch_object, &w);
}
