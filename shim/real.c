/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Symbol look-up in the loaded objects' own tables. dl_iterate_phdr() lists the objects in load order; for each one
 * the dynamic section leads to the symbol table, its hash (GNU's or the older SysV one) and the symbol versions. Of
 * several definitions the best placed object wins, and inside one object the best version: the default one of libc's
 * own (or one without versions at all, as other preloads have), then a default one of somebody else's name space, and
 * a hidden (compatibility) one only where there is nothing else.
 */
#include "shim/real.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>

/* Of its size's power of two: in one page. */
_Alignas(1024) struct real real;

/* Arrays and not pointers: a pointer each would be a relocation each, at every exec. */
static const char names[][24] = {
#define HOOK(name) #name,
#include "shim/real.def"
#undef HOOK
};

#define NAMES (sizeof(names) / sizeof(names[0]))
_Static_assert(sizeof(struct real) <= 1024, "its alignment");
_Static_assert(sizeof(struct real) == NAMES * sizeof(void *), "one pointer per name");

long real_missing(void)
{
	errno = ENOSYS;
	return -1;
}

enum rank { RANK_NONE, RANK_HIDDEN, RANK_FOREIGN, RANK_DEFAULT };

/* ---- one object ---- */

struct object {
	const struct dl_phdr_info *info;
	const char *strings;
	const ElfW(Sym) *symbols;
	const ElfW(Versym) *versions;
	const char *definitions; /* ElfW(Verdef) entries, or NULL */
	size_t definition_count;
	const uint32_t *gnu_hash;
	const ElfW(Word) *sysv_hash;
	const char *soname;
	unsigned version;  /* the last one asked for, and what it means: most symbols share a few */
	enum rank rank;
};

static bool object_covers(const struct dl_phdr_info *info, ElfW(Addr) address)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

		if (segment->p_type == PT_LOAD && address - info->dlpi_addr - segment->p_vaddr < segment->p_memsz)
			return true;
	}
	return false;
}

/*
 * The address that a dynamic entry means. The loader adds the load address to the entries in place, but not in objects
 * whose dynamic section is read-only, such as the vdso. NULL when it points outside the object either way.
 */
static const void *object_address(const struct dl_phdr_info *info, ElfW(Addr) value)
{
	if (object_covers(info, value))
		return (const void *)value;
	value += info->dlpi_addr;
	return object_covers(info, value) ? (const void *)value : NULL;
}

static const ElfW(Dyn) *object_dynamic(const struct dl_phdr_info *info)
{
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			return (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	return NULL;
}

static bool object_open(struct object *object, const struct dl_phdr_info *info)
{
	ElfW(Word) soname = 0;

	*object = (struct object){ .info = info };
	for (const ElfW(Dyn) *entry = object_dynamic(info); entry && entry->d_tag != DT_NULL; entry++) {
		ElfW(Addr) value = entry->d_un.d_ptr;

		switch (entry->d_tag) {
		case DT_STRTAB:
			object->strings = object_address(info, value);
			break;
		case DT_SYMTAB:
			object->symbols = object_address(info, value);
			break;
		case DT_VERSYM:
			object->versions = object_address(info, value);
			break;
		case DT_VERDEF:
			object->definitions = object_address(info, value);
			break;
		case DT_VERDEFNUM:
			object->definition_count = entry->d_un.d_val;
			break;
		case DT_GNU_HASH:
			object->gnu_hash = object_address(info, value);
			break;
		case DT_HASH:
			object->sysv_hash = object_address(info, value);
			break;
		case DT_SONAME:
			soname = (ElfW(Word))entry->d_un.d_val;
			break;
		}
	}
	if (object->strings && soname)
		object->soname = object->strings + soname;
	return object->strings && object->symbols && (object->gnu_hash || object->sysv_hash);
}

/* ---- one name in one object ---- */

struct wanted {
	const char *name;
	uint32_t gnu_hash;
	bool data; /* a variable will do, too */
};

struct found {
	enum rank rank;
	const ElfW(Sym) *symbol;
};

static struct wanted wanted_name(const char *name)
{
	struct wanted wanted = { .name = name, .gnu_hash = 5381 };

	for (const unsigned char *c = (const unsigned char *)name; *c; c++)
		wanted.gnu_hash = wanted.gnu_hash * 33 + *c;
	return wanted;
}

static uint32_t sysv_hash(const char *name)
{
	uint32_t hash = 0;

	for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
		hash = (hash << 4) + *c;
		hash ^= hash >> 24 & 0xf0;
		hash &= 0x0fffffff;
	}
	return hash;
}

/* The name of version index, or NULL. */
static const char *version_name(const struct object *object, unsigned index)
{
	const char *p = object->definitions;

	for (size_t i = 0; p && i < object->definition_count; i++) {
		const ElfW(Verdef) *definition = (const void *)p;

		if ((definition->vd_ndx & 0x7fff) == index) {
			const ElfW(Verdaux) *first = (const void *)(p + definition->vd_aux);

			return object->strings + first->vda_name;
		}
		p += definition->vd_next;
	}
	return NULL;
}

static enum rank name_space(const struct object *object, unsigned version)
{
	const char *name = version_name(object, version);

	return name && strncmp(name, "GLIBC_", 6) == 0 ? RANK_DEFAULT : RANK_FOREIGN;
}

static enum rank version_rank(struct object *object, size_t index)
{
	if (!object->versions)
		return RANK_DEFAULT;

	unsigned version = object->versions[index];

	if (version & 0x8000)
		return RANK_HIDDEN;
	if (version <= VER_NDX_GLOBAL)
		return version == VER_NDX_GLOBAL ? RANK_DEFAULT : RANK_NONE;
	if (version != object->version) {
		object->version = version;
		object->rank = name_space(object, version);
	}
	return object->rank;
}

static void consider(struct found *found, struct object *object, const struct wanted *wanted, size_t index)
{
	const ElfW(Sym) *symbol = &object->symbols[index];
	unsigned type = ELF64_ST_TYPE(symbol->st_info);

	if (symbol->st_shndx == SHN_UNDEF || (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE &&
					      !(wanted->data && type == STT_OBJECT)))
		return;
	if (strcmp(object->strings + symbol->st_name, wanted->name) != 0)
		return;

	enum rank rank = version_rank(object, index);

	if (rank > found->rank)
		*found = (struct found){ rank, symbol };
}

/* Layout: four words of header, the Bloom filter in machine words, the buckets, the chains. */
static void find_by_gnu_hash(struct found *found, struct object *object, const struct wanted *wanted)
{
	const uint32_t *header = object->gnu_hash;
	uint32_t bucket_count = header[0], first_hashed = header[1], bloom_count = header[2], shift = header[3];
	const ElfW(Addr) *bloom = (const void *)(header + 4);
	const uint32_t *buckets = (const void *)(bloom + bloom_count);
	const uint32_t *chains = buckets + bucket_count;
	const unsigned bits = 8 * sizeof(ElfW(Addr));

	if (!bucket_count || !bloom_count)
		return;

	ElfW(Addr) word = bloom[wanted->gnu_hash / bits % bloom_count];

	if (!(word >> wanted->gnu_hash % bits & word >> (wanted->gnu_hash >> shift) % bits & 1))
		return;

	uint32_t index = buckets[wanted->gnu_hash % bucket_count];

	if (index < first_hashed) /* an empty bucket */
		return;
	for (uint32_t chain;; index++) {
		chain = chains[index - first_hashed];
		if ((chain | 1) == (wanted->gnu_hash | 1))
			consider(found, object, wanted, index);
		if (chain & 1)
			return;
	}
}

static void find_by_sysv_hash(struct found *found, struct object *object, const struct wanted *wanted)
{
	const ElfW(Word) *header = object->sysv_hash;
	ElfW(Word) bucket_count = header[0], chain_count = header[1];
	const ElfW(Word) *buckets = header + 2, *chains = buckets + bucket_count;

	if (!bucket_count)
		return;

	ElfW(Word) index = buckets[sysv_hash(wanted->name) % bucket_count];

	for (ElfW(Word) steps = 0; index != STN_UNDEF && index < chain_count && steps < chain_count; steps++) {
		consider(found, object, wanted, index);
		index = chains[index];
	}
}

static void *symbol_address(const struct object *object, const ElfW(Sym) *symbol)
{
	ElfW(Addr) address = object->info->dlpi_addr + symbol->st_value;

	if (ELF64_ST_TYPE(symbol->st_info) != STT_GNU_IFUNC)
		return (void *)address;
	/* x86 resolvers take nothing; those of arm64 take this. */
	return ((void *(*)(unsigned long))address)(getauxval(AT_HWCAP));
}

static struct found find(struct object *object, const struct wanted *wanted)
{
	struct found found = { RANK_NONE, NULL };

	if (object->gnu_hash)
		find_by_gnu_hash(&found, object, wanted);
	else
		find_by_sysv_hash(&found, object, wanted);
	return found;
}

/* ---- all names in all objects ---- */

static bool is_ours(const struct dl_phdr_info *info)
{
	return object_covers(info, (ElfW(Addr))&real);
}

static void *pointer_get(size_t i)
{
	void *pointer;

	memcpy(&pointer, (char *)&real + i * sizeof(pointer), sizeof(pointer));
	return pointer;
}

static void pointer_set(size_t i, void *pointer)
{
	memcpy((char *)&real + i * sizeof(pointer), &pointer, sizeof(pointer));
}

/*
 * Two passes over the objects: those behind us, which is where a preload finds libc, then those before us, for the case
 * that we were opened with dlopen. In each, foreign name spaces and hidden versions wait for a round of their own.
 */
struct walk {
	enum rank rank;    /* accept this rank and better */
	bool behind;       /* look behind our own object, else before it */
	bool passed;       /* our own object has gone by */
	size_t missing;    /* names still without an address */
};

static int resolve_in_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct walk *walk = arg;
	struct object object;

	(void)size;
	if (is_ours(info)) {
		walk->passed = true;
		return !walk->behind;
	}
	if (walk->passed != walk->behind || !object_open(&object, info))
		return 0;
	walk->missing = 0;
	for (size_t i = 0; i < NAMES; i++) {
		if (pointer_get(i))
			continue;

		struct wanted wanted = wanted_name(names[i]);
		struct found found = find(&object, &wanted);

		if (found.rank >= walk->rank && found.symbol)
			pointer_set(i, symbol_address(&object, found.symbol));
		else
			walk->missing++;
	}
	return walk->missing == 0;
}

void real_resolve(void)
{
	/* A first touch that only reads would cost a page fault more. */
	(void)__atomic_fetch_or((uintptr_t *)(void *)&real, 0, __ATOMIC_RELAXED);
	for (int behind = 1; behind >= 0; behind--) {
		for (enum rank rank = RANK_DEFAULT; rank > RANK_NONE; rank--) {
			struct walk walk = { .rank = rank, .behind = behind, .missing = NAMES };

			dl_iterate_phdr(resolve_in_object, &walk);
			if (walk.missing == 0)
				return;
		}
	}
}

struct search {
	struct wanted wanted;
	bool libc_only;
	void *address;
};

static int search_in_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *search = arg;
	struct object object;

	(void)size;
	if (is_ours(info) || !object_open(&object, info))
		return 0;
	if (search->libc_only && !(object.soname && strncmp(object.soname, "libc.so", 7) == 0))
		return 0;

	struct found found = find(&object, &search->wanted);

	if (!found.symbol)
		return 0;
	search->address = symbol_address(&object, found.symbol);
	return 1;
}

void *real_find(const char *name)
{
	struct search search = { .wanted = wanted_name(name), .libc_only = true };

	if (!dl_iterate_phdr(search_in_object, &search)) {
		search.libc_only = false;
		dl_iterate_phdr(search_in_object, &search);
	}
	return search.address;
}

void *real_find_in(const struct dl_phdr_info *info, const char *name)
{
	struct wanted wanted = wanted_name(name);
	struct object object;
	struct found found;

	wanted.data = true;
	if (is_ours(info) || !object_open(&object, info))
		return NULL;
	found = find(&object, &wanted);
	return found.symbol ? symbol_address(&object, found.symbol) : NULL;
}

bool real_is_overridden(const char *name)
{
	struct search search = { .wanted = wanted_name(name) };

	return dl_iterate_phdr(search_in_object, &search) && search.address != real_find(name);
}

static int search_in_ours(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *search = arg;
	struct object object;
	struct found found;

	(void)size;
	if (!is_ours(info))
		return 0;
	if (!object_open(&object, info))
		return 1;
	found = find(&object, &search->wanted);
	search->address = found.symbol ? symbol_address(&object, found.symbol) : NULL;
	return 1;
}

bool real_hook(size_t i, const char **ret_name, void **ret_real, void **ret_hook)
{
	struct search search;

	if (i >= NAMES)
		return false;
	search = (struct search){ .wanted = wanted_name(names[i]) };
	dl_iterate_phdr(search_in_ours, &search);
	*ret_name = names[i];
	*ret_real = pointer_get(i);
	*ret_hook = search.address;
	return true;
}
