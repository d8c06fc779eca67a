/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <elf.h>
#include <link.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * interspan-inspect: what can be said about a command without running it. Three parts: a reader of ELF files that
 * believes no offset, length or index in them (inspect_elf.c); the search for libraries as ld.so does it
 * (inspect_libs.c); and the way from a command's words to the ELF file that will run (inspect_program.c).
 * A small command-line program: it may allocate, is single-threaded, and never writes to what it looks at.
 */

/* A mapped file. ret_* outputs and the texts returned below point into the mapping. */
struct elf {
	const uint8_t *bytes;
	uint64_t size;
	ElfW(Ehdr) header;      /* valid when native */
	bool is_elf;            /* the magic is right */
	bool native;            /* our own class, byte order and machine: the only ones that are read further */
	const char *interp;     /* PT_INTERP, or NULL */
	bool has_dynamic;       /* there is a PT_DYNAMIC */
	uint64_t strings;       /* file offset and size of the dynamic string table; 0, 0: none */
	uint64_t strings_len;
	uint64_t symbols;       /* file offset and number of the dynamic symbols */
	uint64_t n_symbols;
};

/* Map path and read its headers. Returns 0 or -errno (-EISDIR, -EACCES, -ENODEV: not a regular file, ...). */
int elf_open(struct elf *ret, const char *path);
void elf_close(struct elf *elf);
/* "64-bit x86-64" and the like, for any ELF header; ret holds at least 64 bytes. */
void elf_describe(const struct elf *elf, char *ret);
/* The nth value of a dynamic tag; false when there are no more. */
bool elf_dynamic(const struct elf *elf, int64_t tag, unsigned nth, uint64_t *ret);
/* A dynamic string by its offset; "" when it does not lie within the table. */
const char *elf_string(const struct elf *elf, uint64_t offset);
/* Symbol i < n_symbols of the dynamic symbol table: false when it has no name. Defined: exported for others to bind to. */
bool elf_symbol(const struct elf *elf, uint64_t i, const char **ret_name, bool *ret_defined);
bool elf_exports(const struct elf *elf, const char *name);
/* Built by the Go tool chain: its note or its build information is there. */
bool elf_is_go(const struct elf *elf);
/* Do these bytes occur anywhere in the file? */
bool elf_contains(const struct elf *elf, const char *text);

/* One shared library that the program needs, itself or through another. */
struct library {
	char name[256];      /* as DT_NEEDED has it */
	char path[PATH_MAX]; /* "": not found */
};

/*
 * All libraries that the dynamic linker would load for elf (at path), breadth first, each once. Returns how many were written
 * to ret, at most max. Order of the search as in ld.so(8): RPATH, LD_LIBRARY_PATH, RUNPATH, ld.so.cache, default directories.
 */
unsigned libs_resolve(const struct elf *elf, const char *path, struct library *ret, unsigned max);

/* Why a command cannot be traced; REFUSE_NONE: it can. The texts are the values of the key "refuse". */
#define REFUSALS(X)                                                                                           \
	X(NONE, "")                                                                                           \
	X(MISSING, "missing")               /* no such file, or not in PATH */                                \
	X(DIRECTORY, "directory")                                                                             \
	X(PERMISSION, "permission")         /* not executable by this user */                                 \
	X(FORMAT, "format")                 /* neither ELF nor script */                                      \
	X(LOOP, "loop")                     /* scripts that name each other */                                \
	X(NO_INTERPRETER, "no-interpreter") /* the script's interpreter or the program's loader is missing */ \
	X(ARCHITECTURE, "architecture")     /* another class, byte order or machine than the library */       \
	X(GO, "go")                         /* Go without libc */                                             \
	X(STATIC, "static")                                                                                   \
	X(MUSL, "musl")                                                                                       \
	X(LIBC, "libc")                     /* some other C library */                                        \
	X(SETUID, "setuid")                                                                                   \
	X(SETGID, "setgid")                                                                                   \
	X(CAPABILITIES, "capabilities")
enum refusal {
#define X(id, text) REFUSE_##id,
	REFUSALS(X)
#undef X
};

#define PROGRAM_MAX_FILES 8 /* scripts, env and the program: the kernel itself follows five */

/* The files that will run one after another, from the words of a command. */
struct program {
	struct program_file {
		char path[PATH_MAX];
		enum { FILE_SCRIPT, FILE_SHELL_TEXT, FILE_ELF, FILE_UNREADABLE } kind;
	} files[PROGRAM_MAX_FILES];
	unsigned n_files;
	enum refusal refusal;
	char subject[PATH_MAX]; /* what the refusal is about: a file, or a name that was not found */
};

/*
 * Follow a command: PATH, #! lines, env(1) and its arguments, down to an ELF file, checking each ELF file on the
 * way. Stops at the first refusal.
 */
void program_follow(struct program *ret, char *const words[]);

/*
 * Print "restore=" and how the environment of the shell with this pid differed, when it was started, from ours: what become()
 * needs to give the program the environment that its caller meant it to have. Prints an empty list where /proc does not tell.
 */
void environ_difference(const char *shell_pid);
/*
 * Run a command in place of this process. words: what environ_difference() printed, NAME=VALUE..., "--", the command's words.
 * Returns an exit status (125 to 127), and only when that failed; it is then explained on stderr.
 */
int become(char *words[]);
