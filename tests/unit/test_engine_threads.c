/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that serve, share connections, and close them under each other: for the sanitizers, and for the accounts. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/engine.h"
#include "shim/thread.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/engine_hooks.h"
#include "tests/unit/rules_fixture.h"

#define THREADS 4
#define ROUNDS 300

static int up(void **state)
{
	(void)state;
	engine_up(NULL);
	return 0;
}

static ssize_t plain(const struct sending *s)
{
	return send(s->fd, s->iov->iov_base, s->iov->iov_len, MSG_NOSIGNAL);
}

static ssize_t edited(const struct sending *s, const struct iovec *iov, int iovcnt)
{
	const struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)iovcnt};

	return sendmsg(s->fd, &msg, MSG_NOSIGNAL);
}

/* As program_says(), but without a say on how it went: the other side may be gone, or the descriptor closed. */
static void say(int fd, const char *text)
{
	const struct iovec iov = {(char *)(uintptr_t)text, strlen(text)};
	const struct sending s = {.fd = fd, .iov = &iov, .iovcnt = 1, .plain = plain, .edited = edited};

	(void)engine_send(&s);
}

static void hear(int fd)
{
	char buf[512];

	(void)hook_recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
}

/* ---- each its own connections, opened and closed all the time ---- */

static void *serves_on_short_connections(void *unused)
{
	(void)unused;
	for (int i = 0; i < ROUNDS; i++) {
		struct link in = hook_accept(), out = hook_connect();

		serve_begin(&in, REQUEST);
		call_begin(&out, REQUEST, NULL, 0);
		if (i % 3)
			call_end(&out);
		if (i % 5)
			serve_end(&in);
		link_close(&out);
		link_close(&in);
	}
	return NULL;
}

static void run_all(void *(*start)(void *), void *arg)
{
	struct thread_run run[THREADS];

	for (int i = 0; i < THREADS; i++)
		run_thread(&run[i], start, arg);
	for (int i = 0; i < THREADS; i++)
		join_thread(&run[i]);
}

static void own_connections(void **state)
{
	(void)state;
	run_all(serves_on_short_connections, NULL);
	assert_int_equal(counted(STAT_STARTED), 2 * THREADS * ROUNDS);
	assert_int_equal(counted(STAT_CONTENDED), 0);
}

/* ---- one reads, another answers: a pool of workers behind a reader ---- */

struct handover {
	struct link in[64];
	_Atomic int next;
};

static void *answers_what_is_next(void *arg)
{
	struct handover *h = arg;
	int i;

	while ((i = atomic_fetch_add(&h->next, 1)) < 64) {
		serve_end(&h->in[i]);
		link_close(&h->in[i]);
	}
	return NULL;
}

static void answered_by_others(void **state)
{
	struct handover h = {.next = 0};

	(void)state;
	for (int i = 0; i < 64; i++) {
		h.in[i] = hook_accept();
		serve_begin(&h.in[i], REQUEST);
	}
	run_all(answers_what_is_next, &h);
	assert_int_equal(spans_count(), 64);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(span_at(i)->status, STATUS_UNSET);
}

/* ---- the child of vfork, in its parent's memory ---- */

static void *serves_while_its_child_closes(void *arg)
{
	struct link *l = arg;
	pid_t child;

	serve_begin(l, REQUEST);
	child = vfork();
	if (child == 0) {
		engine_closing(l->ours);
		_exit(0);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(spans_count(), 0);
	serve_end(l);
	return NULL;
}

static void a_borrowed_thread_closes_nothing(void **state)
{
	struct link l = hook_accept();
	struct thread_run run;

	(void)state;
	run_thread(&run, serves_while_its_child_closes, &l);
	join_thread(&run);
	assert_int_equal(span_at(0)->status, STATUS_UNSET);
	link_close(&l);
}

/* ---- one connection, used and closed by all at once ---- */

struct shared {
	struct link l;
	_Atomic int turns;
	bool server;
};

static void *uses(void *arg)
{
	struct shared *s = arg;

	while (atomic_fetch_sub(&s->turns, 1) > 0) {
		say(s->l.ours, s->server ? RESPONSE : REQUEST);
		hear(s->l.ours);
		(void)send(s->l.peer, s->server ? REQUEST : RESPONSE, strlen(s->server ? REQUEST : RESPONSE),
			   MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	return NULL;
}

static void *closes_meanwhile(void *arg)
{
	struct shared *s = arg;

	while (atomic_load(&s->turns) > 20)
		(void)poll(NULL, 0, 0);
	/* The engine is told; the number itself stays taken, so that nothing else is given it under the other threads. */
	engine_closing(s->l.ours);
	return NULL;
}

static void used_and_closed_by_all(void **state)
{
	(void)state;
	for (int i = 0; i < 60; i++) {
		struct shared s = {.l = i % 2 ? hook_accept() : hook_connect(), .turns = 60, .server = i % 2};
		struct thread_run closer;

		run_thread(&closer, closes_meanwhile, &s);
		run_all(uses, &s);
		join_thread(&closer);
		close(s.l.ours);
		close(s.l.peer);
	}
	engine_exiting(); /* a close that found somebody inside for too long leaves it to this, or to the next sweep */
}

/* ---- closed by another thread while a send with our bytes in it waits for room ---- */

static _Atomic int in_send, let_go;

static ssize_t waits(const struct sending *s, const struct iovec *iov, int iovcnt)
{
	(void)s;
	(void)iovcnt;
	atomic_store(&in_send, 1);
	while (!atomic_load(&let_go))
		(void)poll(NULL, 0, 0);
	return (ssize_t)iov[0].iov_len - 45; /* in the middle of our line, whatever became of the connection */
}

static void *sends_and_waits(void *arg)
{
	static const char request[] = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
	const struct iovec iov = {(char *)(uintptr_t)request, sizeof(request) - 1};
	const struct sending s = {.fd = *(int *)arg, .iov = &iov, .iovcnt = 1, .plain = plain, .edited = waits};

	return (void *)(intptr_t)engine_send(&s);
}

/* The number and the connection's slot are taken by another connection before the send returns: that one must not notice. */
static void closed_in_the_middle_of_a_send(void **state)
{
	struct link old = hook_connect(), next;
	struct thread_run sender;
	char got[512];

	(void)state;
	run_thread(&sender, sends_and_waits, &old.ours);
	while (!atomic_load(&in_send))
		(void)poll(NULL, 0, 0);
	link_close(&old);
	next = hook_connect();
	atomic_store(&let_go, 1);
	join_thread(&sender);
	call_begin(&next, REQUEST, got, sizeof(got));
	assert_memory_equal(got, REQUEST, strlen(REQUEST) - 2);
	assert_memory_equal(got + strlen(REQUEST) - 2, "traceparent: 00-", 16);
	assert_int_equal(strlen(got), strlen(REQUEST) + 70);
	call_end(&next);
	link_close(&next);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, up, rules_balanced)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(own_connections),
		TEST(answered_by_others),
		TEST(a_borrowed_thread_closes_nothing),
		TEST(used_and_closed_by_all),
		TEST(closed_in_the_middle_of_a_send),
	};

	return ENGINE_RUN_EACH(tests);
}
