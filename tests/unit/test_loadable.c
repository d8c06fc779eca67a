/* SPDX-License-Identifier: Apache-2.0 */
/* Which programs can be started with our preload: told by the first bytes of their files. */
#include "tests/unit/engine_fixture.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/loadable.h"

static char directory[] = "/tmp/interspan-loadable-XXXXXX";
static char path[256];

static const char *file_with(const char *name, const void *bytes, size_t len)
{
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
	return path;
}

static const char *script_of(const char *name, const char *first_line)
{
	return file_with(name, first_line, strlen(first_line));
}

/* A program whose loader is interpreter ("": static), with room bytes between its header and the loader's name. */
static const char *elf_with(const char *name, const char *interpreter, size_t room)
{
	static unsigned char bytes[4096];
	Elf64_Ehdr head = {.e_phoff = sizeof(head), .e_phnum = *interpreter ? 2 : 1, .e_phentsize = sizeof(Elf64_Phdr)};
	Elf64_Phdr segments[2] = {{.p_type = PT_PHDR}, {.p_type = PT_INTERP}};
	Elf64_Ehdr self;
	size_t at = sizeof(head) + sizeof(segments) + room;
	FILE *f = fopen("/proc/self/exe", "r");

	assert_non_null(f);
	assert_int_equal(fread(&self, sizeof(self), 1, f), 1);
	fclose(f);
	memcpy(head.e_ident, self.e_ident, EI_NIDENT);
	head.e_machine = self.e_machine;
	segments[1].p_offset = at;
	segments[1].p_filesz = strlen(interpreter) + 1;
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, &head, sizeof(head));
	memcpy(bytes + sizeof(head), segments, sizeof(segments));
	memcpy(bytes + at, interpreter, strlen(interpreter));
	return file_with(name, bytes, at + strlen(interpreter) + 1);
}

static void ordinary_programs_can(void **state)
{
	(void)state;
	assert_true(loadable_by("/bin/sh"));
	assert_true(loadable_by("sh"));
	assert_true(loadable_by("/proc/self/exe"));
	assert_true(loadable_by(elf_with("glibc", "/lib64/ld-linux-x86-64.so.2", 0)));
}

static void another_libc_cannot(void **state)
{
	(void)state;
	assert_false(loadable_by(elf_with("musl", "/lib/ld-musl-x86_64.so.1", 0)));
	assert_false(loadable_by(elf_with("musl-far", "/lib/ld-musl-x86_64.so.1", 3000)));
}

static void another_machine_cannot(void **state)
{
	Elf64_Ehdr head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32}};

	(void)state;
	assert_false(loadable_by(file_with("narrow", &head, sizeof(head))));
	head.e_ident[EI_CLASS] = ELFCLASS64;
	head.e_machine = EM_S390;
	assert_false(loadable_by(file_with("strange", &head, sizeof(head))));
}

static void a_script_is_as_its_interpreter(void **state)
{
	char line[300];

	(void)state;
	assert_true(loadable_by(script_of("a", "#!/bin/sh\n")));
	snprintf(line, sizeof(line), "#! \t%s -x\n", elf_with("musl-sh", "/lib/ld-musl-x86_64.so.1", 0));
	assert_false(loadable_by(script_of("b", line)));
	snprintf(line, sizeof(line), "#!%s/b", directory);
	assert_false(loadable_by(script_of("c", line)));
}

/* Without a slash: in the directories of PATH, the first that has it. */
static void a_name_is_looked_for(void **state)
{
	char *before = getenv("PATH"), list[400];

	(void)state;
	(void)elf_with("only-here", "/lib/ld-musl-x86_64.so.1", 0);
	assert_true(loadable_by("only-here"));
	snprintf(list, sizeof(list), "/nowhere:%s:%s", directory, before ? before : "");
	before = before ? strdup(before) : NULL;
	setenv("PATH", list, 1);
	assert_false(loadable_by("only-here"));
	if (before)
		setenv("PATH", before, 1);
	free(before);
}

/* What cannot be told, or ends in a circle, or would wait, is no reason. */
static void in_doubt_they_can(void **state)
{
	Elf64_Ehdr head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32}};
	char line[300], fifo[256];

	(void)state;
	assert_true(loadable_by(NULL));
	assert_true(loadable_by("/nonexistent"));
	assert_true(loadable_by(""));
	assert_true(loadable_by(elf_with("static", "", 0)));
	assert_true(loadable_by(file_with("short", &head, 20)));
	assert_true(loadable_by(file_with("empty", "", 0)));
	memset(line, 'x', sizeof(line));
	memcpy(line, "#!/", 3);
	assert_true(loadable_by(file_with("long", line, sizeof(line))));
	snprintf(line, sizeof(line), "#!%s/circle\n", directory);
	assert_true(loadable_by(script_of("circle", line)));
	snprintf(fifo, sizeof(fifo), "%s/fifo", directory);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_true(loadable_by(fifo));
	assert_true(loadable_by(directory));
}

static int up(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int down(void **state)
{
	char command[300];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command) == 0 ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordinary_programs_can),
		cmocka_unit_test(another_libc_cannot),
		cmocka_unit_test(another_machine_cannot),
		cmocka_unit_test(a_script_is_as_its_interpreter),
		cmocka_unit_test(a_name_is_looked_for),
		cmocka_unit_test(in_doubt_they_can),
	};

	return cmocka_run_group_tests(tests, up, down);
}
