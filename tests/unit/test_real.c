/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The look-up, linked into this program so that "behind us" is everything the program loads. Its libraries, in this
 * order: real_sysv (SysV hash alone; bind), real_versions (two versions of dup, a foreign dup3, a hidden listen,
 * an IFUNC shutdown), then libc.
 */
#include "shim/real.h"

#include <errno.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <cmocka.h>

extern int marker_bind(void), marker_dup_new(void), marker_shutdown(void);

static const struct {
	const char *name;
	const char *version;
} doubled[] = {
#define HOOK(name) { #name, NULL },
#define HOOK_AT(name, version) { #name, #version },
#include "shim/real.def"
#undef HOOK
};

static void *pointer(size_t i)
{
	void *p;

	memcpy(&p, (char *)&real + i * sizeof(p), sizeof(p));
	return p;
}

/* The sanitizer's runtime stands before libc and has no versions. */
static bool is_interceptor(void *function)
{
	Dl_info info;

	return dladdr(function, &info) && strstr(info.dli_fname, "san");
}

static void every_name_is_what_the_loader_would_bind(void **state)
{
	(void)state;
	memset(&real, 0, sizeof(real));
	real_resolve();
	for (size_t i = 0; i < sizeof(doubled) / sizeof(doubled[0]); i++) {
		const char *name = doubled[i].name;
		void *expected = dlsym(RTLD_NEXT, name);

		/* real_versions defines these two in ways that dlsym, which knows no version, takes and we must not. */
		if (strcmp(name, "dup3") == 0)
			expected = dlvsym(RTLD_NEXT, name, "GLIBC_2.9");
		if (strcmp(name, "listen") == 0)
			expected = dlvsym(RTLD_NEXT, name, "GLIBC_2.2.5");
		if (doubled[i].version && !is_interceptor(expected))
			expected = dlvsym(RTLD_NEXT, name, doubled[i].version);
		assert_non_null(expected);
		if (pointer(i) != expected)
			fail_msg("%s: %p, expected %p", name, pointer(i), expected);
	}
}

static void an_object_with_sysv_hash_alone_is_searched(void **state)
{
	(void)state;
	assert_ptr_equal(real.bind, marker_bind);
}

static void the_default_version_wins_inside_an_object(void **state)
{
	(void)state;
	assert_ptr_equal(real.dup, marker_dup_new);
}

static void an_indirect_function_is_called_for_its_address(void **state)
{
	(void)state;
	assert_ptr_equal(real.shutdown, marker_shutdown);
}

static void members_that_are_set_stay(void **state)
{
	(void)state;
	real.read = (__typeof__(real.read))(void (*)(void))marker_bind;
	real_resolve();
	assert_ptr_equal(real.read, marker_bind);
	real.read = NULL;
	real_resolve();
	assert_non_null(real.read);
}

static void a_missing_function_answers_enosys(void **state)
{
	(void)state;
	errno = 0;
	assert_int_equal(real_missing(), -1);
	assert_int_equal(errno, ENOSYS);
}

static void find_prefers_libc(void **state)
{
	(void)state;

	/* real_sysv defines it too, before libc. */
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);

	assert_ptr_equal(real_find("getppid"), dlsym(libc, "getppid"));
	dlclose(libc);
	assert_non_null(real_find("dlsym"));
	assert_non_null(real_find("pthread_attr_init"));
	/* An IFUNC of libc's own. */
	assert_ptr_equal(real_find("gettimeofday"), dlsym(RTLD_DEFAULT, "gettimeofday"));
	assert_null(real_find("no_such_function_anywhere"));
	assert_null(real_find(""));
}

/* The vdso's dynamic section is read-only: its pointers are offsets. */
static void an_object_with_unrelocated_pointers_is_searched(void **state)
{
	uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
	uintptr_t found = (uintptr_t)real_find("__vdso_clock_gettime");

	(void)state;
	if (!vdso)
		skip();
	assert_true(found > vdso && found - vdso < 0x10000);
}

/* A copy of the look-up in an object opened with dlopen has nothing behind it and must look before itself. */
static void an_opened_copy_finds_what_came_before(void **state)
{
	void *copy = dlopen(getenv("REAL_COPY"), RTLD_NOW | RTLD_LOCAL);

	(void)state;
	assert_non_null(copy);

	void *(*copy_real)(const char *) = (void *(*)(const char *))dlsym(copy, "copy_real");

	assert_non_null(copy_real);
	assert_ptr_equal(copy_real("read"), dlsym(RTLD_DEFAULT, "read"));
	assert_ptr_equal(copy_real("bind"), marker_bind);
	assert_ptr_equal(copy_real("pthread_cond_wait"), real.pthread_cond_wait);
	dlclose(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_name_is_what_the_loader_would_bind),
		cmocka_unit_test(an_object_with_sysv_hash_alone_is_searched),
		cmocka_unit_test(the_default_version_wins_inside_an_object),
		cmocka_unit_test(an_indirect_function_is_called_for_its_address),
		cmocka_unit_test(members_that_are_set_stay),
		cmocka_unit_test(a_missing_function_answers_enosys),
		cmocka_unit_test(find_prefers_libc),
		cmocka_unit_test(an_object_with_unrelocated_pointers_is_searched),
		cmocka_unit_test(an_opened_copy_finds_what_came_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
