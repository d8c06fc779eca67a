/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which libraries ld.so would load, found as ld.so(8) says. A candidate counts when it is an ELF file of our own class and
 * machine, as with ld.so. Not followed: LD_PRELOAD, hwcaps subdirectories, other namespaces.
 */
#include "scripts/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_FILE "/etc/ld.so.cache"
#define CACHE_MAGIC "glibc-ld.so.cache1.1"

/* The cache's format (glibc, elf/cache.c, since 2.2): a header, entries, and texts that entries point to from the file's start. */
struct cache_header {
	char magic[20];
	uint32_t n_entries;
	uint32_t strings_len;
	uint8_t flags;
	uint8_t pad[3];
	uint32_t extension;
	uint32_t unused[3];
};

struct cache_entry {
	int32_t flags;
	uint32_t name;
	uint32_t path;
	uint32_t os_version;
	uint64_t hwcap;
};

/* The object whose needs are looked at. */
struct requester {
	const struct elf *elf;
	const char *path;
};

static bool usable(const char *path)
{
	struct elf elf;
	bool native;

	if (elf_open(&elf, path) < 0)
		return false;
	native = elf.native && elf.has_dynamic;
	elf_close(&elf);
	return native;
}

static bool try_path(char *ret, const char *directory, size_t directory_len, const char *name)
{
	int n = snprintf(ret, PATH_MAX, "%.*s/%s", (int)directory_len, directory, name);

	if (n > 0 && n < PATH_MAX && directory_len < PATH_MAX && usable(ret))
		return true;
	ret[0] = 0;
	return false;
}

/* One directory of a search list, in which $ORIGIN or ${ORIGIN} at the start stands for the requester's directory. */
static bool try_directory(char *ret, const struct requester *by, const char *directory, size_t len, const char *name)
{
	static const char *const origins[] = { "$ORIGIN", "${ORIGIN}" };
	const char *slash = strrchr(by->path, '/');
	char expanded[PATH_MAX];

	for (size_t i = 0; i < 2; i++) {
		size_t token = strlen(origins[i]);

		if (len < token || strncmp(directory, origins[i], token) != 0)
			continue;
		int n = snprintf(expanded, sizeof(expanded), "%.*s%.*s", slash ? (int)(slash - by->path) : 1,
				 slash ? by->path : ".", (int)(len - token), directory + token);
		return n > 0 && n < PATH_MAX && try_path(ret, expanded, (size_t)n, name);
	}
	return try_path(ret, directory, len, name);
}

/* A list of directories, separated by colons (and, in LD_LIBRARY_PATH, semicolons). */
static bool try_list(char *ret, const struct requester *by, const char *list, const char *separators, const char *name)
{
	while (list && *list) {
		size_t len = strcspn(list, separators);

		if (len > 0 && try_directory(ret, by, list, len, name))
			return true;
		list += len;
		list += *list != 0;
	}
	return false;
}

static bool try_tag(char *ret, const struct requester *by, int64_t tag, const char *name)
{
	uint64_t offset;

	return elf_dynamic(by->elf, tag, 0, &offset) && try_list(ret, by, elf_string(by->elf, offset), ":", name);
}

static const char *cache_text(const struct elf *cache, uint32_t offset)
{
	if (offset >= cache->size || !memchr(cache->bytes + offset, 0, cache->size - offset))
		return NULL;
	return (const char *)cache->bytes + offset;
}

static bool try_cache(char *ret, const char *name)
{
	struct cache_header header;
	struct cache_entry entry;
	struct elf cache;
	bool found = false;

	if (elf_open(&cache, CACHE_FILE) < 0)
		return false;
	if (cache.size >= sizeof(header)) {
		memcpy(&header, cache.bytes, sizeof(header));
		uint64_t room = (cache.size - sizeof(header)) / sizeof(entry);

		if (memcmp(header.magic, CACHE_MAGIC, sizeof(header.magic)) != 0)
			room = 0;
		for (uint64_t i = 0; !found && i < room && i < header.n_entries; i++) {
			memcpy(&entry, cache.bytes + sizeof(header) + i * sizeof(entry), sizeof(entry));
			const char *soname = cache_text(&cache, entry.name), *path = cache_text(&cache, entry.path);

			if (soname && path && !strcmp(soname, name) && strlen(path) < PATH_MAX && usable(path)) {
				strcpy(ret, path);
				found = true;
			}
		}
	}
	elf_close(&cache);
	return found;
}

static bool try_defaults(char *ret, const char *name)
{
	static const char *const directories[] = {
#ifdef __x86_64__
		"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu",
#elif defined(__aarch64__)
		"/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
#endif
		"/lib64", "/usr/lib64", "/lib", "/usr/lib",
	};

	for (size_t i = 0; i < sizeof(directories) / sizeof(*directories); i++) {
		if (try_path(ret, directories[i], strlen(directories[i]), name))
			return true;
	}
	return false;
}

static void find(struct library *library, const struct requester *by, const struct requester *program)
{
	const char *name = library->name;
	char *ret = library->path;
	uint64_t offset;

	ret[0] = 0;
	if (strchr(name, '/')) {
		if (usable(name))
			snprintf(ret, PATH_MAX, "%s", name);
		return;
	}
	if (!elf_dynamic(by->elf, DT_RUNPATH, 0, &offset) &&
	    (try_tag(ret, by, DT_RPATH, name) || try_tag(ret, program, DT_RPATH, name)))
		return;
	(void)(try_list(ret, by, getenv("LD_LIBRARY_PATH"), ":;", name) || try_tag(ret, by, DT_RUNPATH, name) ||
	       try_cache(ret, name) || try_defaults(ret, name));
}

static bool is_listed(const struct library *libraries, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++) {
		if (!strcmp(libraries[i].name, name))
			return true;
	}
	return false;
}

static unsigned add_needed(const struct requester *by, const struct requester *program, struct library *ret, unsigned n,
			   unsigned max)
{
	uint64_t offset;

	for (unsigned i = 0; n < max && elf_dynamic(by->elf, DT_NEEDED, i, &offset); i++) {
		const char *name = elf_string(by->elf, offset);

		if (*name == 0 || strlen(name) >= sizeof(ret->name) || is_listed(ret, n, name))
			continue;
		strcpy(ret[n].name, name);
		find(&ret[n], by, program);
		n++;
	}
	return n;
}

unsigned libs_resolve(const struct elf *elf, const char *path, struct library *ret, unsigned max)
{
	struct requester program = { .elf = elf, .path = path };
	unsigned n = add_needed(&program, &program, ret, 0, max);

	for (unsigned i = 0; i < n; i++) {
		struct elf library;

		if (!ret[i].path[0] || elf_open(&library, ret[i].path) < 0)
			continue;
		n = add_needed(&(struct requester){ .elf = &library, .path = ret[i].path }, &program, ret, n, max);
		elf_close(&library);
	}
	return n;
}
