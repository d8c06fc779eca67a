/* SPDX-License-Identifier: Apache-2.0 */
/* Whose a job is that a thread took from a queue (rule 3, by elimination), and what ends the belief in a queue. */
#include "shim/job_queue.h"

#include "shim/engine.h"
#include "shim/thread.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/engine_hooks.h"
#include "tests/unit/rules_fixture.h"

#define MUTEX 0x1000
#define CONDITION 0x2000
#define SEMAPHORE 0x3000
#define OTHER_MUTEX 0x4000
#define OTHER_CONDITION 0x5000

static struct thread workers[3]; /* this thread is the one that reads requests */

static int up(void **state)
{
	(void)state;
	engine_up(NULL);
	no_thread_rule();
	return 0;
}

/* ---- what threads do ---- */

static void push(void)
{
	job_queue_unlocking(thread_self(), MUTEX);
}

static void waits(unsigned i)
{
	job_queue_waiting(&workers[i], CONDITION, MUTEX);
}

static void wakes(unsigned i)
{
	job_queue_waited(&workers[i], MUTEX, false);
}

static void pops(unsigned i)
{
	wakes(i);
	job_queue_unlocking(&workers[i], MUTEX);
}

static struct handle read_request(struct link *l)
{
	serve_begin(l, REQUEST);
	return thread_self()->sync;
}

static void answers(unsigned i, struct link *l, struct handle h)
{
	job_queue_answers(&workers[i], exchange_of(h));
	serve_end(l);
}

static void assert_has(unsigned i, struct handle expected)
{
	struct handle job;

	assert_true(job_queue_current(&workers[i], &job));
	assert_true(handle_equal(job, expected));
}

static void assert_has_none(unsigned i)
{
	struct handle job;

	assert_false(job_queue_current(&workers[i], &job));
}

static void one_job(unsigned i)
{
	struct link l = hook_accept();
	struct handle h = read_request(&l);

	push();
	pops(i);
	answers(i, &l, h);
	link_close(&l);
	waits(i);
}

static void gain_trust(void)
{
	for (unsigned i = 0; i < 3; i++)
		waits(i);
	for (unsigned n = 0; n < 32; n++)
		one_job(n % 3);
}

static void assert_revoked(bool revoked)
{
	assert_int_equal(counted(STAT_RULES_REVOKED), 1 + revoked); /* one by up() */
	assert_int_equal(atomic_load(&engine_queue_filter[engine_queue_hash((const void *)MUTEX)]), !revoked);
}

/* ---- the only item ---- */

static void the_only_job_is_whose_it_was(void **state)
{
	struct link a = hook_accept(), b = hook_accept();
	struct handle of_a, of_b;

	(void)state;
	gain_trust();
	of_a = read_request(&a);
	push();
	pops(1);
	assert_has(1, of_a);
	of_b = read_request(&b);
	push();
	pops(2);
	assert_has(1, of_a);
	assert_has(2, of_b);
	answers(2, &b, of_b);
	answers(1, &a, of_a);
	assert_has_none(1);
	assert_has_none(2);
	link_close(&a);
	link_close(&b);
}

static void a_queue_is_not_believed_at_first(void **state)
{
	struct link a = hook_accept();
	struct handle of_a;

	(void)state;
	waits(0);
	of_a = read_request(&a);
	push();
	pops(0);
	assert_has_none(0);
	answers(0, &a, of_a);
	link_close(&a);
	assert_revoked(false);
}

static void of_several_none_is_known_until_it_was_empty(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), c = hook_accept();
	struct handle of_a, of_b, of_c;

	(void)state;
	gain_trust();
	of_a = read_request(&a);
	push();
	of_b = read_request(&b);
	push();
	pops(0);
	assert_has_none(0);
	pops(1); /* the last one; but which */
	assert_has_none(1);
	of_c = read_request(&c);
	push();
	pops(2);
	assert_has_none(2);
	answers(0, &b, of_b);
	answers(1, &a, of_a);
	answers(2, &c, of_c);
	link_close(&a);
	link_close(&b);
	link_close(&c);
	waits(0);
	of_a = HANDLE_NONE;
	a = hook_accept();
	of_a = read_request(&a);
	push();
	pops(1);
	assert_has(1, of_a);
	answers(1, &a, of_a);
	link_close(&a);
	assert_revoked(false);
}

static void a_push_of_nobodys_is_not_known(void **state)
{
	(void)state;
	gain_trust();
	push();
	pops(0);
	assert_has_none(0);
	assert_revoked(false);
}

/* The mutex may guard but a gate: another request can be behind it already, and is taken in its place. */
static void nothing_is_known_while_a_request_is_on_its_way_to_the_queue(void **state)
{
	struct link a = hook_accept(), b = hook_accept();
	struct handle of_a, of_b;

	(void)state;
	gain_trust();
	of_b = read_request(&b);
	of_a = read_request(&a);
	push();
	pops(0);
	assert_has_none(0);
	answers(0, &a, of_a);
	answers(1, &b, of_b);
	link_close(&a);
	link_close(&b);
	assert_revoked(false);
}

static void a_job_ends_with_its_request(void **state)
{
	struct link a = hook_accept();

	(void)state;
	gain_trust();
	(void)read_request(&a);
	push();
	pops(0);
	serve_end(&a); /* by somebody else */
	assert_has_none(0);
	link_close(&a);
}

/* ---- what a consumer does without waiting ---- */

static void a_consumer_that_looks_has_no_job_any_more(void **state)
{
	struct link a = hook_accept();
	struct handle of_a;

	(void)state;
	gain_trust();
	of_a = read_request(&a);
	push();
	pops(0);
	assert_has(0, of_a);
	job_queue_unlocking(&workers[0], MUTEX);
	assert_has_none(0);
	serve_end(&a);
	link_close(&a);
	assert_revoked(false);
}

static void what_it_may_have_taken_is_not_counted_on(void **state)
{
	struct link a = hook_accept(), b = hook_accept();
	struct handle of_b;

	(void)state;
	gain_trust();
	(void)read_request(&a);
	push();
	job_queue_unlocking(&workers[0], MUTEX);
	of_b = read_request(&b);
	push();
	pops(1);
	assert_has_none(1);
	answers(1, &b, of_b);
	serve_end(&a);
	link_close(&a);
	link_close(&b);
	assert_revoked(false);
}

/* ---- counter-examples ---- */

static void a_wrong_label_ends_it(void **state)
{
	struct link a = hook_accept(), b = hook_accept();
	struct handle of_a, of_b;

	(void)state;
	gain_trust();
	of_b = read_request(&b);
	push();
	pops(1);
	of_a = read_request(&a);
	push();
	pops(0);
	assert_has(0, of_a);
	answers(0, &b, of_b);
	assert_revoked(true);
	assert_has_none(1);
	answers(1, &a, of_a);
	link_close(&a);
	link_close(&b);
}

static void waiting_on_what_is_not_empty_ends_it(void **state)
{
	struct link a = hook_accept();

	(void)state;
	gain_trust();
	(void)read_request(&a);
	push();
	wakes(0);
	waits(0);
	assert_revoked(true);
	serve_end(&a);
	link_close(&a);
}

static void taking_what_was_not_pushed_ends_it(void **state)
{
	(void)state;
	gain_trust();
	pops(0);
	assert_revoked(true);
}

static void giving_up_does_not(void **state)
{
	(void)state;
	gain_trust();
	job_queue_waited(&workers[0], MUTEX, true);
	job_queue_unlocking(&workers[0], MUTEX);
	assert_revoked(false);
}

/* A pool of connections: who waits has a job already, and what it gets was given back by somebody else. */
static void waiting_with_a_job_ends_it(void **state)
{
	struct link a = hook_accept();

	(void)state;
	gain_trust();
	(void)read_request(&a);
	push();
	pops(0);
	waits(0);
	assert_revoked(true);
	serve_end(&a);
	link_close(&a);
}

static void waiting_with_a_request_ends_it(void **state)
{
	struct link a = hook_accept();

	(void)state;
	gain_trust();
	(void)read_request(&a);
	job_queue_waiting(thread_self(), CONDITION, MUTEX);
	assert_revoked(true);
	serve_end(&a);
	link_close(&a);
}

static void another_condition_with_its_mutex_ends_it(void **state)
{
	(void)state;
	gain_trust();
	job_queue_waiting(&workers[1], OTHER_CONDITION, MUTEX);
	assert_revoked(true);
}

static void a_consumer_of_two_queues_ends_both(void **state)
{
	(void)state;
	gain_trust();
	job_queue_waiting(&workers[1], OTHER_CONDITION, OTHER_MUTEX);
	assert_int_equal(counted(STAT_RULES_REVOKED), 3);
}

static void a_consumer_that_reads_requests_ends_it(void **state)
{
	struct link a = hook_accept();

	(void)state;
	gain_trust();
	(void)read_request(&a);
	push();
	pops(0);
	job_queue_asked(&workers[0]);
	assert_revoked(true);
	assert_has_none(0);
	serve_end(&a);
	link_close(&a);
}

/* ---- semaphores ---- */

static void takes(unsigned i)
{
	job_queue_waiting_semaphore(&workers[i]);
	job_queue_taken(&workers[i], SEMAPHORE);
	job_queue_unlocking(&workers[i], MUTEX);
}

static void gain_trust_in_semaphore(void)
{
	for (unsigned n = 0; n < 34; n++) {
		struct link l = hook_accept();
		struct handle h = read_request(&l);

		push();
		takes(n % 3);
		answers(n % 3, &l, h);
		link_close(&l);
	}
}

static void a_semaphore_counts_jobs(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), c = hook_accept();
	struct handle of_a, of_b, of_c;

	(void)state;
	gain_trust_in_semaphore();
	of_a = read_request(&a);
	push();
	takes(0);
	assert_has(0, of_a);
	of_b = read_request(&b);
	push();
	of_c = read_request(&c);
	push();
	takes(1);
	takes(2);
	assert_has_none(1);
	assert_has_none(2);
	answers(1, &c, of_c);
	answers(2, &b, of_b);
	answers(0, &a, of_a);
	link_close(&a);
	link_close(&b);
	link_close(&c);
	a = hook_accept();
	of_a = read_request(&a);
	push();
	takes(0);
	assert_has(0, of_a);
	answers(0, &a, of_a);
	link_close(&a);
	assert_revoked(false);
}

static void a_semaphore_that_gives_what_was_not_pushed_is_none(void **state)
{
	(void)state;
	gain_trust_in_semaphore();
	takes(0);
	assert_revoked(true);
}

static void a_semaphore_that_limits_is_no_queue(void **state)
{
	struct link a = hook_accept();

	(void)state;
	gain_trust_in_semaphore();
	(void)read_request(&a);
	push();
	takes(0);
	takes(0); /* with the job: for something else */
	assert_revoked(true);
	serve_end(&a);
	link_close(&a);
}

static void what_was_queued_before_we_looked_is_found_out(void **state)
{
	struct link a = hook_accept(), b = hook_accept();
	struct handle of_a, of_b;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		takes(i); /* three jobs that were there before */
	of_a = read_request(&a);
	push();
	takes(0);
	answers(0, &a, of_a);
	of_b = read_request(&b);
	push();
	takes(1);
	answers(1, &b, of_b);
	link_close(&a);
	link_close(&b);
	assert_revoked(false);
}

#define QUEUE_TEST(test) cmocka_unit_test_setup_teardown(test, up, rules_balanced)

int main(void)
{
	const struct CMUnitTest tests[] = {
		QUEUE_TEST(the_only_job_is_whose_it_was),
		QUEUE_TEST(a_queue_is_not_believed_at_first),
		QUEUE_TEST(of_several_none_is_known_until_it_was_empty),
		QUEUE_TEST(a_push_of_nobodys_is_not_known),
		QUEUE_TEST(nothing_is_known_while_a_request_is_on_its_way_to_the_queue),
		QUEUE_TEST(a_job_ends_with_its_request),
		QUEUE_TEST(a_consumer_that_looks_has_no_job_any_more),
		QUEUE_TEST(what_it_may_have_taken_is_not_counted_on),
		QUEUE_TEST(a_wrong_label_ends_it),
		QUEUE_TEST(waiting_on_what_is_not_empty_ends_it),
		QUEUE_TEST(taking_what_was_not_pushed_ends_it),
		QUEUE_TEST(giving_up_does_not),
		QUEUE_TEST(waiting_with_a_job_ends_it),
		QUEUE_TEST(waiting_with_a_request_ends_it),
		QUEUE_TEST(another_condition_with_its_mutex_ends_it),
		QUEUE_TEST(a_consumer_of_two_queues_ends_both),
		QUEUE_TEST(a_consumer_that_reads_requests_ends_it),
		QUEUE_TEST(a_semaphore_counts_jobs),
		QUEUE_TEST(a_semaphore_that_gives_what_was_not_pushed_is_none),
		QUEUE_TEST(a_semaphore_that_limits_is_no_queue),
		QUEUE_TEST(what_was_queued_before_we_looked_is_found_out),
	};

	return ENGINE_RUN_EACH(tests);
}
