/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The surroundings of the tests of hooks: real functions that write down what they were called with and answer what the
 * test set, and hooks that are called as a program calls them. Each test program is one file and includes this once.
 */
#include "tests/double/engine_recording.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <cmocka.h>

#include "shim/real.h"

#define FD 700    /* watched; numbers that the test program itself never opens */
#define OTHER 701 /* not watched */

static struct {
	long result;
	int error;
	int calls;
	long arg[7];
} fake;

/* errno changes only on failure, as in libc. */
static long answer(long a, long b, long c, long d, long e, long f, long g)
{
	long arg[] = { a, b, c, d, e, f, g };

	memcpy(fake.arg, arg, sizeof(arg));
	fake.calls++;
	if (fake.result < 0)
		errno = fake.error;
	return fake.result;
}

static int setup(void **state)
{
	(void)state;
	recording_start();
	real = (struct real){ 0 };
	real_resolve();
	fdtable_set(FD, FD_CONNECTION, 1);
	memset(&fake, 0, sizeof(fake));
	errno = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	real = (struct real){ 0 };
	real_resolve();
	return 0;
}

/* Every real function answers through the one double. The calling convention passes words, whatever the signature. */
#define FAKE(name) (real.name = (__typeof__(real.name))(void (*)(void))answer)

#define CALL(expected_result, expected_error, call)                                                                    \
	do {                                                                                                           \
		fake.result = expected_result;                                                                         \
		fake.error = expected_error;                                                                           \
		errno = (expected_result) < 0 ? 0 : 4242;                                                              \
		long called = (long)(call);                                                                            \
		int errno_after = errno;                                                                               \
		assert_int_equal(called, (long)(expected_result));                                                     \
		assert_int_equal(errno_after, (expected_result) < 0 ? expected_error : 4242);                          \
	} while (0)

#define TOLD(text) assert_string_equal(recording(), text)

static char buf[64] __attribute__((unused));
static struct iovec two[2] __attribute__((unused)) = { { buf, 8 }, { buf + 8, 16 } };
static struct sockaddr_storage peer = { .ss_family = AF_INET };
static struct sockaddr *const peer_addr __attribute__((unused)) = (struct sockaddr *)&peer;

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
