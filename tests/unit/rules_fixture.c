/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/rules_fixture.h"

#include <pthread.h>
#include <semaphore.h>

#include "shim/engine.h"
#include "shim/thread.h"
#include "tests/unit/engine_fixture.h"

const struct record *call(const struct link *l, const char *request)
{
	call_begin(l, request, NULL, 0);
	call_end(l);
	assert_true(spans_count() > 0);
	return span_at(spans_count() - 1);
}

struct link idle_connection(void)
{
	struct link l = hook_connect();

	(void)call(&l, REQUEST);
	spans_forget();
	return l;
}

void no_thread_rule(void)
{
	thread_class_revoke(thread_class_of(thread_self()));
}

void assert_no_parent(const struct record *r, enum evidence evidence, unsigned links)
{
	static const uint8_t none[8];
	struct record_link ret[8];

	assert_int_equal(r->evidence, evidence);
	assert_memory_equal(r->parent_id, none, 8);
	assert_int_equal(span_links(r, ret, 8), links);
}

void end_both(struct link *a, struct link *b)
{
	serve_end(a);
	link_close(a);
	serve_end(b);
	link_close(b);
}

void end_one(struct link *a, struct link *out)
{
	serve_end(a);
	link_close(a);
	link_close(out);
}

int rules_balanced(void **state)
{
	(void)state;
	assert_accounts(0);
	return 0;
}

static void *trampoline(void *package)
{
	void *start, *arg;

	engine_thread_started(package, &start, &arg);
	return ((void *(*)(void *))(uintptr_t)start)(arg);
}

void run_thread(struct thread_run *run, void *(*start)(void *), void *arg)
{
	run->package = engine_thread_starting((void *)(uintptr_t)start, arg, NULL);
	assert_non_null(run->package);
	assert_int_equal(pthread_create(&run->thread, NULL, trampoline, run->package), 0);
}

void join_thread(struct thread_run *run)
{
	assert_int_equal(pthread_join(run->thread, NULL), 0);
}

static struct {
	struct thread_run run;
	sem_t done, end;
	void (*does)(void *arg);
	void *arg;
} other;

static void *does_and_stays(void *unused)
{
	(void)unused;
	if (other.does)
		other.does(other.arg);
	sem_post(&other.done);
	sem_wait(&other.end);
	return NULL;
}

void other_thread_begin(void (*does)(void *arg), void *arg)
{
	other.does = does;
	other.arg = arg;
	sem_init(&other.done, 0, 0);
	sem_init(&other.end, 0, 0);
	run_thread(&other.run, does_and_stays, NULL);
	sem_wait(&other.done);
}

void other_thread_end(void)
{
	sem_post(&other.end);
	join_thread(&other.run);
}
