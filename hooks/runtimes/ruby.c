/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ruby under Puma. Requests are read by one thread and handed to others through a queue that is Ruby's own: an array, a lock that
 * is mostly taken without libc, and waits that cannot be told from those for the interpreter's lock. But before a thread of
 * the pool calls the application it asks whether the client is still there (TCP_INFO), and so it says what it was handed.
 *
 * Whether the program is one of this kind is what the answers show: who answers a request must be the thread that asked last for its
 * connection, with no other request in hand. One exception ends it for the process.
 */
#include <link.h>
#include <stdatomic.h>
#include <string.h>

#include "shim/conn.h"
#include "shim/coroutine.h"
#include "shim/exchange.h"
#include "shim/runtime.h"
#include "shim/stats.h"
#include "shim/thread.h"

#define ANSWERS_TO_TRUST 32

static _Atomic bool is_ruby, is_revoked;
static _Atomic uint32_t answered;

/* What this thread has asked for last; and is it about to make another thread? */
static __thread struct handle asked __attribute__((tls_model("initial-exec")));
static __thread bool making __attribute__((tls_model("initial-exec")));

static int look_for_ruby(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char *slash = info->dlpi_name ? strrchr(info->dlpi_name, '/') : NULL;

	(void)size;
	*(bool *)arg = slash && strncmp(slash + 1, "libruby", 7) == 0;
	return *(bool *)arg;
}

static void modules_loaded(void)
{
	bool found = false;

	if (atomic_load_explicit(&is_ruby, memory_order_relaxed))
		return;
	(void)dl_iterate_phdr(look_for_ruby, &found);
	if (!found)
		return;
	runtime_found();
	atomic_store(&is_ruby, true);
}

static bool is_believed(void)
{
	return atomic_load_explicit(&answered, memory_order_relaxed) >= ANSWERS_TO_TRUST &&
	       !atomic_load_explicit(&is_revoked, memory_order_relaxed);
}

static void revoke(void)
{
	if (!atomic_exchange(&is_revoked, true))
		stats_count(STAT_RULES_REVOKED);
}

/* Ruby's pools are made by whichever request needs them first: a new thread does not belong to it. */
static void thread_making(struct thread *t)
{
	(void)t;
	making = true;
}

static enum runtime_answer current(struct thread *t, struct label *ret)
{
	bool is_for_another = making;
	struct context c;

	making = false;
	if (handle_is_none(asked) || !is_believed() || coroutine_here(t) != COROUTINE_NONE || !exchange_context(asked, &c))
		return RUNTIME_ABSENT;
	*ret = label_snapshot(&c);
	return is_for_another ? RUNTIME_CANNOT_TELL : RUNTIME_ITEM;
}

static void state_asked(struct thread *t, struct handle connection)
{
	struct handle open = HANDLE_NONE;
	struct context unused;

	if (!atomic_load_explicit(&is_ruby, memory_order_relaxed) || coroutine_here(t) != COROUTINE_NONE ||
	    conn_request(connection, &open, &unused) != CONN_REQUEST_OPEN)
		return;

	struct exchange *e = exchange_of(open);

	/* It has left one unanswered, or somebody else was handed this one, too. */
	if (!handle_equal(asked, open) && (exchange_is_open(asked) || (e && atomic_exchange(&e->asked, true))))
		revoke();
	asked = open;
}

static void answers(struct thread *t, const struct exchange *e)
{
	(void)t;
	if (handle_equal(asked, exchange_handle(e)))
		atomic_fetch_add_explicit(&answered, 1, memory_order_relaxed);
	else if (exchange_is_open(asked) || atomic_load(&e->asked))
		revoke();
}

const struct runtime runtime_ruby = {
	.name = "ruby",
	.announces = true,
	.modules_loaded = modules_loaded,
	.thread_making = thread_making,
	.current = current,
	.state_asked = state_asked,
	.answers = answers,
};
