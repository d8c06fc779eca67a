/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting the adapter loaded. NODE_OPTIONS is set for this process before main(), with what it held behind our --require; the
 * adapter's first act is to put back what was there. A preload that fails ends the program, so it is left out wherever that
 * could be: under the permission model and policies, where the files are not readable, where a snapshot is built. And
 * where a file (--env-file) would set NODE_OPTIONS, since the environment's would hide it.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hooks/runtimes/node.h"
#include "hooks/runtimes/node/napi.h"
#include "shim/blocks.h"
#include "shim/large_table.h"
#include "shim/log.h"
#include "shim/self.h"
#include "shim/sys.h"
#include "shim/text.h"

#define ADAPTER "/node/adapter.js"
#define OPTIONS_MAX 8192

static char option[2 * PATH_MAX + 16] LARGE_TABLE;
static bool is_set;

/* ---- is this node? ---- */

/* Node-API alone is no proof: other runtimes have it, too, and some complain about NODE_OPTIONS. */
static bool is_node(void)
{
	char path[PATH_MAX];
	const char *name;
	ssize_t len;

	if (!napi_create_function || !napi_create_arraybuffer || !napi_add_env_cleanup_hook)
		return false;
	len = sys_readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (len <= 0)
		return false;
	path[len] = '\0';
	name = strrchr(path, '/');
	return name && strncmp(name, "/node", 5) == 0;
}

/* ---- may it be loaded? ---- */

/* node takes _ for - in the names of options. */
static bool begins_with(const char *arg, const char *name)
{
	for (; *name; arg++, name++)
		if (*arg != *name && !(*arg == '_' && *name == '-'))
			return false;
	return true;
}

static bool is_one_of(const char *arg, const char *const *options)
{
	for (; *options; options++)
		if (begins_with(arg, *options))
			return true;
	return false;
}

/* Options that make a preload fatal, pointless or visible. */
static bool forbids(const char *arg)
{
	static const char *const options[] = {
		"--experimental-policy", "--policy-integrity", "--build-snapshot", "--experimental-sea-config",
		"--no-addons", "--experimental-config-file", "--experimental-default-config-file", "--build-sea", NULL,
	};

	return is_one_of(arg, options);
}

static bool restricts(const char *arg)
{
	static const char *const options[] = {"--permission", "--experimental-permission", NULL};

	return is_one_of(arg, options);
}

struct verdict {
	bool forbidden, restricted, may_load_addons, may_read_all, env_file;
};

static void judge(struct verdict *v, const char *arg)
{
	static const char *const env_file[] = {"--env-file", NULL};

	v->forbidden = v->forbidden || forbids(arg);
	v->restricted = v->restricted || restricts(arg);
	v->may_load_addons = v->may_load_addons || begins_with(arg, "--allow-addons");
	v->may_read_all = v->may_read_all || strcmp(arg, "--allow-fs-read=*") == 0;
	v->env_file = v->env_file || is_one_of(arg, env_file);
}

/* Only what is told in this way is believed: quotes in NODE_OPTIONS make words that we do not take apart. */
static void judge_options(struct verdict *v, const char *options)
{
	char word[256];

	if (strlen(options) >= OPTIONS_MAX)
		v->forbidden = true;
	while (*options) {
		size_t len = strcspn(options, " \"'");

		if (len > 0 && len < sizeof(word)) {
			memcpy(word, options, len);
			word[len] = '\0';
			judge(v, word);
		}
		options += len;
		options += strspn(options, " \"'");
	}
}

/* The arguments, as the kernel has them. More than fits: what cannot be read may forbid it. */
static void judge_arguments(struct verdict *v)
{
	uint32_t cap;
	char *text = (char *)block_take(BLOCK_LARGE, &cap);
	int fd = sys_open("/proc/self/cmdline", O_RDONLY);
	size_t len = 0;
	ssize_t n;

	while (text && fd >= 0 && len < cap - 1 && (n = sys_read(fd, text + len, cap - 1 - len)) > 0)
		len += (size_t)n;
	if (fd >= 0)
		sys_close(fd);
	if (!text || len == 0 || len >= cap - 1)
		v->forbidden = true;
	if (text)
		text[len] = '\0';
	for (size_t at = 0; text && at < len; at += strlen(text + at) + 1)
		judge(v, text + at);
	block_give((uint8_t *)text);
}

static bool may_load(const char *options)
{
	struct verdict v = {.forbidden = false};

	judge_arguments(&v);
	if (options)
		judge_options(&v, options);
	if (v.forbidden || (v.restricted && !(v.may_load_addons && v.may_read_all)))
		return false;
	return !v.env_file || options;
}

/* ---- what to load ---- */

static bool find_adapter(char ret[PATH_MAX])
{
	char *slash;

	if (!realpath(self_path(), ret))
		return false;
	slash = strrchr(ret, '/');
	if (!slash || (size_t)(slash - ret) + sizeof(ADAPTER) > PATH_MAX)
		return false;
	strcpy(slash, ADAPTER);
	return access(ret, R_OK) == 0;
}

/* In double quotes, where node knows the backslash. */
static void add_quoted(struct text *t, const char *path)
{
	text_add(t, "\"", 1);
	for (; *path; path++) {
		if (*path == '"' || *path == '\\')
			text_add(t, "\\", 1);
		text_add(t, path, 1);
	}
	text_add(t, "\"", 1);
}

/* Ours first: the program's own preloads find everything in place. */
static bool set_options(const char *program_options)
{
	static char value[OPTIONS_MAX + sizeof(option) + 1] LARGE_TABLE;
	struct text t = {value, sizeof(value), 0};

	text_add_string(&t, option);
	if (program_options) {
		text_add(&t, " ", 1);
		text_add_string(&t, program_options);
	}
	return setenv("NODE_OPTIONS", value, 1) == 0;
}

void node_options_prepare(void)
{
	const char *options = getenv("NODE_OPTIONS");
	struct text t = {option, sizeof(option), 0};
	char adapter[PATH_MAX];

	if (!is_node())
		return;
	if (!may_load(options)) {
		log_line(LOG_INFO, "node: the options do not allow for the adapter; tasks are not followed");
		return;
	}
	if (!find_adapter(adapter))
		return;
	text_add_string(&t, "--require=");
	add_quoted(&t, adapter);
	is_set = (options && strstr(options, option)) || set_options(options);
}

const char *node_option(void)
{
	return is_set ? option : NULL;
}
