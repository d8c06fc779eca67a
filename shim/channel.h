/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct exchange;
struct thread;

/*
 * Pipes and pairs of sockets through which the threads of a process hand each other work: a message carries the label of whoever wrote it
 * to whoever reads it (rule 3). A message is known by its bytes, whatever order many writers and readers come in: a pointer to a job is
 * in a pipe once. What is there several times is of no one, unless all of it is of the same. Short ones, and small numbers, are
 * wake-ups: what those are for lies elsewhere.
 *
 * What goes through a pipe need not be work; it may be a token, or a connection that lies there until somebody borrows it. So
 * a channel is believed once those who read it have often enough answered the request that they should, or what they sent on through
 * another channel was; and never again after one has answered another. A thread that works for what it has read itself
 * stays with that.
 *
 * A timerfd is one, too. Channels are slots, kept in the fd table's words; 0 is none. Any thread, async-signal-safe, never waiting; where there is no
 * room, or another thread is at the same channel for long, messages go without a label.
 */

int channel_start(void);
/* A new one with this many descriptors, or 0. */
uint32_t channel_new(uint32_t descriptors);
void channel_duplicated(uint32_t channel);
void channel_closed(uint32_t channel);
/* In a forked child: what is under way is the parent's. */
void channel_after_fork(void);

/* Before a message is written. Returns what channel_not_written() needs where not all of it was; 0: nothing. */
uint64_t channel_writing(struct thread *t, uint32_t channel, const struct iovec *iov, int iovcnt);
void channel_not_written(uint32_t channel, uint64_t message);
/* n bytes were read. */
void channel_read(struct thread *t, uint32_t channel, const struct iovec *iov, int iovcnt, size_t n);

/*
 * A timerfd: it is armed now; its time has come. It is for whoever armed it, if nobody else ever did: a timer of one request. What is armed
 * for all that wait must be armed by many; until it is, answers tell, as above.
 */
void channel_timer_arming(struct thread *t, uint32_t channel);
void channel_timer_read(struct thread *t, uint32_t channel);

/* The thread may go on to other work. */
void channel_forget(struct thread *t);
/* It begins to answer e. */
void channel_answers(struct thread *t, const struct exchange *e);
