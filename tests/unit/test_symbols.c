/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of this very program, and files that are not what they should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "export/elf.h"
#include "export/symbols.h"
#include "shim/task.h"

void a_function_to_find(void);

__attribute__((noinline)) void a_function_to_find(void)
{
	__asm__ volatile("nop; nop; nop; nop" ::: "memory");
}

static uint64_t address_in(unsigned into)
{
	return (uint64_t)(uintptr_t)&a_function_to_find + into;
}

static struct symbols mine(void)
{
	struct symbols s = {0};

	symbols_begin(&s, (uint32_t)getpid(), task_start_time((uint32_t)getpid()));
	return s;
}

static void functions_are_named(void **state)
{
	struct symbols s = mine();
	const uint64_t stack[] = {address_in(1), address_in(3), 16};
	char text[4096], *second, *third;
	size_t len = symbols_text(&s, stack, 3, text, sizeof(text) - 1);

	(void)state;
	text[len] = '\0';
	assert_int_equal(strncmp(text, "a_function_to_find+0x1 (", 24), 0);
	assert_non_null(strstr(text, "/test_symbols+0x"));
	second = strchr(text, '\n');
	assert_non_null(second);
	/* A return address names the call before it, and the place after it. */
	assert_int_equal(strncmp(second, "\na_function_to_find+0x3 (", 25), 0);
	third = strchr(second + 1, '\n');
	assert_non_null(third);
	assert_string_equal(third, "\n0x10");
	/* The build id is said once for each file. */
	*second = '\0';
	assert_non_null(strstr(text, ") build-id "));
	assert_null(strstr(second + 1, "build-id"));
	symbols_free(&s);
}

/* The byte before a function belongs to another one; a call that never returns may be a function's last instruction. */
static void a_return_address_may_lie_behind_its_function(void **state)
{
	struct symbols s = mine();
	uint64_t stack[] = {address_in(0), address_in(0)};
	char text[4096], *second;
	size_t len = symbols_text(&s, stack, 2, text, sizeof(text) - 1);

	(void)state;
	text[len] = '\0';
	assert_int_equal(strncmp(text, "a_function_to_find+0x0 (", 24), 0);
	second = strchr(text, '\n');
	assert_non_null(second);
	assert_null(strstr(second, "a_function_to_find"));
	symbols_free(&s);
}

static void whole_lines_only(void **state)
{
	struct symbols s = mine();
	const uint64_t stack[] = {address_in(1), address_in(1)};
	char text[4096];
	size_t whole = symbols_text(&s, stack, 1, text, sizeof(text));

	(void)state;
	assert_int_equal(symbols_text(&s, stack, 2, text, whole), whole);
	assert_int_equal(symbols_text(&s, stack, 2, text, whole + 10), whole);
	assert_int_equal(symbols_text(&s, stack, 1, text, whole - 1), 0);
	symbols_free(&s);
}

static void nobodys_addresses_stay_numbers(void **state)
{
	struct symbols s = {0};
	const uint64_t stack[] = {address_in(1)};
	char text[100], expected[100];
	int n = snprintf(expected, sizeof(expected), "0x%llx", (unsigned long long)stack[0]);

	(void)state;
	assert_int_equal(symbols_text(NULL, stack, 1, text, sizeof(text)), n);
	assert_memory_equal(text, expected, (size_t)n);
	/* The number of a process that is gone, and perhaps another one's by now. */
	symbols_begin(&s, (uint32_t)getpid(), 1);
	assert_int_equal(symbols_text(&s, stack, 1, text, sizeof(text)), n);
	symbols_free(&s);
}

/* ---- files ---- */

static uint8_t *read_self(size_t *ret_len)
{
	FILE *file = fopen("/proc/self/exe", "re");
	uint8_t *bytes = NULL;
	size_t len = 0, n;

	assert_non_null(file);
	do {
		bytes = realloc(bytes, len + 65536);
		assert_non_null(bytes);
		n = fread(bytes + len, 1, 65536, file);
		len += n;
	} while (n > 0);
	fclose(file);
	*ret_len = len;
	return bytes;
}

static void write_file(const char *path, const uint8_t *bytes, size_t len)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	fclose(file);
}

static void look_up_everywhere(const char *path)
{
	struct elf *elf = elf_open(path);
	uint64_t into;

	for (uint64_t offset = 0; elf && offset < 1 << 20; offset += 65537) {
		const char *name = elf_function(elf, offset, &into);

		if (name)
			assert_true(strlen(name) < elf->names_len);
	}
	elf_free(elf);
}

/* What one was told is remembered; others share its place there. */
static void the_answer_is_the_same_each_time(void **state)
{
	struct elf *fresh = elf_open("/proc/self/exe"), *asked = elf_open("/proc/self/exe");
	unsigned named = 0;

	(void)state;
	assert_non_null(fresh);
	assert_non_null(asked);
	for (unsigned round = 0; round < 3; round++) {
		for (uint64_t offset = 0; offset < 1 << 20; offset += 61) {
			uint64_t into = 0, again = 0;
			const char *name = elf_function(asked, offset, &into);

			if (round > 0 && offset % 7)
				continue;
			memset(fresh->remembered, 0, sizeof(fresh->remembered));

			const char *once = elf_function(fresh, offset, &again);

			assert_int_equal(name != NULL, once != NULL);
			if (!name)
				continue;
			named++;
			assert_string_equal(name, once);
			assert_int_equal(into, again);
		}
	}
	assert_true(named > 100);
	elf_free(fresh);
	elf_free(asked);
}

static void broken_files_do_no_harm(void **state)
{
	char path[] = "/tmp/test_symbols.XXXXXX";
	int fd = mkstemp(path);
	size_t len, section_headers;
	uint8_t *bytes = read_self(&len);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	memcpy(&section_headers, bytes + 40, sizeof(section_headers));
	for (size_t cut = 0; cut < len; cut += len / 23 + 1) {
		write_file(path, bytes, cut);
		look_up_everywhere(path);
	}
	srandom(1);
	for (unsigned round = 0; round < 400; round++) {
		/* Where the numbers are: the headers at the beginning and at the end. */
		size_t from = round % 2 ? 0 : section_headers, span = round % 2 ? 1024 : len - section_headers;
		size_t at = from + (size_t)random() % span;
		uint8_t kept[8];

		at = at > len - 8 ? len - 8 : at;
		memcpy(kept, bytes + at, 8);
		memset(bytes + at, round % 3 ? 0xff : (int)random(), round % 5 ? 8 : 1);
		write_file(path, bytes, len);
		look_up_everywhere(path);
		memcpy(bytes + at, kept, 8);
	}
	assert_null(elf_open("/dev/null"));
	assert_null(elf_open("/"));
	unlink(path);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_are_named),
		cmocka_unit_test(a_return_address_may_lie_behind_its_function),
		cmocka_unit_test(whole_lines_only),
		cmocka_unit_test(nobodys_addresses_stay_numbers),
		cmocka_unit_test(the_answer_is_the_same_each_time),
		cmocka_unit_test(broken_files_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
