/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/loadable.h"

#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/process.h"
#include "shim/self.h"
#include "shim/sys.h"

#define HEAD_BYTES 1024
#define NAME_BYTES 256
#define INTERPRETERS_MAX 4 /* of scripts, one behind another: the kernel's limit */

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#endif

/* Never waits, whatever kind of file it is. */
static int open_program(const char *path)
{
	return sys_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
}

/* The first of PATH's directories that has it. */
static int open_in_path(const char *name)
{
	const char *list = getenv("PATH");
	char path[2 * NAME_BYTES];
	size_t name_len = strlen(name);
	int fd = -1;

	while (list && fd < 0) {
		size_t len = strcspn(list, ":");

		if (len + 1 + name_len + 1 <= sizeof(path)) {
			memcpy(path, list, len);
			path[len] = '/';
			memcpy(path + len + 1, name, name_len + 1);
			fd = open_program(len ? path : name);
		}
		list = list[len] ? list + len + 1 : NULL;
	}
	return fd;
}

/* ---- what the file's first bytes say ---- */

struct head {
	char bytes[HEAD_BYTES];
	size_t len;
};

static bool read_head(int fd, struct head *ret)
{
	ssize_t n = sys_read(fd, ret->bytes, sizeof(ret->bytes));

	ret->len = n > 0 ? (size_t)n : 0;
	return n > 0;
}

/* "#! /path/of/interpreter argument". False: no script, or a name that is too long. */
static bool interpreter_of(const struct head *head, char name[NAME_BYTES])
{
	size_t at = 2, n = 0;

	if (head->len < 3 || head->bytes[0] != '#' || head->bytes[1] != '!')
		return false;
	while (at < head->len && (head->bytes[at] == ' ' || head->bytes[at] == '\t'))
		at++;
	for (; at < head->len && n < NAME_BYTES - 1 && !memchr(" \t\n", head->bytes[at], 3); at++)
		name[n++] = head->bytes[at];
	if (n == NAME_BYTES - 1)
		n = 0;
	name[n] = '\0';
	return n > 0;
}

static bool names_musl(int fd, const Elf64_Phdr *segment)
{
	char name[NAME_BYTES];
	size_t len = segment->p_filesz < sizeof(name) - 1 ? (size_t)segment->p_filesz : sizeof(name) - 1;
	long n = sys_call6(SYS_pread64, fd, (long)name, (long)len, (long)segment->p_offset, 0, 0);

	name[n > 0 ? n : 0] = '\0';
	return strstr(name, "/ld-musl") != NULL;
}

static bool elf_may_load_us(int fd, const struct head *head)
{
	Elf64_Ehdr elf;

	if (head->len < sizeof(elf))
		return true;
	memcpy(&elf, head->bytes, sizeof(elf));
	if (elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_machine != OUR_MACHINE)
		return false;
	for (unsigned i = 0; i < elf.e_phnum && elf.e_phentsize == sizeof(Elf64_Phdr); i++) {
		uint64_t at = elf.e_phoff + (uint64_t)i * sizeof(Elf64_Phdr);
		Elf64_Phdr segment;

		if (at > head->len || head->len - at < sizeof(segment))
			break;
		memcpy(&segment, head->bytes + at, sizeof(segment));
		if (segment.p_type == PT_INTERP)
			return !names_musl(fd, &segment);
	}
	return true;
}

/* Consumes fd. A script leads to its interpreter, by name. */
static bool file_may_load_us(int fd, char interpreter[NAME_BYTES])
{
	struct head head;
	bool may = true;

	interpreter[0] = '\0';
	if (read_head(fd, &head) && !interpreter_of(&head, interpreter) && head.len >= SELFMAG &&
	    memcmp(head.bytes, ELFMAG, SELFMAG) == 0)
		may = elf_may_load_us(fd, &head);
	sys_close(fd);
	return may;
}

static bool program_may_load_us(const char *program)
{
	char interpreter[NAME_BYTES];
	int fd = strchr(program, '/') ? open_program(program) : open_in_path(program);
	bool may = true;

	for (unsigned i = 0; fd >= 0 && may && i <= INTERPRETERS_MAX; i++) {
		may = file_may_load_us(fd, interpreter);
		fd = interpreter[0] ? open_program(interpreter) : -1;
	}
	if (fd >= 0)
		sys_close(fd);
	return may;
}

static bool is_readable(const char *path)
{
	return sys_call3(SYS_faccessat, AT_FDCWD, (long)path, R_OK) == 0;
}

bool loadable_by(const char *program)
{
	if (process_is_sandboxed())
		return true;
	if (*self_path() && !is_readable(self_path()))
		return false;
	return !program || program_may_load_us(program);
}
