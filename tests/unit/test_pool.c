/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/engine_fixture.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "shim/pool.h"

static void slots_are_distinct_until_given_back(void **state)
{
	struct pool pool = {0};
	uint32_t a, b;

	(void)state;
	assert_int_equal(pool_start(&pool, 100, 2), 0);
	a = pool_take(&pool);
	b = pool_take(&pool);
	assert_int_not_equal(a, b);
	assert_int_equal(pool_take(&pool), 0);
	pool_give(&pool, a);
	assert_int_equal(pool_take(&pool), a);
}

static void a_slot_given_back_is_of_another_generation(void **state)
{
	struct pool pool = {0};
	uint32_t slot, generation;

	(void)state;
	assert_int_equal(pool_start(&pool, 8, 4), 0);
	slot = pool_take(&pool);
	generation = pool_generation(&pool, slot);
	pool_give(&pool, slot);
	assert_int_not_equal(pool_generation(&pool, slot), generation);
	assert_int_equal(pool_slot(pool_at(&pool, slot)), slot);
}

#define ROUNDS 200000

static struct pool shared;

/* Each holder writes its mark; if a slot were handed out twice, marks would be found changed. */
static void *take_and_give(void *arg)
{
	uintptr_t mark = (uintptr_t)arg;

	for (int i = 0; i < ROUNDS; i++) {
		uint32_t slot = pool_take(&shared);
		volatile uintptr_t *p;

		if (!slot)
			continue;
		p = pool_at(&shared, slot);
		*p = mark;
		if (*p != mark)
			return (void *)1;
		pool_give(&shared, slot);
	}
	return NULL;
}

static void threads_never_share_a_slot(void **state)
{
	pthread_t threads[3];
	void *failed;

	(void)state;
	assert_int_equal(pool_start(&shared, sizeof(uintptr_t), 3), 0);
	for (uintptr_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, (void *)(i + 1)), 0);
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
}

/* Of the mapping that holds address: does its line of VmFlags in /proc/self/smaps have flag? */
static bool mapping_has_flag(const void *address, const char *flag)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	bool here = false, found = false;
	uintptr_t low, high;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &low, &high) == 2)
			here = (uintptr_t)address >= low && (uintptr_t)address < high;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, flag) != NULL;
	}
	fclose(f);
	return found;
}

static void huge_pages_are_declined(void **state)
{
	struct pool pool = {0};

	(void)state;
	assert_int_equal(pool_start(&pool, 4096, 4096), 0);
	assert_true(mapping_has_flag(pool_at(&pool, pool_take(&pool)), " nh"));
}

/* More than the mapping of all tables has room for. */
static void a_table_too_many_has_a_mapping_of_its_own(void **state)
{
	struct pool pools[3] = {{0}};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pool_start(&pools[i], 4032, 300000), 0);
		memset(pool_at(&pools[i], pool_take(&pools[i])), (int)i + 1, 4032);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(*(uint8_t *)pool_at(&pools[i], 1), i + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_are_distinct_until_given_back),
		cmocka_unit_test(a_slot_given_back_is_of_another_generation),
		cmocka_unit_test(threads_never_share_a_slot),
		cmocka_unit_test(huge_pages_are_declined),
		cmocka_unit_test(a_table_too_many_has_a_mapping_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
