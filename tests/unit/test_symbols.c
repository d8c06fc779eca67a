/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of this very program, and files that are not what they should be. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

/* ---- tables ---- */

#define TABLE_SYMBOLS 60
#define TABLE_SPAN 400 /* addresses, and bytes of the file */

/* A file with one segment, whose addresses are its offsets, and a symbol for each letter-and-number name. */
struct made {
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	Elf64_Shdr sections[2];
	Elf64_Sym symbols[TABLE_SYMBOLS];
	char names[TABLE_SYMBOLS * 4];
};

static void make_file(struct made *ret)
{
	*ret = (struct made){
		.header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB},
			   .e_phoff = offsetof(struct made, segment),
			   .e_phentsize = sizeof(Elf64_Phdr),
			   .e_phnum = 1,
			   .e_shoff = offsetof(struct made, sections),
			   .e_shentsize = sizeof(Elf64_Shdr),
			   .e_shnum = 2},
		.segment = {.p_type = PT_LOAD, .p_filesz = TABLE_SPAN},
		.sections = {{.sh_type = SHT_SYMTAB,
			      .sh_offset = offsetof(struct made, symbols),
			      .sh_size = sizeof(ret->symbols),
			      .sh_entsize = sizeof(Elf64_Sym),
			      .sh_link = 1},
			     {.sh_type = SHT_STRTAB,
			      .sh_offset = offsetof(struct made, names),
			      .sh_size = sizeof(ret->names)}},
	};
	for (unsigned i = 0; i < TABLE_SYMBOLS; i++) {
		unsigned kind = (unsigned)random() % 10;

		snprintf(ret->names + 4 * i, 4, "f%02u", i);
		ret->symbols[i] = (Elf64_Sym){
			.st_name = kind == 0 ? UINT32_MAX : 4 * i,
			.st_info = ELF64_ST_INFO(STB_GLOBAL, kind == 1 ? STT_OBJECT : STT_FUNC),
			.st_shndx = kind == 2 ? SHN_UNDEF : 1,
			.st_value = (uint64_t)random() % TABLE_SPAN / 4 * 4,
			.st_size = kind == 3 ? UINT64_MAX : kind < 6 ? (uint64_t)random() % 150 : (uint64_t)random() % 8,
		};
	}
}

/* By its definition: the nearest start before it, of a function that reaches so far; the file's first of several. */
static const Elf64_Sym *covering(const struct made *made, uint64_t address)
{
	const Elf64_Sym *best = NULL;

	for (unsigned i = 0; i < TABLE_SYMBOLS; i++) {
		const Elf64_Sym *symbol = &made->symbols[i];

		if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF ||
		    symbol->st_name == UINT32_MAX || symbol->st_value > address)
			continue;
		if (symbol->st_size != 0 && address - symbol->st_value >= symbol->st_size)
			continue;
		if (!best || symbol->st_value > best->st_value)
			best = symbol;
	}
	return best;
}

/* Functions inside others, that overlap, start together, have no size, or one that cannot be. */
static void the_nearest_function_that_reaches_so_far(void **state)
{
	char path[] = "/tmp/test_symbols.XXXXXX";
	int fd = mkstemp(path);
	struct made made;
	unsigned named = 0, unnamed = 0;

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	srandom(1);
	for (unsigned round = 0; round < 200; round++) {
		struct elf *elf;

		make_file(&made);
		for (unsigned i = 0; round % 2 && i < TABLE_SYMBOLS; i++)
			made.symbols[i].st_size += made.symbols[i].st_size == 0;
		write_file(path, (const uint8_t *)&made, sizeof(made));
		elf = elf_open(path);
		assert_non_null(elf);
		for (uint64_t address = 0; address < TABLE_SPAN; address++) {
			const Elf64_Sym *expected = covering(&made, address);
			uint64_t into = 0;
			const char *name = elf_function(elf, address, &into);

			unnamed += !expected;
			named += expected != NULL;
			assert_int_equal(name != NULL, expected != NULL);
			if (!expected)
				continue;
			assert_string_equal(name, made.names + expected->st_name);
			assert_int_equal(into, address - expected->st_value);
		}
		elf_free(elf);
	}
	assert_true(named > 1000 && unnamed > 1000);
	unlink(path);
}

/* ---- how often files are read, and when no more ---- */

struct clerk {
	unsigned asked;
	bool late;
};

static bool ask(void *arg)
{
	struct clerk *clerk = arg;

	clerk->asked++;
	return clerk->late;
}

static void a_file_is_read_once(void **state)
{
	struct symbols s = mine();
	struct clerk clerk = {0};
	const uint64_t stack[] = {address_in(1), address_in(2), address_in(3)};
	char text[4096];

	(void)state;
	symbols_ask_when_late(&s, ask, &clerk);
	for (unsigned batch = 0; batch < 5; batch++) {
		for (unsigned i = 0; i < 5; i++)
			assert_true(symbols_text(&s, stack, 3, text, sizeof(text)) > 0);
		symbols_forget(&s);
		symbols_begin(&s, (uint32_t)getpid(), task_start_time((uint32_t)getpid()));
	}
	assert_int_equal(clerk.asked, 1);
	symbols_free(&s);
}

#define MANY (SYMBOLS_FILES + 3)

/* One more file takes the place of one whose answers were given just before, in the same stack. */
static void more_files_than_are_kept(void **state)
{
	static struct made made[MANY];
	struct symbols s = mine();
	uint64_t stack[MANY];
	char text[8192], name[64], paths[MANY][32];
	void *at[MANY];

	(void)state;
	srandom(2);
	for (unsigned i = 0; i < MANY; i++) {
		char path[] = "/tmp/test_symbols.XXXXXX";
		int fd = mkstemp(path);

		assert_true(fd >= 0);
		make_file(&made[i]);
		for (unsigned j = 0; j < TABLE_SYMBOLS; j++)
			made[i].symbols[j].st_value += 16;
		made[i].symbols[0] = (Elf64_Sym){.st_info = STT_FUNC, .st_shndx = 1, .st_size = 16};
		snprintf(made[i].names, 4, "m%02u", i);
		write_file(path, (const uint8_t *)&made[i], sizeof(made[i]));
		at[i] = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
		assert_true(at[i] != MAP_FAILED);
		close(fd);
		/* A return address: the byte before it is the function's first. */
		stack[i] = (uint64_t)(uintptr_t)at[i] + (i > 0);
		memcpy(paths[i], path, sizeof(path));
	}
	for (unsigned round = 0; round < 2; round++) {
		text[symbols_text(&s, stack, MANY, text, sizeof(text) - 1)] = '\0';
		for (unsigned i = 0; i < MANY; i++) {
			snprintf(name, sizeof(name), "m%02u+0x%x (%s+", i, i > 0, paths[i]);
			assert_non_null(strstr(text, name));
		}
	}
	for (unsigned i = 0; i < MANY; i++) {
		munmap(at[i], 4096);
		unlink(paths[i]);
	}
	symbols_free(&s);
}

static void too_late_for_names(void **state)
{
	struct symbols s = mine();
	struct clerk clerk = {.late = true};
	const uint64_t stack[] = {address_in(1)};
	char text[4096], bare[32];
	size_t len;

	(void)state;
	symbols_ask_when_late(&s, ask, &clerk);
	len = symbols_text(&s, stack, 1, text, sizeof(text) - 1);
	text[len] = '\0';
	snprintf(bare, sizeof(bare), "0x%llx (/", (unsigned long long)stack[0]);
	assert_int_equal(strncmp(text, bare, strlen(bare)), 0);
	assert_non_null(strstr(text, "/test_symbols+0x"));
	assert_null(strstr(text, "build-id"));
	/* In the same batch, too: there was time after all. */
	clerk.late = false;
	len = symbols_text(&s, stack, 1, text, sizeof(text) - 1);
	assert_int_equal(strncmp(text, "a_function_to_find+0x1 (", 24), 0);
	/* What was read answers, however late. */
	clerk.late = true;
	len = symbols_text(&s, stack, 1, text, sizeof(text) - 1);
	assert_int_equal(strncmp(text, "a_function_to_find+0x1 (", 24), 0);
	symbols_free(&s);
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
		cmocka_unit_test(the_nearest_function_that_reaches_so_far),
		cmocka_unit_test(a_file_is_read_once),
		cmocka_unit_test(more_files_than_are_kept),
		cmocka_unit_test(too_late_for_names),
		cmocka_unit_test(broken_files_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
