/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the words of a command to the ELF file that will run: PATH as execvp(3), #! lines as execve(2) (256 bytes, one
 * optional argument, relative to the working directory), env(1) with its options. Each ELF file on the way must be one
 * that the dynamic linker will preload a library into.
 */
#include "scripts/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MAX_WORDS 64
#define HEAD_BYTES 256 /* what the kernel reads of a script (BINPRM_BUF_SIZE) */

/* The words still to be followed, and memory for those that were made from a #! line. */
struct words {
	char *const *given;
	char *made[MAX_WORDS + 1];
	char head[HEAD_BYTES + 1];
};

static void refuse(struct program *program, enum refusal refusal, const char *subject)
{
	program->refusal = refusal;
	snprintf(program->subject, sizeof(program->subject), "%s", subject);
}

static enum refusal check_file(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == EACCES ? REFUSE_PERMISSION : REFUSE_MISSING;
	if (S_ISDIR(st.st_mode))
		return REFUSE_DIRECTORY;
	return S_ISREG(st.st_mode) && eaccess(path, X_OK) == 0 ? REFUSE_NONE : REFUSE_PERMISSION;
}

/* As execvp: the first executable file in PATH, else the first that is there and cannot be executed. */
static enum refusal search_path(const char *name, char *ret)
{
	enum refusal best = REFUSE_MISSING;
	const char *list = getenv("PATH");
	char candidate[PATH_MAX];

	for (list = list ? list : "/bin:/usr/bin";; list++) {
		size_t len = strcspn(list, ":");
		int n = snprintf(candidate, sizeof(candidate), "%.*s%s%s", (int)len, list, len ? "/" : "", name);
		enum refusal found = n < PATH_MAX ? check_file(candidate) : REFUSE_MISSING;

		if (found == REFUSE_NONE || (found == REFUSE_PERMISSION && best == REFUSE_MISSING)) {
			strcpy(ret, candidate);
			best = found;
		}
		list += len;
		if (best == REFUSE_NONE || !*list)
			return best;
	}
}

/* Find word into ret. False: refused. */
static bool locate(struct program *program, const char *word, char *ret)
{
	enum refusal refusal = REFUSE_MISSING;

	if (strlen(word) < PATH_MAX && *word) {
		strcpy(ret, word);
		refusal = strchr(word, '/') ? check_file(ret) : search_path(word, ret);
	}
	if (refusal != REFUSE_NONE)
		refuse(program, refusal, refusal == REFUSE_PERMISSION ? ret : word);
	return refusal == REFUSE_NONE;
}

/* Will the kernel set AT_SECURE for this file, so that ld.so ignores LD_PRELOAD? (execve(2), capabilities(7)) */
static enum refusal check_privilege(const char *path)
{
	struct stat st;
	struct statvfs fs;
	char capabilities[64];

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 || stat(path, &st) < 0)
		return REFUSE_NONE;
	if (statvfs(path, &fs) == 0 && (fs.f_flag & ST_NOSUID))
		return REFUSE_NONE;
	if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
		return REFUSE_SETUID;
	if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getgid())
		return REFUSE_SETGID;
	if (getuid() != 0 && getxattr(path, "security.capability", capabilities, sizeof(capabilities)) > 0)
		return REFUSE_CAPABILITIES;
	return REFUSE_NONE;
}

/* The dynamic linker itself may be the command (ld.so PROGRAM): it has no interpreter, and honours LD_PRELOAD. */
static bool is_loader(const struct elf *elf)
{
	uint64_t soname;

	return elf_dynamic(elf, DT_SONAME, 0, &soname) && !strncmp(elf_string(elf, soname), "ld-linux", 8);
}

static enum refusal check_elf(const struct elf *elf, const char *path)
{
	uint64_t offset;

	if (!elf->native)
		return REFUSE_ARCHITECTURE;
	if (!elf->interp && !is_loader(elf))
		return elf_is_go(elf) ? REFUSE_GO : REFUSE_STATIC;
	if (elf->interp && strstr(elf->interp, "ld-musl"))
		return REFUSE_MUSL;
	if (elf->interp && (strstr(elf->interp, "uClibc") || !strncmp(elf->interp, "/system/bin/linker", 18)))
		return REFUSE_LIBC;
	if (elf->interp && access(elf->interp, F_OK) < 0)
		return REFUSE_NO_INTERPRETER;
	if (!elf_dynamic(elf, DT_NEEDED, 0, &offset) && elf_is_go(elf))
		return REFUSE_GO;
	return check_privilege(path);
}

static bool is_text(const char *head, size_t len)
{
	size_t line = strcspn(head, "\n");

	return memchr(head, 0, line < len ? line + 1 : len) == NULL;
}

/* Split at blanks, in place. Returns the number of words. */
static unsigned split(char *text, char **ret, unsigned max)
{
	unsigned n = 0;
	char *rest = NULL;

	for (char *word = strtok_r(text, " \t", &rest); word && n < max; word = strtok_r(NULL, " \t", &rest))
		ret[n++] = word;
	return n;
}

/*
 * A #! line becomes {interpreter, argument, script}: the words that the kernel makes, and the ones given after them are
 * of no interest. The argument is one word, blanks included, except behind env -S, which splits it.
 */
static void words_of_line(struct words *words, char *line, char *script)
{
	char *rest = line + strcspn(line, " \t");
	unsigned n = 0;

	words->made[n++] = line;
	if (*rest) {
		*rest++ = 0;
		rest += strspn(rest, " \t");
	}
	if (!strncmp(rest, "-S", 2))
		n += split(rest + 2, words->made + n, MAX_WORDS - n - 1);
	else if (!strncmp(rest, "--split-string=", 15))
		n += split(rest + 15, words->made + n, MAX_WORDS - n - 1);
	else if (*rest)
		words->made[n++] = rest;
	words->made[n++] = script;
	words->made[n] = NULL;
	words->given = words->made;
}

/* The words behind env's own options and settings, or NULL. */
static char *const *behind_env(char *const *words)
{
	for (words++; *words; words++) {
		if (!strcmp(*words, "--"))
			return words[1] ? words + 1 : NULL;
		if (!strcmp(*words, "-u") || !strcmp(*words, "-C") || !strcmp(*words, "--unset") || !strcmp(*words, "--chdir"))
			words += words[1] != NULL;
		else if (**words != '-' && !strchr(*words, '='))
			return words;
	}
	return NULL;
}

static struct program_file *add_file(struct program *program, const char *path)
{
	struct program_file *file;

	if (program->n_files == PROGRAM_MAX_FILES) {
		refuse(program, REFUSE_LOOP, path);
		return NULL;
	}
	file = &program->files[program->n_files++];
	strcpy(file->path, path);
	return file;
}

/* What words->head holds is not ELF. True: words were replaced by the interpreter's. */
static bool follow_script(struct program *program, struct program_file *file, struct words *words, size_t len)
{
	char *line = words->head + 2;

	if (len < 2 || memcmp(words->head, "#!", 2) != 0) {
		/* execvp(3) and shells run a text without #! through the shell. */
		file->kind = FILE_SHELL_TEXT;
		if (!is_text(words->head, len))
			refuse(program, REFUSE_FORMAT, file->path);
		words->made[0] = (char *)(uintptr_t)"/bin/sh";
		words->made[1] = NULL;
		words->given = words->made;
		return program->refusal == REFUSE_NONE;
	}
	file->kind = FILE_SCRIPT;
	line[strcspn(line, "\n")] = 0;
	line += strspn(line, " \t");
	for (size_t n = strlen(line); n > 0 && strchr(" \t", line[n - 1]); n--)
		line[n - 1] = 0;
	words_of_line(words, line, file->path);
	if (*line && check_file(line) == REFUSE_NONE)
		return true;
	refuse(program, REFUSE_NO_INTERPRETER, file->path);
	return false;
}

/* Look at the file that words->given[0] names. True: there is another one to follow. */
static bool follow_one(struct program *program, struct words *words)
{
	char path[PATH_MAX];
	struct program_file *file;
	struct elf elf;
	const char *base;
	bool is_elf;
	size_t len;

	if (!locate(program, words->given[0], path) || !(file = add_file(program, path)))
		return false;
	if (elf_open(&elf, path) < 0) {
		file->kind = FILE_UNREADABLE;
		return false;
	}
	is_elf = elf.is_elf;
	if (is_elf) {
		file->kind = FILE_ELF;
		refuse(program, check_elf(&elf, path), path);
	}
	len = elf.size < HEAD_BYTES ? (size_t)elf.size : HEAD_BYTES;
	if (!is_elf) {
		memcpy(words->head, elf.bytes ? (const char *)elf.bytes : "", len);
		words->head[len] = 0;
	}
	elf_close(&elf);
	if (!is_elf)
		return follow_script(program, file, words, len);
	base = strrchr(path, '/');
	if (program->refusal != REFUSE_NONE || strcmp(base ? base + 1 : path, "env") != 0)
		return false;
	words->given = behind_env(words->given);
	return words->given != NULL;
}

void program_follow(struct program *ret, char *const given[])
{
	struct words words = { .given = given };

	ret->n_files = 0;
	ret->refusal = REFUSE_NONE;
	ret->subject[0] = 0;
	while (follow_one(ret, &words))
		;
}
