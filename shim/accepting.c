/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Isolation (loop.c) where connections are accepted: a loop that is told of one event may take all connections that wait behind it,
 * read a request from each at once, and start calls whose parents nobody can tell apart. So in an isolated loop, when it asks
 * for the second one in a window, it is told once that there is none yet. That is safe only where the wait will tell it again: a
 * listener that does not block, watched level-triggered.
 */
#include "shim/accepting.h"

#include <fcntl.h>

#include "shim/engine.h"
#include "shim/loop.h"
#include "shim/process.h"
#include "shim/stats.h"
#include "shim/sys_socket.h"
#include "shim/thread.h"

/* Bits in the object of a listener's word: how loops have watched it. */
#define WATCHED_BY_LEVEL 1u
#define WATCHED_OTHERWISE 2u /* sticks: some loop, once, was to be told only of changes */

static _Atomic bool nested; /* an epoll descriptor inside another, which may be told of changes only */

static uint32_t watched_how(uint32_t events)
{
	if (!(events & EPOLLIN))
		return 0;
	return events & (EPOLLET | EPOLLONESHOT) ? WATCHED_OTHERWISE : WATCHED_BY_LEVEL;
}

void accepting_watched(int fd, uint32_t events)
{
	fd_word word = fdtable_word(fd);
	uint32_t how;

	if ((word & 0xff) == FD_EPOLL)
		atomic_store_explicit(&nested, true, memory_order_relaxed);
	if ((word & 0xff) != FD_LISTENER)
		return;
	how = (fdtable_object(word) & WATCHED_OTHERWISE) | watched_how(events);
	if (how != fdtable_object(word))
		(void)fdtable_replace(fd, word, FD_LISTENER, how);
}

/* Asked by a system call each time, but only where a connection is about to be withheld: the program may have changed it. */
static bool is_told_by_the_wait_alone(int listener)
{
	int flags = process_is_sandboxed() ? 0 : sys_fcntl(listener, F_GETFL, 0);

	return flags >= 0 && (flags & O_NONBLOCK) && !(flags & O_ASYNC);
}

bool engine_accept_must_wait(int listener)
{
	struct thread *t = thread_self();
	fd_word word = fdtable_word(listener);

	if (!t->has_accepted || t->adapted || !guard_is_on() || guard_depth != 0)
		return false;
	t->has_accepted = false; /* whoever asks again after this is not waiting to be told: it gets what there is */
	if (word >> 32 != WATCHED_BY_LEVEL || (word & 0xff) != FD_LISTENER || !loop_takes_one_event(t->loop) ||
	    atomic_load_explicit(&nested, memory_order_relaxed) || process_is_blind() ||
	    !is_told_by_the_wait_alone(listener))
		return false;
	stats_count(STAT_ACCEPTS_WITHHELD);
	return true;
}
