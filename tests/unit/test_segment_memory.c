/* SPDX-License-Identifier: Apache-2.0 */
/* A writer whose page is long in coming: the kernel has it wait, and this program is who lets it go on (userfaultfd). */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/segment_fixture.h"

static struct segment segment;
static int faults = -1;

/* Every first touch of a ring's page waits for this program from now on. False: this kernel or user may not have that. */
static bool hold_up_the_rings(void)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_MISSING_SHMEM};
	struct uffdio_register rings = {
		.range = {.start = (uintptr_t)segment.rings, .len = segment.n_shards * segment.shard_bytes},
		.mode = UFFDIO_REGISTER_MODE_MISSING};

	faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	return faults >= 0 && ioctl(faults, UFFDIO_API, &api) == 0 && ioctl(faults, UFFDIO_REGISTER, &rings) == 0;
}

static uint64_t next_page_waited_for(void)
{
	struct uffd_msg message;

	do
		assert_int_equal(read(faults, &message, sizeof(message)), sizeof(message));
	while (message.event != UFFD_EVENT_PAGEFAULT);
	return message.arg.pagefault.address & ~(uint64_t)(SEGMENT_PAGE - 1);
}

static void give_page(uint64_t address)
{
	struct uffdio_zeropage page = {.range = {.start = address, .len = SEGMENT_PAGE}};

	assert_int_equal(ioctl(faults, UFFDIO_ZEROPAGE, &page), 0);
}

static void *write_one(void *arg)
{
	static _Thread_local _Alignas(8) uint8_t memory[256];
	uint32_t home = *(uint32_t *)arg;
	bool wake;

	assert_int_equal(segment_append(&segment, make_record(memory, 256, home, 1), &home, &wake), 0);
	return NULL;
}

/* With each of many writers in the kernel for a page, there is still a shard for whoever comes. */
static void who_waits_for_memory_holds_no_shard(void **state)
{
	pthread_t writer[4];
	uint32_t home[4], held = 0, i, k;
	uint64_t page[4];

	(void)state;
	make_segment(&segment, 1);
	if (!hold_up_the_rings()) {
		print_message("userfaultfd cannot be had here: %s\n", strerror(errno));
		drop_segment(&segment);
		skip();
	}
	for (i = 0; i < 4; i++) {
		home[i] = i;
		assert_int_equal(pthread_create(&writer[i], NULL, write_one, &home[i]), 0);
		page[i] = next_page_waited_for();
		for (k = 0; k < segment.n_shards; k++)
			held += atomic_load(&segment.header->shards[k].owner) != 0;
	}
	for (i = 0; i < 4; i++)
		give_page(page[i]);
	for (i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(writer[i], NULL), 0);
		assert_int_equal(segment.header->shards[i].head, 256);
	}
	assert_int_equal(held, 0);
	close(faults);
	drop_segment(&segment);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(who_waits_for_memory_holds_no_shard)};

	return cmocka_run_group_tests(tests, set_deadline, NULL);
}
