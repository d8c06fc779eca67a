/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interspan-inspect COMMAND [ARGUMENT...]: what can be said about tracing a command, without running it, as lines of
 * key=value for scripts/interspan to act on (run) or to put into words (doctor). Keys, in this order:
 *
 *   script, program      the files that run one after another; program is the last, an ELF file
 *   refuse, subject      why it cannot be traced (REFUSALS in inspect.h), and which file or name that is about
 *   elf, own             "64-bit x86-64": the program's, and this library's
 *   interpreter, go, runtime, tls, io_uring, missing
 *   uses.FAMILY          functions that we interpose and that the program or its libraries import
 *   shadows              functions that we interpose and that the program defines itself: ours is never called
 *
 * With --brief only what decides whether it can run. Exit status 0, also when refused; 2: wrong usage.
 * --shell and --exec: see inspect_exec.c.
 */
#include "scripts/inspect.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LIBRARIES 256

static const char *const hooks[] = {
#define HOOK(name) #name,
#include "shim/real.def"
#undef HOOK
};
#define N_HOOKS (sizeof(hooks) / sizeof(*hooks))

static const char *const refusals[] = {
#define X(id, text) text,
	REFUSALS(X)
#undef X
};

/* What a person wants to know about a hook: the first family with a matching pattern. */
static const struct family {
	const char *name;
	const char *patterns[12];
} families[] = {
	{ "connections", { "socket*", "bind", "listen", "accept*", "connect", "shutdown", "getpeername", "getsockopt", "__connect" } },
	{ "reading", { "*read*_chk", "*recv*", "read", "readv", "__read", "preadv*" } },
	{ "writing", { "write", "writev", "send*", "splice", "__write", "__send", "pwritev*" } },
	{ "waiting", { "epoll_*", "*poll*", "*select", "timerfd_*", "eventfd" } },
	{ "descriptors", { "close*", "dup*", "fcntl*", "fclose", "freopen*", "pipe*", "__close",
			"__dup2", "__fcntl", "__pipe" } },
	{ "threads", { "pthread_*", "thrd_*", "sem_*", "makecontext", "*sleep", "sched_yield" } },
	{ "programs", { "*exec*", "posix_spawn*", "_Fork", "clone" } },
	{ "exit", { "_exit", "_Exit", "quick_exit" } },
	{ "identity", { "set*id", "setgroups", "chroot", "prctl", "unshare", "setns", "setfs*" } },
	{ "names", { "getaddrinfo" } },
	{ "modules", { "dlopen" } },
	{ "raw", { "syscall" } },
	{ "other", { "*" } },
};
#define N_FAMILIES (sizeof(families) / sizeof(*families))

/* A library's name, or a symbol that the program itself exports, tells a TLS implementation or a runtime. */
static const struct sign {
	const char *library; /* beginning of the name */
	const char *symbol;
	const char *means;
} tls_signs[] = {
	{ "libssl.so", "SSL_read", "OpenSSL" },
	{ "libgnutls.so", "gnutls_record_recv", "GnuTLS" },
	{ "libnspr4.so", "PR_Read", "NSS" },
	{ "libmbedtls.so", "mbedtls_ssl_read", "Mbed TLS" },
	{ "libwolfssl.so", "wolfSSL_read", "wolfSSL" },
}, runtime_signs[] = {
	{ "libpython3", "Py_BytesMain", "python" },
	{ "libnode.so", "napi_module_register", "node" },
	{ "libjli.so", "JLI_Launch", "jvm" },
	{ "libjvm.so", "JNI_CreateJavaVM", "jvm" },
	{ "libruby", "ruby_init", "ruby" },
	{ "libphp", "php_module_startup", "php" },
	{ "libperl.so", "perl_construct", "perl" },
	{ "libhostfxr.so", "hostfxr_main", ".net" },
};
#define N_SIGNS(signs) (sizeof(signs) / sizeof(*(signs)))

static struct library libraries[MAX_LIBRARIES];
static unsigned n_libraries;
static bool imported[N_HOOKS], shadowed[N_HOOKS], uring;

/* Values are file names and symbols that anybody may have chosen: no control character gets out. */
static void print_text(const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			printf("\\x%02x", c);
		else
			putchar(c);
	}
}

static void print(const char *key, const char *value)
{
	printf("%s=", key);
	print_text(value);
	putchar('\n');
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, *(const char *const *)b);
}

/* real.def is sorted as strcmp() sorts (tested). */
static size_t hook_index(const char *name)
{
	const char *const *found = bsearch(name, hooks, N_HOOKS, sizeof(*hooks), compare_names);

	return found ? (size_t)(found - hooks) : N_HOOKS;
}

static void note_symbols(const struct elf *elf, bool is_program)
{
	const char *name;
	bool defined;

	for (uint64_t i = 0; i < elf->n_symbols; i++) {
		if (!elf_symbol(elf, i, &name, &defined))
			continue;
		size_t hook = hook_index(name);

		if (hook < N_HOOKS && !defined)
			imported[hook] = true;
		else if (hook < N_HOOKS && is_program)
			shadowed[hook] = true;
		uring |= !strncmp(name, "io_uring_queue_init", 19);
	}
}

/* The C library's own parts call each other without asking the dynamic linker. */
static bool is_libc(const char *name)
{
	static const char *const own[] = { "libc.so", "ld-linux", "libpthread.so", "libm.so", "librt.so", "libdl.so" };

	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++) {
		if (!strncmp(name, own[i], strlen(own[i])))
			return true;
	}
	return false;
}

static void note_libraries(void)
{
	for (unsigned i = 0; i < n_libraries; i++) {
		struct elf elf;

		if (!libraries[i].path[0])
			print("missing", libraries[i].name);
		if (!libraries[i].path[0] || is_libc(libraries[i].name) || elf_open(&elf, libraries[i].path) < 0)
			continue;
		note_symbols(&elf, false);
		elf_close(&elf);
	}
}

static void print_signs(const char *key, const struct sign *signs, size_t n, const struct elf *program)
{
	for (size_t i = 0; i < n; i++) {
		const struct sign *sign = &signs[i];
		const char *where = elf_exports(program, sign->symbol) ? "in the program itself" : NULL;

		for (unsigned k = 0; !where && k < n_libraries; k++) {
			if (!strncmp(libraries[k].name, sign->library, strlen(sign->library)))
				where = libraries[k].name;
		}
		if (where) {
			printf("%s=%s (", key, sign->means);
			print_text(where);
			puts(")");
		}
	}
}

static bool in_family(const struct family *family, const char *hook)
{
	for (size_t i = 0; i < sizeof(family->patterns) / sizeof(*family->patterns) && family->patterns[i]; i++) {
		if (fnmatch(family->patterns[i], hook, 0) == 0)
			return true;
	}
	return false;
}

static const char *family_of(const char *hook)
{
	size_t i = 0;

	while (!in_family(&families[i], hook))
		i++;
	return families[i].name;
}

/* One line of all hooks of a family (any family, where NULL) that are set. */
static void print_hooks(const char *key, const bool *set, const char *family)
{
	const char *before = key, *between = "=";

	for (size_t i = 0; i < N_HOOKS; i++) {
		if (!set[i] || (family && strcmp(family_of(hooks[i]), family) != 0))
			continue;
		printf("%s%s%s", before, between, hooks[i]);
		before = "";
		between = " ";
	}
	if (!*before)
		putchar('\n');
}

static void print_elf(const struct elf *elf)
{
	char text[64];
	struct elf own;

	elf_describe(elf, text);
	print("elf", text);
	if (elf_open(&own, "/proc/self/exe") == 0) {
		elf_describe(&own, text);
		print("own", text);
		elf_close(&own);
	}
	if (elf->interp)
		print("interpreter", elf->interp);
	if (elf->native && elf_is_go(elf))
		print("go", "yes");
}

static void print_details(const struct elf *elf, const char *path)
{
	char key[32], real[PATH_MAX];

	/* $ORIGIN is the directory of the file itself, not of a link to it. */
	n_libraries = libs_resolve(elf, realpath(path, real) ? real : path, libraries, MAX_LIBRARIES);
	note_symbols(elf, true);
	note_libraries();
	print_signs("runtime", runtime_signs, N_SIGNS(runtime_signs), elf);
	if (!strcmp(strrchr(path, '/') ? strrchr(path, '/') + 1 : path, "dotnet") || elf_contains(elf, "libhostfxr.so"))
		print("runtime", ".net (the host)");
	print_signs("tls", tls_signs, N_SIGNS(tls_signs), elf);
	if (uring)
		print("io_uring", "yes");
	for (size_t i = 0; i < N_FAMILIES; i++) {
		snprintf(key, sizeof(key), "uses.%s", families[i].name);
		print_hooks(key, imported, families[i].name);
	}
	print_hooks("shadows", shadowed, NULL);
}

static void print_program(const struct program *program, bool brief)
{
	const struct program_file *file;
	struct elf elf;

	for (unsigned i = 0; i < program->n_files; i++) {
		file = &program->files[i];
		print(file->kind == FILE_ELF ? "program" : file->kind == FILE_SHELL_TEXT ? "shell-text" : "script", file->path);
	}
	if (program->refusal != REFUSE_NONE) {
		print("refuse", refusals[program->refusal]);
		print("subject", program->subject);
	}
	file = program->n_files ? &program->files[program->n_files - 1] : NULL;
	if (!file || file->kind != FILE_ELF || elf_open(&elf, file->path) < 0)
		return;
	print_elf(&elf);
	if (!brief && program->refusal == REFUSE_NONE)
		print_details(&elf, file->path);
	elf_close(&elf);
}

static int usage(void)
{
	fprintf(stderr, "usage: interspan-inspect [--brief] COMMAND [ARGUMENT...]\n"
			"       interspan-inspect --shell PID\n"
			"       interspan-inspect --exec RESTORE [NAME=VALUE...] -- COMMAND [ARGUMENT...]\n"
			"       interspan-inspect --version\n");
	return 2;
}

int main(int argc, char *argv[])
{
	static struct program program;
	bool brief;

	if (argc > 2 && !strcmp(argv[1], "--exec"))
		return become(argv + 2);
	if (argc == 2 && !strcmp(argv[1], "--version"))
		return puts(INTERSPAN_VERSION) < 0;
	if (argc == 3 && !strcmp(argv[1], "--shell")) {
		environ_difference(argv[2]);
		return ferror(stdout) || fflush(stdout) ? 1 : 0;
	}
	brief = argc > 1 && !strcmp(argv[1], "--brief");
	if (argc < 2 + brief)
		return usage();
	program_follow(&program, argv + 1 + brief);
	print_program(&program, brief);
	return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
