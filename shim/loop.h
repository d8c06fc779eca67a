/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/context.h"

#define LOOP_WAKERS 8

/*
 * A descriptor that wakes the loop for others (eventfd, timerfd, pipe), watched edge-triggered: such a one need never be read,
 * so only the event that the wait returns tells that it was at work.
 */
struct waker {
	_Atomic int32_t fd; /* -1: none */
	_Atomic uint64_t data; /* of its events */
};

/*
 * A loop: one epoll descriptor, or one thread's own poll()/select(). Its counts are what the elimination rules
 * consult. Slot 0 stands for "no loop": threads that never wait for several things at once.
 */
struct loop {
	_Atomic int32_t open;     /* server exchanges read in this loop and still open */
	_Atomic int32_t waiting;  /* those with a client exchange or connect of their own under way */
	/* When its next timer may fall due, by its clock or by ours, as its last wait told. UINT64_MAX: it has none. */
	_Atomic uint64_t timer_from_ns, timer_until_ns;
	_Atomic int32_t isolate;  /* waits still to be cut to one event */
	_Atomic bool revoked[EVIDENCE_N]; /* rules that were wrong here once */
	_Atomic uint32_t restless; /* times that withholding events did not bring it to rest */
	_Atomic bool closed;
	_Atomic bool has_more_wakers; /* than there is room for; that it has any: engine_wakers */
	struct waker wakers[LOOP_WAKERS];
	_Atomic bool many;        /* what it waits for is more than one descriptor */
	_Atomic bool mixed;       /* it has waited for more than the next bytes of one connection */
};

int loop_start(void);
struct loop *loop_at(uint32_t slot); /* never NULL; slot 0 is a loop nobody waits in */
uint32_t loop_new(void);             /* 0 when there is no room */
void loop_closed(uint32_t slot);     /* its descriptor is gone; freed when nothing counts on it */
/*
 * Elimination is what parents rest on here: wait for one event at a time for a while. Loops begin so, because one call whose
 * parent is unknown leaves its true parent looking parked, which makes the next call unknown as well: under steady load
 * a loop that has once become ambiguous would stay so.
 */
void loop_isolate(uint32_t slot);
bool loop_takes_one_event(uint32_t slot);
/* Is it, or (where isolation is switched off) would it be? */
bool loop_is_isolated(uint32_t slot);
/*
 * Where threads share their timers, one loop's wait tells of what another loop may run, if it comes first. May a timer of any but
 * this one have fallen due by now_ns? Not one that had in turn_ns, when a turn of this loop began that is over: it has been run.
 */
bool loop_others_timer_is_due(uint32_t slot, uint64_t turn_ns, uint64_t now_ns);
/* In a forked child, where the others' threads do not exist. */
void loop_after_fork(void);
void loop_revoke(uint32_t slot, enum evidence rule);
bool loop_trusts(uint32_t slot, enum evidence rule);
