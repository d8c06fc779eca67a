/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/context.h"

/*
 * What each descriptor number stands for: a two-level table of words {kind, generation, object}. The root covers every
 * int; leaves are made as numbers are used. Look-up is lock-free and touches nothing for a number never seen.
 * The generation changes at every open and close of the number.
 */

enum fd_kind {
	FD_UNKNOWN = 0, /* not interesting, or never seen */
	FD_SOCKET,      /* a stream socket, neither listening nor connected yet */
	FD_LISTENER,
	FD_CONNECTION,  /* object: a connection */
	FD_EPOLL,       /* object: a loop */
	FD_EVENT,       /* eventfd */
	FD_TIMER,       /* timerfd; object: a channel, once it was armed */
	FD_PIPE,        /* one end of a pipe or of a socketpair; object: a channel */
};

/* kind in the low 8 bits, 24 bits of generation, 32 bits of object. */
typedef uint64_t fd_word;

#define FDTABLE_LEAF_BITS 12
#define FDTABLE_LEAF (1u << FDTABLE_LEAF_BITS)
#define FDTABLE_ROOT (1u << (31 - FDTABLE_LEAF_BITS))

/* Leaves that the root has room for; 0 until fdtable_start(). */
extern _Atomic uint32_t fdtable_leaves __attribute__((visibility("hidden")));
extern _Atomic(fd_word) *_Atomic *fdtable_root __attribute__((visibility("hidden")));

static inline fd_word fdtable_word(int fd)
{
	uint32_t i = (unsigned)fd >> FDTABLE_LEAF_BITS;

	/* Negative ones are far beyond. */
	if (__builtin_expect(i >= atomic_load_explicit(&fdtable_leaves, memory_order_acquire), 0))
		return 0;
	_Atomic(fd_word) *leaf = atomic_load_explicit(&fdtable_root[i], memory_order_acquire);

	return leaf ? atomic_load_explicit(&leaf[(unsigned)fd % FDTABLE_LEAF], memory_order_acquire) : 0;
}

/* The same, of a number whose word has been other than 0 before: leaves stay. */
static inline fd_word fdtable_word_again(int fd)
{
	_Atomic(fd_word) *leaf = atomic_load_explicit(&fdtable_root[(unsigned)fd >> FDTABLE_LEAF_BITS],
						      memory_order_acquire);

	return atomic_load_explicit(&leaf[(unsigned)fd % FDTABLE_LEAF], memory_order_acquire);
}

static inline enum fd_kind fdtable_kind_of(fd_word word)
{
	return (enum fd_kind)(word & 0xff);
}

static inline enum fd_kind fdtable_kind(int fd)
{
	return fdtable_kind_of(fdtable_word(fd));
}

static inline uint32_t fdtable_object(fd_word word)
{
	return (uint32_t)(word >> 32);
}

/* Reserve the root. 0 or -ENOMEM. */
int fdtable_start(void);
/* A sandbox is coming, in which no memory can be had: make the leaves of the numbers below n; higher ones without a leaf stay unknown. */
void fdtable_seal(unsigned n);
/* Set what fd stands for (FD_UNKNOWN: closed). Returns the word that was there; -1 cast to fd_word when no leaf can be had. */
fd_word fdtable_set(int fd, enum fd_kind kind, uint32_t object);
/* Replace old by {kind, object} only if the word is still old. */
bool fdtable_replace(int fd, fd_word old, enum fd_kind kind, uint32_t object);
/* The next number >= first and <= last that stands for something, or -1. */
int fdtable_next(unsigned first, unsigned last);
