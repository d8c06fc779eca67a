/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last step of `interspan run`: become the program, with exactly the environment that the user had and what we set.
 * A shell cannot do that: it changes PWD, SHLVL and _, and drops names that it cannot spell (a.b=1). So it asks us before it
 * sets anything (environ_difference) what it has already changed, and hands the answer back at the end.
 */
#include "scripts/inspect.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_RESTORE_BYTES 100000 /* one argument of execve can be 128 KiB long */

/* The value of name (name_len bytes) in a list that ends with NULL, or NULL. */
static const char *value_in(char *const *list, const char *name, size_t name_len)
{
	for (; *list; list++) {
		if (!strncmp(*list, name, name_len) && (*list)[name_len] == '=')
			return *list + name_len + 1;
	}
	return NULL;
}

/* Read a whole file; a NUL is added. Returns memory that lives until exit, or NULL. */
static char *read_file(const char *path, size_t *ret_len)
{
	FILE *file = fopen(path, "re");
	size_t len = 0, size = 0;
	char *text = NULL;

	while (file && !feof(file) && !ferror(file)) {
		size += 65536;
		char *longer = realloc(text, size + 1);

		if (!longer)
			break;
		text = longer;
		len += fread(text + len, 1, size - len, file);
	}
	if (file)
		fclose(file);
	if (text)
		text[len] = 0;
	*ret_len = len;
	return text;
}

/* The environment with which a process started, as a list that ends with NULL and lives until exit; NULL: unknown. */
static char **read_environ(const char *pid)
{
	static char *text, **list;
	char path[64];
	size_t len, n = 0;

	snprintf(path, sizeof(path), "/proc/%.20s/environ", pid);
	text = read_file(path, &len);
	if (!text || !(list = calloc(len + 2, sizeof(*list))))
		return NULL;
	for (char *item = text; item < text + len; item += strlen(item) + 1)
		list[n++] = item;
	return list;
}

static void encode(char sign, const char *text, size_t len)
{
	printf(",%c", sign);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		printf(isalnum(c) || (c && strchr("_=./-", c)) ? "%c" : "%%%02x", c);
	}
}

void environ_difference(const char *shell_pid)
{
	char **original = read_environ(shell_pid);
	size_t bytes = 0;

	printf("restore=");
	for (char **item = original; item && *item; item++) {
		size_t name_len = strcspn(*item, "="), len = strlen(*item);
		const char *now = value_in(environ, *item, name_len);

		if ((now && !strcmp(now, *item + name_len + ((*item)[name_len] == '='))) || bytes + 3 * len > MAX_RESTORE_BYTES)
			continue;
		encode('+', *item, len);
		bytes += 3 * len + 2;
	}
	for (char **item = environ; original && *item; item++) {
		size_t name_len = strcspn(*item, "=");

		if (!value_in(original, *item, name_len))
			encode('-', *item, name_len);
	}
	putchar('\n');
}

static char *decode(char *text)
{
	char *out = text;

	for (const char *in = text; *in; out++) {
		char digits[3] = { 0 };

		if (*in == '%' && isxdigit((unsigned char)in[1]) && isxdigit((unsigned char)in[2])) {
			memcpy(digits, in + 1, 2);
			*out = (char)strtol(digits, NULL, 16);
			in += 3;
		} else {
			*out = *in++;
		}
	}
	*out = 0;
	return text;
}

/* Put NAME=VALUE into the environment, whatever the name looks like. */
static void assign(char *item)
{
	static char **ours; /* the array in environ, once it is not the kernel's */
	size_t name_len = strcspn(item, "=");
	size_t n = 0;

	for (; environ[n]; n++) {
		if (!strncmp(environ[n], item, name_len + 1)) {
			environ[n] = item;
			return;
		}
	}
	char **longer = calloc(n + 2, sizeof(*longer));

	if (!longer)
		return;
	memcpy(longer, environ, n * sizeof(*longer));
	longer[n] = item;
	free(ours);
	ours = environ = longer;
}

static void drop(const char *name)
{
	size_t name_len = strlen(name), kept = 0;

	for (size_t i = 0; environ[i]; i++) {
		if (strncmp(environ[i], name, name_len) != 0 || environ[i][name_len] != '=')
			environ[kept++] = environ[i];
	}
	environ[kept] = NULL;
}

static void restore(char *list)
{
	char *rest = NULL;

	for (char *item = strtok_r(list, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
		if (*item == '+')
			assign(decode(item + 1));
		else if (*item == '-')
			drop(decode(item + 1));
	}
}

int become(char *words[])
{
	int error;

	if (words[0])
		restore(*words++);
	for (; words[0] && strcmp(words[0], "--") != 0; words++)
		assign(words[0]);
	if (!words[0] || !words[1])
		return 125;
	words++;
	execvp(words[0], words);
	error = errno;
	fprintf(stderr, "interspan: cannot run %s: %s\n", words[0], strerror(error));
	return error == ENOENT ? 127 : 126;
}
