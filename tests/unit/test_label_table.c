/* SPDX-License-Identifier: Apache-2.0 */
/* Labels by address: found until dropped, nothing left behind, and a full table is known to be one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "hooks/runtimes/label_table.h"

#define ROOM 1024u

static struct label numbered(uint32_t n)
{
	struct label l = {.kind = LABEL_CONTEXT, .connection = {n, ~n}};

	memset(l.context.trace_id, (int)n, sizeof(l.context.trace_id));
	return l;
}

static bool is_numbered(const struct label *l, uint32_t n)
{
	struct label wanted = numbered(n);

	return l->kind == wanted.kind && l->connection.slot == n && l->connection.gen == ~n &&
	       memcmp(l->context.trace_id, wanted.context.trace_id, sizeof(wanted.context.trace_id)) == 0;
}

static const void *key(uintptr_t n)
{
	return (const void *)(0x7f0000000000 + n * 80);
}

static void a_label_is_found_until_it_is_dropped(void **state)
{
	struct label_table t = {0};
	struct label one = numbered(1), two = numbered(2), found;

	(void)state;
	assert_false(label_table_get(&t, key(1), &found)); /* before it is started */
	assert_int_equal(label_table_start(&t, ROOM), 0);
	assert_false(label_table_get(&t, key(1), &found));
	assert_true(label_table_set(&t, key(1), &one));
	assert_true(label_table_get(&t, key(1), &found));
	assert_true(is_numbered(&found, 1));
	assert_true(label_table_set(&t, key(1), &two));
	assert_true(label_table_get(&t, key(1), &found));
	assert_true(is_numbered(&found, 2));
	assert_true(label_table_drop(&t, key(1)));
	assert_false(label_table_get(&t, key(1), &found));
	assert_false(label_table_drop(&t, key(1)));
}

/* Half full all the time, a million come and go. */
static void dropping_leaves_nothing_behind(void **state)
{
	struct label_table t = {0};
	struct label found;

	(void)state;
	assert_int_equal(label_table_start(&t, ROOM), 0);
	for (uint32_t i = 0; i < 1000000; i++) {
		struct label l = numbered(i);

		assert_true(label_table_set(&t, key(i), &l));
		if (i < ROOM / 4)
			continue;
		assert_true(label_table_get(&t, key(i - ROOM / 4), &found));
		assert_true(is_numbered(&found, i - ROOM / 4));
		assert_true(label_table_drop(&t, key(i - ROOM / 4)));
	}
	assert_true(label_table_is_whole(&t));
}

static void a_table_that_was_full_once_says_so(void **state)
{
	struct label_table t = {0};
	struct label l = numbered(1);
	uint32_t taken = 0;

	(void)state;
	assert_int_equal(label_table_start(&t, ROOM), 0);
	while (label_table_set(&t, key(taken), &l))
		taken++;
	assert_in_range(taken, ROOM / 2, ROOM);
	assert_false(label_table_is_whole(&t));
	while (taken-- > 0)
		assert_true(label_table_drop(&t, key(taken)));
	assert_true(label_table_set(&t, key(0), &l));
	assert_false(label_table_is_whole(&t));
}

#define THREADS 4
#define ROUNDS 100000

struct worker {
	struct label_table *table;
	uint32_t number, wrong;
};

static void *come_and_go(void *arg)
{
	struct worker *w = arg;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t n = i * THREADS + w->number;
		struct label l = numbered(n), found;

		if (!label_table_set(w->table, key(n), &l) || !label_table_get(w->table, key(n), &found) ||
		    !is_numbered(&found, n) || !label_table_drop(w->table, key(n)))
			w->wrong++;
	}
	return NULL;
}

static void threads_do_not_meet(void **state)
{
	struct label_table t = {0};
	struct worker workers[THREADS];
	pthread_t threads[THREADS];

	(void)state;
	assert_int_equal(label_table_start(&t, ROOM), 0);
	for (uint32_t i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){&t, i, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &workers[i]), 0);
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(workers[i].wrong, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_label_is_found_until_it_is_dropped),
		cmocka_unit_test(dropping_leaves_nothing_behind),
		cmocka_unit_test(a_table_that_was_full_once_says_so),
		cmocka_unit_test(threads_do_not_meet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
