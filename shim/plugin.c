/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/plugin.h"

#include <limits.h>
#include <string.h>

#include "shim/log.h"
#include "shim/real.h"
#include "shim/self.h"
#include "shim/sys.h"
#include "shim/text.h"

#define EXPORT_NAME "libinterspan-export.so"
#define UNWIND_NAME "libinterspan-unwind.so"

static struct plugin plugin;
static struct unwind unwind;
static bool failed, unwind_failed;

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
static bool find_path(const char *name, char *ret, size_t cap)
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
	if (t.len + strlen(name) >= cap)
		return false;
	text_add_string(&t, name);
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

/* NULL: it cannot be had, or is not of our version; that has been logged, with what it means. */
static void *open_plugin(const char *name, const char *version_symbol, const char *without)
{
	char path[PATH_MAX];
	export_version_fn *version;
	void *handle;

	if (!find_path(name, path, sizeof(path))) {
		log_line(LOG_ERROR, "cannot tell where %s is: %s", name, without);
		return NULL;
	}
	handle = REAL(dlopen)(path, open_flags());
	if (handle == NULL) {
		log_line(LOG_ERROR, "%s: %s", without, last_error());
		return NULL;
	}
	version = (export_version_fn *)find_symbol(handle, version_symbol);
	if (version != NULL && strcmp(version(), INTERSPAN_VERSION) == 0)
		return handle;
	log_line(LOG_ERROR, "%s is not of version %s: %s", path, INTERSPAN_VERSION, without);
	return NULL;
}

static bool load(void)
{
	void *handle;

	plugin.tls_was_loaded = real_find("OPENSSL_init_crypto") != NULL;
	handle = open_plugin(EXPORT_NAME, "interspan_export_version", "no exporter, spans stay in the segment");
	if (handle == NULL)
		return false;
	plugin.prepare = (export_prepare_fn *)find_symbol(handle, "interspan_export_prepare");
	plugin.run = (export_run_fn *)find_symbol(handle, "interspan_export_run");
	return plugin.prepare != NULL && plugin.run != NULL;
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

static bool load_unwind(void)
{
	void *handle = open_plugin(UNWIND_NAME, "interspan_unwind_version", "no stacks are taken");

	if (handle == NULL)
		return false;
	unwind.here = (unwind_here_fn *)find_symbol(handle, "interspan_unwind_here");
	unwind.thread = (unwind_thread_fn *)find_symbol(handle, "interspan_unwind_thread");
	return unwind.here != NULL && unwind.thread != NULL;
}

int plugin_load_unwind(struct unwind *ret)
{
	if (unwind.thread == NULL && !unwind_failed)
		unwind_failed = !load_unwind();
	if (unwind_failed)
		return -ENOENT;
	*ret = unwind;
	return 0;
}
