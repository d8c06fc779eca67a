/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs on this thread. A label that holds for one frame only (a connection that its callback has just accepted, or was called for)
 * lies over that of the frame's Context, which may serve many. uvloop reads before it enters anything, so what it read is
 * kept for the next frame to take.
 */
#include "hooks/runtimes/cpython_frame.h"

#include <stdatomic.h>
#include <string.h>

#include "hooks/runtimes/cpython_internal.h"
#include "shim/carrier.h"
#include "shim/conn.h"
#include "shim/guard.h"
#include "shim/pool.h"
#include "shim/sys.h"
#include "shim/thread.h"

#define SAVED_FRAMES 4096

struct frame {
	const void *context;      /* NULL: the thread is in none that it was seen to enter */
	const void *thread_state;
	uint32_t window;          /* when it was entered */
	uint32_t serial;
	uint32_t below;           /* PyContext_Enter: where the frame below is kept; 0: there was none */
	bool entered;             /* by PyContext_Enter */
	bool has_label;
	struct label label;       /* over that of its Context */
};

struct python_thread {
	struct frame frame;
	uint32_t serial;
	bool adapted;             /* it runs an event loop whose callbacks we see */
	bool runs_uvloop;
	bool tangled;             /* frames were not left in the order in which they were entered: stacks are switched here */
	enum { NOTHING, ACCEPTED, ASKED, ANSWERED } pending; /* in no frame, for the next one: */
	uint32_t pending_window;
	struct label pending_label;
};

static __thread struct python_thread self;
static struct pool saved_frames;
static _Atomic bool lineage_broken;

cpython_run *cpython_real_run;

bool cpython_frames_start(void)
{
	return pool_start(&saved_frames, sizeof(struct frame), SAVED_FRAMES) == 0;
}

void cpython_lineage_is_broken(void)
{
	atomic_store_explicit(&lineage_broken, true, memory_order_relaxed);
}

static bool lineage_is_whole(void)
{
	return !atomic_load_explicit(&lineage_broken, memory_order_relaxed) && cpython_labels_are_whole();
}

/* ---- frames ---- */

/* Does what a response was for differ from what the Context is for? */
static bool contradicts(const struct label *answer, const void *context)
{
	struct context for_whom, mine;
	struct label own;
	bool open = label_resolve(answer, &for_whom) == LABEL_STATE_OPEN;
	bool busy = cpython_label_get(context, &own) && label_resolve(&own, &mine) == LABEL_STATE_OPEN;

	return open ? !busy || !handle_equal(mine.exchange, for_whom.exchange) : busy;
}

/*
 * uvloop enters the Context of a connection right after it has read from it, and that of a server right after it has accepted. All
 * connections of a server share its Context, which so is nobody's but for the frames that are told apart here.
 */
static void take_for_server(struct frame *f)
{
	struct conn *c = conn_at(self.pending_label.connection.slot);

	if (self.pending == ACCEPTED) {
		c->callbacks = f->context;
		cpython_label_set(f->context, &(struct label){.kind = LABEL_UNKNOWN});
	}
	f->label = self.pending_label;
	f->has_label = c->callbacks == f->context || c->callbacks == NULL;
}

static void take_pending(struct thread *t, struct frame *f)
{
	bool fits = self.runs_uvloop && self.pending_window == t->window.seq;

	if (fits && self.pending != ANSWERED) {
		take_for_server(f);
	} else if (fits && contradicts(&self.pending_label, f->context)) {
		f->label = (struct label){.kind = LABEL_UNKNOWN};
		f->has_label = true;
	}
	self.pending = NOTHING;
}

static void enter(const void *context)
{
	struct thread *t = thread_self();
	bool outermost = self.frame.context == NULL;

	self.serial = self.serial == UINT32_MAX ? 1 : self.serial + 1;
	self.frame = (struct frame){
		.context = context,
		.thread_state = python.current_thread_state(),
		.window = t->window.seq,
		.serial = self.serial,
	};
	if (outermost && self.pending)
		take_pending(t, &self.frame);
}

/* Greenlets: another stack's frames are in between. Nothing that rests on their order is believed here any more. */
static void tangle(void)
{
	self.tangled = true;
	self.frame.context = NULL;
}

static void leave(uint32_t serial, const struct frame *below)
{
	if (self.frame.serial == serial && self.frame.context)
		self.frame = *below;
	else
		tangle();
}

static uint32_t run_begins(const void *context, struct frame *ret_below)
{
	*ret_below = self.frame;
	enter(context);
	return self.serial;
}

void *cpython_hook_run(void *context, void *const *arguments, ptrdiff_t count, void *keyword_names)
{
	struct frame below;
	uint32_t serial = 0;
	void *result;

	OBSERVE(serial = run_begins(context, &below));
	result = cpython_real_run(context, arguments, count, keyword_names);
	if (serial)
		OBSERVE(leave(serial, &below));
	return result;
}

/* Where there is no room for the frame below, it is lost. */
static void enter_begins(const void *context)
{
	struct frame below = self.frame;
	uint32_t slot = below.context ? pool_take(&saved_frames) : 0;

	if (below.context && !slot)
		self.tangled = true;
	if (slot)
		memcpy(pool_at(&saved_frames, slot), &below, sizeof(below));
	enter(context);
	self.frame.entered = true;
	self.frame.below = slot;
}

static void enter_ends(const void *context)
{
	uint32_t slot = self.frame.below;
	bool ours = self.frame.entered && self.frame.context == context;

	if (!ours) {
		tangle();
		return;
	}
	self.frame.context = NULL;
	if (slot) {
		memcpy(&self.frame, pool_at(&saved_frames, slot), sizeof(self.frame));
		pool_give(&saved_frames, slot);
	}
}

int cpython_hook_enter(void *context)
{
	bool ready = cpython_is_ready();
	int result;

	if (ready)
		OBSERVE(enter_begins(context));
	result = python.PyContext_Enter(context);
	if (ready && result != 0)
		OBSERVE(enter_ends(context));
	return result;
}

int cpython_hook_exit(void *context)
{
	int result = python.PyContext_Exit(context);

	if (result == 0 && cpython_is_ready())
		OBSERVE(enter_ends(context));
	return result;
}

/* ---- whose work it is ---- */

/* Was the frame entered by an event loop, for what its last wait brought? */
static bool is_callback(const struct thread *t)
{
	return self.frame.context && !self.tangled && t->window.seq != 0 && self.frame.window == t->window.seq;
}

static const void *current_context(void)
{
	if (self.frame.context && !self.tangled)
		return cpython_context_of(self.frame.thread_state);
	return cpython_context();
}

bool cpython_label_of(struct thread *t, const void *context, struct label *ret)
{
	(void)t;
	if (context && context == self.frame.context && self.frame.has_label && !self.tangled) {
		*ret = self.frame.label;
		return true;
	}
	return context && cpython_label_get(context, ret);
}

bool cpython_label_current(struct thread *t, struct label *ret)
{
	if (cpython_label_of(t, current_context(), ret))
		return true;
	if (self.adapted) {
		ret->kind = LABEL_UNKNOWN;
		return !lineage_is_whole();
	}
	carrier_capture(t, ret);
	return ret->kind != LABEL_NONE;
}

/* A Context without a label. */
static enum runtime_answer unlabelled(const struct thread *t, struct label *ret)
{
	if (t->has_work || !self.adapted)
		return RUNTIME_ABSENT;
	if (!self.frame.context || !lineage_is_whole())
		return exchange_open_count() ? RUNTIME_CANNOT_TELL : RUNTIME_ABSENT;
	*ret = (struct label){.kind = LABEL_NONE};
	return RUNTIME_LABEL;
}

static enum runtime_answer current(struct thread *t, struct label *ret)
{
	if (!cpython_is_ready())
		return self.adapted ? RUNTIME_CANNOT_TELL : RUNTIME_ABSENT;
	if (!cpython_label_of(t, current_context(), ret))
		return unlabelled(t, ret);
	return ret->kind == LABEL_UNKNOWN ? RUNTIME_CANNOT_TELL : RUNTIME_LABEL;
}

/* ---- seen from another thread ---- */

static const void *place(void)
{
	return cpython_is_ready() ? &self : NULL;
}

/* The frame's own label, or that of the Context which the thread is in now. */
static bool glimpse_label(const struct python_thread *there, struct label *ret)
{
	const void *context = NULL;

	if (!sys_read_memory((const char *)there->frame.thread_state + python.context_offset, &context, sizeof(context)))
		return false;
	if (context == there->frame.context && there->frame.has_label) {
		*ret = there->frame.label;
		return true;
	}
	return context && cpython_label_get(context, ret);
}

static enum runtime_answer glimpse(const void *from, struct label *ret)
{
	struct python_thread there = {0}, again = {0};

	if (!sys_read_memory(from, &there, sizeof(there)) || !there.adapted)
		return RUNTIME_ABSENT;
	if (!there.frame.context || there.tangled || !glimpse_label(&there, ret) || ret->kind == LABEL_UNKNOWN ||
	    !sys_read_memory(from, &again, sizeof(again)) || again.serial != there.serial || again.frame.serial != there.frame.serial)
		return RUNTIME_CANNOT_TELL;
	return RUNTIME_LABEL;
}

static void adopt(struct thread *t, const struct label *label)
{
	const void *context = current_context();
	struct label own;

	if (!context || !cpython_label_of(t, context, &own))
		return;
	label_adopt(&own, &label->context);
	if (context == self.frame.context && self.frame.has_label)
		self.frame.label = own;
	else
		cpython_label_set(context, &own);
}

/* ---- what the thread accepts and reads ---- */

static void adapt(struct thread *t)
{
	self.adapted = true;
	t->adapted = true;
}

void cpython_runs_untold_loop(void)
{
	self.adapted = true;
}

static void set_frame_label(const struct label *label)
{
	self.frame.label = *label;
	self.frame.has_label = true;
}

static void set_pending(const struct thread *t, int what, const struct label *label)
{
	self.pending = (unsigned)what;
	self.pending_label = *label;
	self.pending_window = t->window.seq;
}

static void accepted(struct thread *t, struct handle connection)
{
	struct label label = label_reference(connection);

	if (is_callback(t)) {
		adapt(t);
		set_frame_label(&label);
	} else if (!self.frame.context) {
		set_pending(t, ACCEPTED, &label);
	}
}

/* uvloop asks at the beginning of the frame in which it tells a protocol of its new connection. */
static void peer_asked(struct thread *t, struct handle connection)
{
	struct label label = label_reference(connection);

	if (self.runs_uvloop && is_callback(t) && !self.frame.has_label &&
	    conn_at(connection.slot)->callbacks == self.frame.context)
		set_frame_label(&label);
}

/* Is the work of another connection's request going on in this Context? */
static bool serves_another(const struct label *own, struct handle connection)
{
	struct context unused;

	return !handle_equal(own->connection, connection) && label_resolve(own, &unused) == LABEL_STATE_OPEN;
}

static void requested(struct thread *t, struct conn *c, const struct context *context)
{
	struct label own = {.kind = LABEL_UNKNOWN}, label = label_reference(conn_handle(c));
	const void *current_one;

	(void)context;
	if (!cpython_is_ready())
		return;
	if (is_callback(t) || (self.runs_uvloop && !self.frame.context))
		adapt(t);
	if (!is_callback(t))
		return;
	current_one = current_context();
	if (!cpython_label_of(t, current_one, &own)) {
		/* Whoever waits for this request may do so in another Context, which then has no label either. */
		cpython_lineage_is_broken();
	} else if (own.kind == LABEL_CONNECTION && handle_equal(own.connection, label.connection)) {
		return;
	} else if (serves_another(&own, label.connection)) {
		label = (struct label){.kind = LABEL_UNKNOWN};
	}
	self.frame.has_label = false;
	cpython_label_set(current_one, &label);
}

/* uvloop reads outside of any frame. */
static void received(struct thread *t, struct conn *c)
{
	struct label label;

	if (!self.runs_uvloop || self.frame.context || (c && c->role == CONN_CLIENT))
		return;
	self.pending = NOTHING;
	if (!c || c->peer_gone)
		return;
	label = label_reference(conn_handle(c));
	set_pending(t, ASKED, &label);
}

/* The label of work that a response resumes: the callbacks of a client connection run in the Context of whoever opened it. */
static void answered(struct thread *t, const struct exchange *e)
{
	struct label label = {.kind = LABEL_UNKNOWN};
	struct context for_whom;

	if (e && exchange_context(e->parent, &for_whom))
		label = label_snapshot(&for_whom);
	if (self.runs_uvloop && !self.frame.context)
		set_pending(t, ANSWERED, &label);
	else if (self.adapted && cpython_is_ready() && is_callback(t) && contradicts(&label, current_context()))
		set_frame_label(&label);
}

/* ---- what uvloop sends later ---- */

void cpython_runs_uvloop(void)
{
	self.runs_uvloop = true;
}

static bool is_same(const struct label *a, const struct label *b)
{
	return a->kind == b->kind && handle_equal(a->connection, b->connection) &&
	       memcmp(a->context.span_id, b->context.span_id, sizeof(a->context.span_id)) == 0;
}

void cpython_handed(struct thread *t, struct conn *c)
{
	struct label label = {.kind = LABEL_UNKNOWN};
	enum runtime_answer answer = current(t, &label);

	if (answer == RUNTIME_ABSENT)
		return;
	if (answer == RUNTIME_CANNOT_TELL || (c->has_handed && !is_same(&c->handed, &label)))
		label = (struct label){.kind = LABEL_UNKNOWN};
	c->handed = label;
	c->handed_by = current_context();
	c->has_handed = true;
}

static void adopt_as(const void *task, const struct label *was, const struct label *label)
{
	struct label own;

	if (!cpython_is_ready() || !task || !cpython_label_get(task, &own) || !is_same(&own, was))
		return;
	label_adopt(&own, &label->context);
	cpython_label_set(task, &own);
}

const struct runtime runtime_cpython = {
	.name = "cpython",
	.announces = true,
	.modules_loaded = cpython_modules_loaded,
	.current = current,
	.adopt = adopt,
	.adopt_as = adopt_as,
	.accepted = accepted,
	.received = received,
	.requested = requested,
	.answered = answered,
	.place = place,
	.glimpse = glimpse,
	.peer_asked = peer_asked,
};
