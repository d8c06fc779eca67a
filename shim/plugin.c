/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/plugin.h"

#include <limits.h>
#include <string.h>

#include "shim/log.h"
#include "shim/real.h"
#include "shim/self.h"
#include "shim/sys.h"
#include "shim/text.h"

#define PLUGIN_NAME "libinterspan-export.so"

static struct plugin plugin;
static bool failed;

/* One line of /proc/self/maps: "start-end perms offset device inode path". Does it hold address? */
static bool line_holds(const char *line, uintptr_t address)
{
	uintptr_t bounds[2] = {0, 0};
	unsigned i;

	for (i = 0; i < 2; i++) {
		for (; *line != '-' && *line != ' ' && *line != '\0'; line++)
			bounds[i] = bounds[i] << 4 | (uintptr_t)(*line <= '9' ? *line - '0' : *line - 'a' + 10);
		line += *line != '\0';
	}
	return address >= bounds[0] && address < bounds[1];
}

/* The file that address is mapped from. ret is also where the lines are read to. */
static bool find_mapped_file(uintptr_t address, char *ret, size_t cap)
{
	int fd = sys_open("/proc/self/maps", O_RDONLY);
	bool found = false;
	size_t len = 0;
	ssize_t n;
	char *end, *slash;

	while (!found && fd >= 0 && (n = sys_read(fd, ret + len, cap - 1 - len)) > 0) {
		len += (size_t)n;
		ret[len] = '\0';
		while (!found && (end = strchr(ret, '\n')) != NULL) {
			*end = '\0';
			slash = strchr(ret, '/');
			found = slash != NULL && line_holds(ret, address);
			len -= (size_t)(end + 1 - ret);
			memmove(ret, found ? slash : end + 1, found ? strlen(slash) + 1 : len + 1);
		}
	}
	if (fd >= 0)
		sys_close(fd);
	return found;
}

/* The plug-in's path, beside our own. The path we were preloaded by may be relative to a directory that was left since. */
static bool find_path(char *ret, size_t cap)
{
	struct text t = {ret, cap, 0};
	char *slash;

	if (self_path()[0] == '/')
		text_add_string(&t, self_path());
	else if (!find_mapped_file((uintptr_t)&plugin_load, ret, cap))
		return false;
	slash = strrchr(ret, '/');
	if (slash == NULL)
		return false;
	t.len = (size_t)(slash + 1 - ret);
	if (t.len + sizeof(PLUGIN_NAME) > cap)
		return false;
	text_add_string(&t, PLUGIN_NAME);
	return true;
}

static void *find_symbol(void *handle, const char *name)
{
	void *(*look_up)(void *, const char *) = (void *(*)(void *, const char *))real_find("dlsym");

	return look_up != NULL ? look_up(handle, name) : NULL;
}

/*
 * RTLD_DEEPBIND: its libraries prefer each other's symbols to those of a program that has its own TLS or HTTP library built
 * in. Not where AddressSanitizer is (its run time aborts over it), and not in a program with an allocator of its own: libc's strdup or
 * getline would take memory from the program's malloc, and the plug-in's libraries give it back to libc's free.
 */
static int open_flags(void)
{
	bool deep = real_find("__asan_init") == NULL && !real_is_overridden("malloc");

	return RTLD_NOW | RTLD_LOCAL | (deep ? RTLD_DEEPBIND : 0);
}

static const char *last_error(void)
{
	char *(*explain)(void) = (char *(*)(void))real_find("dlerror");
	const char *text = explain != NULL ? explain() : NULL;

	return text != NULL ? text : "unknown reason";
}

static bool load(void)
{
	char path[PATH_MAX];
	export_version_fn *version;
	void *handle;

	if (!find_path(path, sizeof(path))) {
		log_line(LOG_ERROR, "cannot tell where %s is: spans stay in the segment", PLUGIN_NAME);
		return false;
	}
	plugin.tls_was_loaded = real_find("OPENSSL_init_crypto") != NULL;
	handle = REAL(dlopen)(path, open_flags());
	if (handle == NULL) {
		log_line(LOG_ERROR, "no exporter, spans stay in the segment: %s", last_error());
		return false;
	}
	version = (export_version_fn *)find_symbol(handle, "interspan_export_version");
	plugin.prepare = (export_prepare_fn *)find_symbol(handle, "interspan_export_prepare");
	plugin.run = (export_run_fn *)find_symbol(handle, "interspan_export_run");
	if (version == NULL || plugin.prepare == NULL || plugin.run == NULL ||
	    strcmp(version(), INTERSPAN_VERSION) != 0) {
		log_line(LOG_ERROR, "%s is not of version %s: spans stay in the segment", path, INTERSPAN_VERSION);
		plugin.run = NULL;
		return false;
	}
	return true;
}

int plugin_load(struct plugin *ret)
{
	if (plugin.run == NULL && !failed)
		failed = !load();
	if (failed)
		return -ENOENT;
	*ret = plugin;
	return 0;
}
