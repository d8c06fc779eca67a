/* SPDX-License-Identifier: Apache-2.0 */
/* Whose work a coroutine does: by the stack that it runs on (rule 3). */
#include <alloca.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "shim/carrier.h"
#include "shim/coroutine.h"
#include "shim/engine.h"
#include "shim/thread.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/engine_hooks.h"
#include "tests/unit/rules_fixture.h"

static int up(void **state)
{
	(void)state;
	engine_up(NULL);
	no_thread_rule();
	return 0;
}

/* ---- coroutines; the engine hears of those that are "made", and of the others nothing ---- */

#define STACK_BYTES (256 * 1024)
#define COROUTINES 3

typedef void step(void *arg);

static struct coroutine {
	ucontext_t context;
	void *stack;
	step *next;
	void *arg;
} coroutines[COROUTINES];
static ucontext_t scheduler;
static struct coroutine *running;

static void run_steps(void)
{
	for (;;) {
		running->next(running->arg);
		swapcontext(&running->context, &scheduler);
	}
}

static void start(unsigned i)
{
	struct coroutine *c = &coroutines[i];

	if (!c->stack)
		c->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(c->stack, MAP_FAILED);
	getcontext(&c->context);
	c->context.uc_stack.ss_sp = c->stack;
	c->context.uc_stack.ss_size = STACK_BYTES;
	makecontext(&c->context, run_steps, 0);
}

static void start_all(void)
{
	for (unsigned i = 0; i < COROUTINES; i++)
		start(i);
}

static void make(unsigned i)
{
	engine_coroutine_made(coroutines[i].stack, STACK_BYTES, (void *)(uintptr_t)run_steps);
	start(i);
}

static void make_all(void)
{
	start_all();
	for (unsigned i = 0; i < COROUTINES; i++)
		make(i);
}

static void on(unsigned i, step *next, void *arg)
{
	running = &coroutines[i];
	running->next = next;
	running->arg = arg;
	swapcontext(&scheduler, &running->context);
}

/* ---- steps ---- */

static void read_request(void *arg)
{
	serve_begin(arg, REQUEST);
}

static void answer(void *arg)
{
	serve_end(arg);
}

static const struct record *called;

static void call_out(void *arg)
{
	called = call(arg, REQUEST);
}

static const struct record *call_on(unsigned i, struct link *out)
{
	on(i, call_out, out);
	return called;
}

static void serve(unsigned i, struct link *l)
{
	on(i, read_request, l);
	on(i, answer, l);
}

/* Enough answers from where the request was read to believe in stacks. */
static void gain_trust(void)
{
	struct link l = hook_accept();

	for (unsigned i = 0; i < 20; i++)
		serve(i % COROUTINES, &l);
	link_close(&l);
	spans_forget();
}

/* ---- what a coroutine has read ---- */

static void assert_each_knows_its_own(void)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();
	const struct record *of_a, *of_b;

	on(0, read_request, &a);
	on(1, read_request, &b);
	of_a = call_on(0, &out);
	of_b = call_on(1, &out);
	assert_int_equal(of_a->evidence, EVIDENCE_WORK_ITEM);
	assert_int_equal(of_b->evidence, EVIDENCE_WORK_ITEM);
	assert_int_equal(call(&out, REQUEST)->evidence, EVIDENCE_AMBIGUOUS); /* the scheduler itself */
	on(1, answer, &b);
	on(0, answer, &a);
	assert_true(span_is_child_of(of_b, span_nth(SPAN_SERVER, 0)));
	assert_true(span_is_child_of(of_a, span_nth(SPAN_SERVER, 1)));
	link_close(&a);
	link_close(&b);
	link_close(&out);
}

static void made_coroutines_are_known_at_once(void **state)
{
	(void)state;
	make_all();
	assert_each_knows_its_own();
}

static void others_once_they_have_shown_themselves(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();

	(void)state;
	start_all();
	on(0, read_request, &a);
	on(1, read_request, &b);
	assert_int_equal(call_on(0, &out)->evidence, EVIDENCE_AMBIGUOUS);
	on(0, answer, &a);
	on(1, answer, &b);
	link_close(&a);
	link_close(&b);
	link_close(&out);
	gain_trust();
	assert_each_knows_its_own();
}

static void an_answered_request_is_not_the_next_ones(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();

	(void)state;
	make_all();
	serve(0, &a);
	on(1, read_request, &b);
	on(2, read_request, &a);
	assert_int_equal(call_on(0, &out)->evidence, EVIDENCE_AMBIGUOUS);
	on(1, answer, &b);
	on(2, answer, &a);
	link_close(&a);
	link_close(&b);
	link_close(&out);
}

static void the_next_pipelined_request_is_its_own_too(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();
	const struct record *r;

	(void)state;
	make_all();
	peer_says(&a, REQUEST);
	on(0, read_request, &a);
	on(1, read_request, &b);
	on(0, answer, &a);
	r = call_on(0, &out);
	on(0, answer, &a);
	assert_int_equal(r->evidence, EVIDENCE_WORK_ITEM);
	assert_true(span_is_child_of(r, span_nth(SPAN_SERVER, 1)));
	on(1, answer, &b);
	link_close(&a);
	link_close(&b);
	link_close(&out);
}

static void a_thread_that_serves_is_not_the_parent_of_its_coroutines(void **state)
{
	struct link a, out;

	(void)state;
	engine_up(NULL);
	a = hook_accept();
	out = idle_connection();
	make_all();
	serve_begin(&a, REQUEST);
	assert_int_equal(call(&out, REQUEST)->evidence, EVIDENCE_THREAD);
	assert_int_equal(call_on(0, &out)->evidence, EVIDENCE_AMBIGUOUS);
	end_one(&a, &out);
}

/* ---- counter-examples ---- */

static void assert_no_longer_believed(void)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();

	assert_int_equal(counted(STAT_RULES_REVOKED), 2); /* the thread rule by up() */
	on(0, read_request, &a);
	on(1, read_request, &b);
	assert_int_equal(call_on(0, &out)->evidence, EVIDENCE_AMBIGUOUS);
	on(0, answer, &a);
	on(1, answer, &b);
	link_close(&a);
	link_close(&b);
	link_close(&out);
}

static void one_that_leaves_the_answer_to_others_ends_it(void **state)
{
	struct link a = hook_accept();

	(void)state;
	make_all();
	on(0, read_request, &a);
	on(1, answer, &a);
	link_close(&a);
	assert_no_longer_believed();
}

static void one_whose_thread_answers_ends_it(void **state)
{
	struct link a = hook_accept();

	(void)state;
	start_all();
	gain_trust();
	on(0, read_request, &a);
	answer(&a);
	link_close(&a);
	assert_no_longer_believed();
}

static void one_that_reads_another_request_first_ends_it(void **state)
{
	struct link a = hook_accept(), b = hook_accept();

	(void)state;
	start_all();
	gain_trust();
	on(0, read_request, &a);
	on(0, read_request, &b);
	on(0, answer, &a);
	on(0, answer, &b);
	link_close(&a);
	link_close(&b);
	assert_no_longer_believed();
}

static void read_deeper(void *l)
{
	char volatile *space = alloca(22000);

	space[0] = 0;
	serve_begin(l, REQUEST);
}

static void deeper_call(void *out)
{
	char volatile *space = alloca(11000);

	space[0] = 0;
	called = call(out, REQUEST);
}

static void stacks_too_near_to_be_told_apart_end_it(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();

	(void)state;
	start_all();
	gain_trust();
	on(0, read_request, &a);
	on(0, read_deeper, &b);
	on(0, deeper_call, &out);
	assert_int_equal(called->evidence, EVIDENCE_AMBIGUOUS);
	on(0, answer, &a);
	on(0, read_deeper, &b);
	link_close(&a);
	serve_end(&b);
	serve_end(&b);
	link_close(&b);
	link_close(&out);
	assert_int_equal(counted(STAT_RULES_REVOKED), 2);
}

/* The stack is given to another coroutine while the request that was read on it is still open. */
static void a_stack_made_anew_forgets(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();

	(void)state;
	make_all();
	on(1, read_request, &b);
	on(0, read_request, &a);
	make(0);
	assert_int_equal(call_on(0, &out)->evidence, EVIDENCE_AMBIGUOUS);
	serve_end(&a);
	on(1, answer, &b);
	link_close(&a);
	link_close(&b);
	link_close(&out);
}

/* ---- made by somebody ---- */

static void gain_trust_in_makers(void)
{
	struct link a = hook_accept();

	on(1, read_request, &a);
	for (unsigned i = 0; i < 70; i++)
		make(0);
	on(1, answer, &a);
	link_close(&a);
	spans_forget();
}

static void make_on(void *arg)
{
	make(*(unsigned *)arg);
}

static void a_coroutine_is_its_makers(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();
	const struct record *r;
	unsigned two = 2;

	(void)state;
	make_all();
	on(0, read_request, &a);
	on(1, read_request, &b);
	on(0, make_on, &two);
	assert_int_equal(call_on(2, &out)->evidence, EVIDENCE_AMBIGUOUS); /* it may be kept, for all we know yet */
	on(0, answer, &a);
	on(1, answer, &b);
	gain_trust_in_makers();
	on(0, read_request, &a);
	on(1, read_request, &b);
	on(0, make_on, &two);
	r = call_on(2, &out);
	assert_int_equal(r->evidence, EVIDENCE_WORK_ITEM);
	on(0, answer, &a);
	assert_true(span_is_child_of(r, span_nth(SPAN_SERVER, 0)));
	on(1, answer, &b);
	link_close(&a);
	link_close(&b);
	link_close(&out);
}

/* What is kept after its maker's request is handed other work. */
static void coroutines_that_are_kept_have_no_maker(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();
	unsigned two = 2;

	(void)state;
	make_all();
	gain_trust_in_makers();
	on(0, read_request, &a);
	on(0, make_on, &two);
	on(0, answer, &a);
	on(1, read_request, &b);
	assert_int_equal(call_on(2, &out)->evidence, EVIDENCE_AMBIGUOUS);
	assert_int_equal(counted(STAT_DETACHED), 0);
	on(1, make_on, &two);
	on(0, read_request, &a);
	assert_int_equal(call_on(2, &out)->evidence, EVIDENCE_AMBIGUOUS);
	on(0, answer, &a);
	on(1, answer, &b);
	link_close(&a);
	link_close(&b);
	link_close(&out);
}

static void one_that_reads_requests_is_not_its_makers(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();
	const struct record *r;
	unsigned two = 2;

	(void)state;
	make_all();
	gain_trust_in_makers();
	on(0, read_request, &a);
	on(0, make_on, &two);
	on(2, read_request, &b);
	r = call_on(2, &out);
	on(2, answer, &b);
	assert_true(span_is_child_of(r, span_nth(SPAN_SERVER, 0)));
	assert_int_equal(counted(STAT_RULES_REVOKED), 2);
	assert_int_equal(call_on(2, &out)->evidence, EVIDENCE_AMBIGUOUS);
	on(0, answer, &a);
	link_close(&a);
	link_close(&b);
	link_close(&out);
}

/* ---- work items on coroutines ---- */

static void switching_in_the_middle_of_a_work_item(void **state)
{
	struct link a = hook_accept(), b = hook_accept(), out = idle_connection();
	struct carrier_saved saved;
	struct label item;
	const struct record *r;

	(void)state;
	make_all();
	on(0, read_request, &a);
	on(1, read_request, &b);
	item = (struct label){.kind = LABEL_NONE};
	carrier_begin(thread_self(), &item, &saved);
	r = call_on(0, &out);
	assert_no_parent(call(&out, REQUEST), EVIDENCE_ROOT, 0);
	carrier_end(thread_self(), &saved);
	on(0, answer, &a);
	assert_true(span_is_child_of(r, span_nth(SPAN_SERVER, 0)));
	on(1, answer, &b);
	link_close(&a);
	link_close(&b);
	link_close(&out);
}

/* ---- threads ---- */

static void *runs_a_coroutine(void *out)
{
	serve_begin(&((struct link *)out)[1], REQUEST);
	assert_int_equal(call(out, REQUEST)->evidence, EVIDENCE_THREAD);
	(void)call_on(0, out);
	serve_end(&((struct link *)out)[1]);
	return NULL;
}

/* A coroutine knows its request wherever it runs; the thread knows its own stack. */
static void coroutines_move_between_threads(void **state)
{
	struct link a = hook_accept(), links[2] = {idle_connection(), hook_accept()};
	struct thread_run run;

	(void)state;
	make_all();
	on(0, read_request, &a);
	run_thread(&run, runs_a_coroutine, links);
	join_thread(&run);
	on(0, answer, &a);
	assert_int_equal(called->evidence, EVIDENCE_WORK_ITEM);
	assert_true(span_is_child_of(called, span_nth(SPAN_SERVER, 1)));
	link_close(&a);
	link_close(&links[0]);
	link_close(&links[1]);
}

static void *deep_down(void *out)
{
	char volatile *space = alloca(4 * 1024 * 1024);

	space[0] = 0;
	return runs_a_coroutine(out);
}

static void a_threads_stack_is_its_own_to_the_bottom(void **state)
{
	struct link a = hook_accept(), links[2] = {idle_connection(), hook_accept()};
	struct thread_run run;

	(void)state;
	make_all();
	on(0, read_request, &a);
	run_thread(&run, deep_down, links);
	join_thread(&run);
	on(0, answer, &a);
	link_close(&a);
	link_close(&links[0]);
	link_close(&links[1]);
}

#define COROUTINE_TEST(test) cmocka_unit_test_setup_teardown(test, up, rules_balanced)

int main(void)
{
	const struct CMUnitTest tests[] = {
		COROUTINE_TEST(made_coroutines_are_known_at_once),
		COROUTINE_TEST(others_once_they_have_shown_themselves),
		COROUTINE_TEST(an_answered_request_is_not_the_next_ones),
		COROUTINE_TEST(the_next_pipelined_request_is_its_own_too),
		cmocka_unit_test_teardown(a_thread_that_serves_is_not_the_parent_of_its_coroutines, rules_balanced),
		COROUTINE_TEST(one_that_leaves_the_answer_to_others_ends_it),
		COROUTINE_TEST(one_whose_thread_answers_ends_it),
		COROUTINE_TEST(one_that_reads_another_request_first_ends_it),
		COROUTINE_TEST(stacks_too_near_to_be_told_apart_end_it),
		COROUTINE_TEST(a_stack_made_anew_forgets),
		COROUTINE_TEST(a_coroutine_is_its_makers),
		COROUTINE_TEST(coroutines_that_are_kept_have_no_maker),
		COROUTINE_TEST(one_that_reads_requests_is_not_its_makers),
		COROUTINE_TEST(switching_in_the_middle_of_a_work_item),
		COROUTINE_TEST(coroutines_move_between_threads),
		COROUTINE_TEST(a_threads_stack_is_its_own_to_the_bottom),
	};

	return ENGINE_RUN_EACH(tests);
}
