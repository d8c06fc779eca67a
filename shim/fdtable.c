/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/fdtable.h"

#include <errno.h>
#include <stddef.h>

#include "shim/reserve.h"

_Atomic(fd_word) *_Atomic *fdtable_root;
_Atomic uint32_t fdtable_leaves;
static _Atomic bool sealed;

#define KIND_MASK 0xffu
#define GENERATION_ONE 0x100u
#define GENERATION_MASK 0xffffff00u

int fdtable_start(void)
{
	if (!fdtable_root)
		fdtable_root = reserve(FDTABLE_ROOT * sizeof(*fdtable_root));
	if (!fdtable_root)
		return -ENOMEM;
	atomic_store_explicit(&fdtable_leaves, FDTABLE_ROOT, memory_order_release);
	return 0;
}

/* The leaf of fd; made when absent and make is set. Two threads may race to make it: the loser's stays unused. */
static _Atomic(fd_word) *leaf_of(int fd, bool make)
{
	if (fd < 0 || !fdtable_root)
		return NULL;

	_Atomic(fd_word) *_Atomic *entry = &fdtable_root[(unsigned)fd >> FDTABLE_LEAF_BITS];
	_Atomic(fd_word) *leaf = atomic_load_explicit(entry, memory_order_acquire);

	if (leaf || !make || atomic_load_explicit(&sealed, memory_order_relaxed))
		return leaf;

	_Atomic(fd_word) *fresh = reserve(FDTABLE_LEAF * sizeof(fd_word));

	if (!fresh)
		return NULL;
	return atomic_compare_exchange_strong(entry, &leaf, fresh) ? fresh : leaf;
}

void fdtable_seal(unsigned n)
{
	for (unsigned fd = 0; fd < n && fd <= INT32_MAX; fd += FDTABLE_LEAF)
		(void)leaf_of((int)fd, true);
	atomic_store(&sealed, true);
}

static fd_word next_word(fd_word old, enum fd_kind kind, uint32_t object)
{
	return (fd_word)object << 32 | ((old + GENERATION_ONE) & GENERATION_MASK) | (fd_word)kind;
}

fd_word fdtable_set(int fd, enum fd_kind kind, uint32_t object)
{
	_Atomic(fd_word) *leaf = leaf_of(fd, kind != FD_UNKNOWN);

	if (!leaf)
		return kind == FD_UNKNOWN ? 0 : (fd_word)-1;

	_Atomic(fd_word) *slot = &leaf[(unsigned)fd % FDTABLE_LEAF];
	fd_word old = atomic_load_explicit(slot, memory_order_relaxed);

	while (!atomic_compare_exchange_weak(slot, &old, next_word(old, kind, object)))
		;
	return old;
}

bool fdtable_replace(int fd, fd_word old, enum fd_kind kind, uint32_t object)
{
	_Atomic(fd_word) *leaf = leaf_of(fd, true);

	return leaf && atomic_compare_exchange_strong(&leaf[(unsigned)fd % FDTABLE_LEAF], &old,
						      next_word(old, kind, object));
}

int fdtable_next(unsigned first, unsigned last)
{
	if (last > INT32_MAX)
		last = INT32_MAX;
	for (uint64_t fd = first; fd <= last && fdtable_root; fd++) {
		_Atomic(fd_word) *leaf = leaf_of((int)fd, false);

		if (!leaf)
			fd |= FDTABLE_LEAF - 1; /* nothing in this whole leaf */
		else if (fdtable_kind((int)fd) != FD_UNKNOWN)
			return (int)fd;
	}
	return -1;
}
