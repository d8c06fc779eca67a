/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/context.h"
#include "shim/label.h"
#include "shim/started.h"

/*
 * What the engine knows about the calling thread. Thread-local storage, initial-exec, well under 1 KiB (static TLS is
 * scarce: a larger block makes pthread_create fail for small stacks). Only its own thread touches it.
 */

#define WINDOW_MAX 4
/* Loops compute their timeouts from a clock that they read when their last wait returned, cut to milliseconds; some add one. */
#define TIMER_EARLY_NS 2500000

/*
 * The stimuli of the window: the distinct server exchanges that this thread was given something for since its last
 * wait returned: their request arrived, or a response to a call they made.
 */
struct window {
	uint32_t seq;          /* changes at each wait; 0: this thread has never waited */
	uint16_t n;            /* distinct exchanges seen; may exceed WINDOW_MAX */
	bool fresh;            /* the first of them was a request that arrived in this window */
	uint16_t other;        /* stimuli that belong to no exchange known: wake-ups, timers, unknown responses */
	struct handle who[WINDOW_MAX];
};

struct carrier_proof;
struct thread_class;
struct watch;

struct thread {
	uint32_t tid;            /* 0: not asked yet */
	uint32_t home_shard;
	uint32_t spare_exchange; /* a slot that it keeps for its next exchange; 0: none */
	uint64_t random[2];
	uint32_t random_epoch;
	uint32_t loop;           /* slot of the loop whose wait this thread returned from last; 0: none */
	int wait_timeout_ms;     /* of the wait under way; -1: for ever */
	uint64_t returned_ns;    /* when the last wait returned; 0: not looked at */
	uint64_t returned_before_ns; /* and the one before that */
	uint64_t timer_due_ns;   /* the loop's next timer, as its timeouts tell; 0: not known, UINT64_MAX: there is none */
	bool has_accepted;       /* a connection, in this window */
	uint16_t withheld;       /* waits in a row that were answered without asking the kernel */
	uint32_t poll_loop;      /* the loop that stands for this thread's own poll() or select() */
	struct window window;
	struct handle sync;      /* the request this thread read last: rule 5 */
	struct thread_class *class; /* NULL until asked */
	struct context inherited;   /* from whoever created the thread; valid while has_inherited */
	bool has_inherited;
	struct started started;     /* when it was; slept: ever */
	bool has_work;
	bool adapted;            /* it runs an adapted runtime's loop: its parents do not rest on elimination */
	struct carrier_proof *work_proof; /* of that, if it is not certain */
	struct label work;       /* rule 3: of the work item that runs now; see carrier.h */
	struct watch *watch;     /* for stalls; NULL: this thread's loop is not watched */
	uint32_t work_stack;     /* the coroutine in which it began */
	uintptr_t stack_low, stack_high; /* its own stack, or a little less of it; 0: not known */
	/* What it was handed through a channel (channel.c), and from where; believed as handed_proof says. */
	bool has_handed;
	uint32_t channel_home;
	struct label handed;
	struct carrier_proof *handed_proof, *handed_via;
	/* Queues of jobs: see job_queue.c. */
	struct handle job;       /* the request whose job it was given */
	uintptr_t semaphore_taken; /* and nothing unlocked since; 0: none */
	uint16_t job_queue, queue_home, queue_woken;
	bool queue_timed_out, queue_waits_in_hand;
	/* The oracle: what the response just read belongs to, until this window's next server write. */
	struct handle expected;
	uint8_t expected_rule;
};

extern __thread struct thread thread_block __attribute__((tls_model("initial-exec")));

/* Make room for the packages that carry a context into a new thread. 0 or -ENOMEM. */
int thread_start(void);

static inline struct thread *thread_self(void)
{
	struct thread *t = &thread_block;

	/* Its address is found once and kept, and not again at each use. */
	__asm__("" : "+r"(t));
	return t;
}

/* The kernel's id of this thread, asked once; 0: it was not before a sandbox closed. */
uint32_t thread_tid(struct thread *t);
/*
 * Are we in a child made by vfork (or CLONE_VM), whose memory is the parent's? Costs a syscall: rare paths only. In a sandbox
 * that cannot be told: false.
 */
bool thread_is_borrowed(void);
/* In a forked child: this is another thread and process now. */
void thread_after_fork(void);

/* Is this address on the thread's own stack? True where that is not known. */
static inline bool thread_stack_covers(const struct thread *t, uintptr_t address)
{
	return t->stack_high == 0 || (t->stack_low <= address && address < t->stack_high);
}

/* Something arrived for exchange who (or for nobody known: HANDLE_NONE). */
void thread_stimulated(struct thread *t, struct handle who);
/*
 * The same, by a request that has just arrived. after: the exchange before it on its connection, which is over. A program that
 * answers and at once, in the same turn of its loop, reads the next request has done with the one before.
 */
static inline void thread_asked(struct thread *t, struct handle who, struct handle after);
/*
 * A wait returned: a new window opens. A loop runs what its timers and its own queues hold beside what the wait brought,
 * and no call tells us. But its timeouts do: one that is not zero says when the next timer is due, and that may be at work
 * in this window if that time has come (a stimulus of nobody's). A timeout of zero says that work is queued: it comes
 * from the stimuli of the window before, so they stay in this one if nothing was added to it (loop.c withholds events for
 * that), and otherwise what is at work cannot be told.
 */
void thread_window_open(struct thread *t, uint32_t loop);
/* What runs now is one of several things that the wait brought, and has nothing to do with what others did before: a window of its own. */
void thread_window_part(struct thread *t);
/* May a timer be at work by now? A window may last, and looks withheld from the loop (loop.c) open none. */
bool thread_timer_may_run(const struct thread *t, uint64_t *now_ns); /* now_ns: as read before; 0: it is read here */
/* A wait begins that may last timeout_ms (-1: for ever). */
void thread_waits(struct thread *t, int timeout_ms);

/* ---- rule 5: classes of threads, by start routine ---- */

struct thread_class *thread_class_of(struct thread *t);
bool thread_class_is_trusted(const struct thread_class *c);
/* A thread of this class did something else before it answered what it had read. */
void thread_class_revoke(struct thread_class *c);
/* All classes, for good: threads park in ways we do not see (a JVM, .NET). */
void thread_classes_distrust(void);

/* ---- inline: what every request does ---- */

void thread_stimulated_again(struct window *w, struct handle who);

/* thread_stimulated(), by one who has called watch_passes(). */
static inline void thread_stimulated_as(struct thread *t, struct handle who)
{
	if (t->window.n > 0 || handle_is_none(who)) {
		thread_stimulated_again(&t->window, who);
		return;
	}
	t->window.who[0] = who;
	t->window.n = 1;
}

/* watch_passes() has been called. */
static inline void thread_asked(struct thread *t, struct handle who, struct handle after)
{
	struct window *w = &t->window;

	if (w->n == 1 && t->withheld == 0 && handle_equal(w->who[0], after))
		w->n = 0;
	if (w->n == 0)
		w->fresh = true;
	thread_stimulated_as(t, who);
}
