/* SPDX-License-Identifier: Apache-2.0 */
#include "export/elf.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TABLE_MAX (64u << 20) /* bytes of a symbol or name table that are worth reading */
#define SECTIONS_MAX 4096
#define NOTES_MAX 4096

static bool read_at(int fd, uint64_t offset, void *to, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)to + done, len - done, (off_t)(offset + done));

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* len bytes from offset, and a NUL behind them; NULL: it is too much, not all there, or there is no memory. */
static void *read_table(int fd, uint64_t offset, uint64_t len)
{
	char *table;

	if (len == 0 || len > TABLE_MAX || offset > INT64_MAX - len)
		return NULL;
	table = malloc(len + 1);
	if (!table)
		return NULL;
	table[len] = '\0';
	if (read_at(fd, offset, table, len))
		return table;
	free(table);
	return NULL;
}

/* ---- segments ---- */

static void find_build_id(struct elf *elf, int fd, const Elf64_Phdr *p)
{
	_Alignas(8) uint8_t notes[NOTES_MAX];
	uint64_t len = p->p_filesz < sizeof(notes) ? p->p_filesz : sizeof(notes), at = 0;

	if (!read_at(fd, p->p_offset, notes, len))
		return;
	while (len - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		uint64_t name = at + sizeof(note), content;

		memcpy(&note, notes + at, sizeof(note));
		content = name + ((uint64_t)note.n_namesz + 3) / 4 * 4;
		if (content > len || note.n_descsz > len - content)
			return;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(notes + name, "GNU", 4) == 0) {
			elf->build_id_len = note.n_descsz < ELF_BUILD_ID_BYTES ? note.n_descsz : ELF_BUILD_ID_BYTES;
			memcpy(elf->build_id, notes + content, elf->build_id_len);
			return;
		}
		at = content + ((uint64_t)note.n_descsz + 3) / 4 * 4;
		if (at > len)
			return;
	}
}

static void read_segments(struct elf *elf, int fd, const Elf64_Ehdr *header)
{
	for (unsigned i = 0; i < header->e_phnum && i < 64; i++) {
		Elf64_Phdr p;

		if (!read_at(fd, header->e_phoff + i * sizeof(p), &p, sizeof(p)))
			return;
		if (p.p_type == PT_NOTE && elf->build_id_len == 0)
			find_build_id(elf, fd, &p);
		if (p.p_type != PT_LOAD || elf->n_loads == sizeof(elf->loads) / sizeof(elf->loads[0]))
			continue;
		elf->loads[elf->n_loads].offset = p.p_offset;
		elf->loads[elf->n_loads].address = p.p_vaddr;
		elf->loads[elf->n_loads++].len = p.p_filesz;
	}
}

/* ---- symbols ---- */

static bool section_at(int fd, const Elf64_Ehdr *header, uint64_t i, Elf64_Shdr *ret)
{
	return i < header->e_shnum && read_at(fd, header->e_shoff + i * sizeof(*ret), ret, sizeof(*ret));
}

/* The first section of that type. */
static bool find_section(int fd, const Elf64_Ehdr *header, uint32_t type, Elf64_Shdr *ret)
{
	for (unsigned i = 0; i < header->e_shnum && i < SECTIONS_MAX; i++) {
		if (!section_at(fd, header, i, ret))
			return false;
		if (ret->sh_type == type)
			return true;
	}
	return false;
}

static int by_start(const void *a, const void *b)
{
	const struct elf_symbol *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->outer < y->outer ? 1 : -1; /* the place in the file, as yet */
}

static void link_outer(struct elf *elf)
{
	for (size_t i = 0; i < elf->n_symbols; i++) {
		uint32_t outer = (uint32_t)i;

		while (outer > 0 && elf->symbols[outer - 1].end <= elf->symbols[i].end)
			outer = elf->symbols[outer - 1].outer;
		elf->symbols[i].outer = outer;
	}
}

/* Assembly may give its functions no size: then the nearest one before stands. */
static bool read_function(const struct elf *elf, const Elf64_Sym *symbol, struct elf_symbol *ret)
{
	unsigned type = ELF64_ST_TYPE(symbol->st_info);

	if ((type != STT_FUNC && type != STT_GNU_IFUNC) || symbol->st_shndx == SHN_UNDEF ||
	    symbol->st_name >= elf->names_len)
		return false;
	ret->start = symbol->st_value;
	ret->end = symbol->st_value + symbol->st_size;
	if (symbol->st_size == 0 || ret->end < ret->start)
		ret->end = UINT64_MAX;
	ret->name = symbol->st_name;
	return true;
}

/* A large program has 100,000, and each frame of a stack is asked for. */
static bool index_symbols(struct elf *elf, const Elf64_Sym *table, size_t n)
{
	elf->symbols = calloc(n + 1, sizeof(*elf->symbols));
	if (!elf->symbols)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!read_function(elf, &table[i], &elf->symbols[elf->n_symbols]))
			continue;
		elf->symbols[elf->n_symbols++].outer = (uint32_t)i;
	}
	qsort(elf->symbols, elf->n_symbols, sizeof(*elf->symbols), by_start);
	link_outer(elf);
	return true;
}

static bool read_symbols(struct elf *elf, int fd, const Elf64_Ehdr *header, uint32_t type)
{
	Elf64_Shdr symbols, names;
	Elf64_Sym *table;
	bool indexed;

	if (!find_section(fd, header, type, &symbols) || symbols.sh_entsize != sizeof(Elf64_Sym) ||
	    !section_at(fd, header, symbols.sh_link, &names))
		return false;
	table = read_table(fd, symbols.sh_offset, symbols.sh_size);
	elf->names = read_table(fd, names.sh_offset, names.sh_size);
	elf->names_len = names.sh_size;
	indexed = table && elf->names && index_symbols(elf, table, symbols.sh_size / sizeof(*table));
	free(table);
	if (!indexed) {
		free(elf->names);
		elf->names = NULL;
	}
	return indexed;
}

static bool is_ours(const Elf64_Ehdr *header)
{
	return memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 && header->e_ident[EI_CLASS] == ELFCLASS64 &&
	       header->e_ident[EI_DATA] == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB) &&
	       header->e_phentsize == sizeof(Elf64_Phdr) && header->e_phoff < INT64_MAX / 2 &&
	       (header->e_shnum == 0 || header->e_shentsize == sizeof(Elf64_Shdr)) && header->e_shoff < INT64_MAX / 2;
}

static int64_t changed_ns(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static struct elf *read_elf(int fd)
{
	struct elf *elf;
	Elf64_Ehdr header;
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || !read_at(fd, 0, &header, sizeof(header)) ||
	    !is_ours(&header))
		return NULL;
	elf = calloc(1, sizeof(*elf));
	if (!elf)
		return NULL;
	elf->device = st.st_dev;
	elf->inode = st.st_ino;
	elf->size = (uint64_t)st.st_size;
	elf->changed_ns = changed_ns(&st);
	read_segments(elf, fd, &header);
	/* A stripped file still names what it exports. */
	if (!read_symbols(elf, fd, &header, SHT_SYMTAB))
		(void)read_symbols(elf, fd, &header, SHT_DYNSYM);
	return elf;
}

struct elf *elf_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct elf *elf = fd >= 0 ? read_elf(fd) : NULL;

	if (fd >= 0)
		close(fd);
	return elf;
}

void elf_free(struct elf *elf)
{
	if (!elf)
		return;
	free(elf->symbols);
	free(elf->names);
	free(elf);
}

bool elf_is_at(const struct elf *elf, const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_dev == elf->device && st.st_ino == elf->inode &&
	       (uint64_t)st.st_size == elf->size && changed_ns(&st) == elf->changed_ns;
}

/* ---- look-up ---- */

static bool address_of(const struct elf *elf, uint64_t offset, uint64_t *ret)
{
	for (unsigned i = 0; i < elf->n_loads; i++) {
		if (offset < elf->loads[i].offset || offset - elf->loads[i].offset >= elf->loads[i].len)
			continue;
		*ret = offset - elf->loads[i].offset + elf->loads[i].address;
		return true;
	}
	return false;
}

const char *elf_function(const struct elf *elf, uint64_t offset, uint64_t *ret_into)
{
	size_t low = 0, high = elf->n_symbols;
	uint64_t address;

	if (!address_of(elf, offset, &address))
		return NULL;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (elf->symbols[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	while (low > 0 && elf->symbols[low - 1].end <= address)
		low = elf->symbols[low - 1].outer;
	if (low == 0)
		return NULL;
	*ret_into = address - elf->symbols[low - 1].start;
	return elf->names + elf->symbols[low - 1].name;
}
