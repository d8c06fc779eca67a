/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading ELF files that may be broken or made to hurt: every access goes through take(), which checks that the bytes
 * lie within the file and copies them out, so neither bounds nor alignment can go wrong. Numbers of headers, symbols and
 * notes are bounded by the file's size.
 */
#include "scripts/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The header of this very program tells what "our own" class, byte order and machine are. */
extern const ElfW(Ehdr) __ehdr_start;

#define MAX_TEXT 4096           /* longest name or path that is believed */
#define MAX_DYNAMIC_ENTRIES 4096

static bool take(const struct elf *elf, uint64_t offset, void *ret, size_t len)
{
	if (!elf->bytes || offset > elf->size || len > elf->size - offset)
		return false;
	memcpy(ret, elf->bytes + offset, len);
	return true;
}

/* A text at offset that ends before end (and before the file does), or NULL. */
static const char *text_at(const struct elf *elf, uint64_t offset, uint64_t end)
{
	if (end > elf->size)
		end = elf->size;
	if (offset >= end)
		return NULL;
	if (!memchr(elf->bytes + offset, 0, end - offset < MAX_TEXT ? end - offset : MAX_TEXT))
		return NULL;
	return (const char *)elf->bytes + offset;
}

static bool program_header(const struct elf *elf, unsigned i, ElfW(Phdr) *ret)
{
	return elf->native && elf->header.e_phentsize == sizeof(*ret) && i < elf->header.e_phnum &&
	       elf->header.e_phoff <= elf->size && take(elf, elf->header.e_phoff + i * sizeof(*ret), ret, sizeof(*ret));
}

static bool section_header(const struct elf *elf, unsigned i, ElfW(Shdr) *ret)
{
	return elf->native && elf->header.e_shentsize == sizeof(*ret) && i < elf->header.e_shnum &&
	       elf->header.e_shoff <= elf->size && take(elf, elf->header.e_shoff + i * sizeof(*ret), ret, sizeof(*ret));
}

static bool find_segment(const struct elf *elf, uint32_t type, ElfW(Phdr) *ret)
{
	for (unsigned i = 0; program_header(elf, i, ret); i++) {
		if (ret->p_type == type)
			return true;
	}
	return false;
}

/* Where in the file lies what will be at this address? */
static bool offset_of(const struct elf *elf, uint64_t address, uint64_t *ret)
{
	ElfW(Phdr) segment;

	for (unsigned i = 0; program_header(elf, i, &segment); i++) {
		if (segment.p_type == PT_LOAD && address >= segment.p_vaddr && address - segment.p_vaddr < segment.p_filesz) {
			*ret = segment.p_offset + (address - segment.p_vaddr);
			return true;
		}
	}
	return false;
}

bool elf_dynamic(const struct elf *elf, int64_t tag, unsigned nth, uint64_t *ret)
{
	ElfW(Phdr) segment;
	ElfW(Dyn) entry;

	if (!find_segment(elf, PT_DYNAMIC, &segment))
		return false;
	if (segment.p_offset > elf->size)
		return false;
	for (uint64_t i = 0; i < MAX_DYNAMIC_ENTRIES && i < segment.p_filesz / sizeof(entry); i++) {
		if (!take(elf, segment.p_offset + i * sizeof(entry), &entry, sizeof(entry)) || entry.d_tag == DT_NULL)
			return false;
		if (entry.d_tag == tag && nth-- == 0) {
			*ret = entry.d_un.d_val;
			return true;
		}
	}
	return false;
}

/* The number of dynamic symbols is told by the section table, else by DT_HASH, else by where their names begin. */
static uint64_t count_symbols(const struct elf *elf)
{
	uint64_t address, offset;
	uint32_t hash[2];
	ElfW(Shdr) section;

	for (unsigned i = 0; section_header(elf, i, &section); i++) {
		if (section.sh_type == SHT_DYNSYM && section.sh_offset == elf->symbols)
			return section.sh_size / sizeof(ElfW(Sym));
	}
	if (elf_dynamic(elf, DT_HASH, 0, &address) && offset_of(elf, address, &offset) &&
	    take(elf, offset, hash, sizeof(hash)))
		return hash[1];
	return elf->strings > elf->symbols ? (elf->strings - elf->symbols) / sizeof(ElfW(Sym)) : 0;
}

static void read_tables(struct elf *elf)
{
	uint64_t address;

	if (elf_dynamic(elf, DT_STRTAB, 0, &address) && offset_of(elf, address, &elf->strings))
		(void)elf_dynamic(elf, DT_STRSZ, 0, &elf->strings_len);
	if (!elf_dynamic(elf, DT_SYMTAB, 0, &address) || !offset_of(elf, address, &elf->symbols) || elf->symbols > elf->size)
		return;
	elf->n_symbols = count_symbols(elf);
	if (elf->n_symbols > (elf->size - elf->symbols) / sizeof(ElfW(Sym)))
		elf->n_symbols = (elf->size - elf->symbols) / sizeof(ElfW(Sym));
}

static void read_headers(struct elf *elf)
{
	const ElfW(Ehdr) *own = &__ehdr_start;
	ElfW(Phdr) segment;

	elf->is_elf = elf->bytes && elf->size >= SELFMAG && !memcmp(elf->bytes, ELFMAG, SELFMAG);
	if (!elf->is_elf || !take(elf, 0, &elf->header, sizeof(elf->header)))
		return;
	elf->native = elf->header.e_ident[EI_CLASS] == own->e_ident[EI_CLASS] &&
		      elf->header.e_ident[EI_DATA] == own->e_ident[EI_DATA] && elf->header.e_machine == own->e_machine;
	if (find_segment(elf, PT_INTERP, &segment) && segment.p_offset <= elf->size)
		elf->interp = text_at(elf, segment.p_offset, segment.p_offset + segment.p_filesz);
	elf->has_dynamic = find_segment(elf, PT_DYNAMIC, &segment);
	read_tables(elf);
}

int elf_open(struct elf *ret, const char *path)
{
	/* O_NONBLOCK: a FIFO must not hold us up. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	void *bytes = NULL;
	int error = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		error = -errno;
	else if (!S_ISREG(st.st_mode))
		error = S_ISDIR(st.st_mode) ? -EISDIR : -ENODEV;
	else if (st.st_size > 0)
		bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		error = -errno;
	close(fd);
	if (error)
		return error;
	*ret = (struct elf){ .bytes = bytes, .size = (uint64_t)st.st_size };
	read_headers(ret);
	return 0;
}

void elf_close(struct elf *elf)
{
	if (elf->bytes)
		munmap((void *)(uintptr_t)elf->bytes, elf->size);
	*elf = (struct elf){ 0 };
}

void elf_describe(const struct elf *elf, char *ret)
{
	static const struct {
		uint16_t machine;
		const char *name;
	} names[] = { { EM_386, "i386" },   { EM_X86_64, "x86-64" },   { EM_ARM, "ARM" },
		      { EM_RISCV, "RISC-V" }, { EM_AARCH64, "AArch64" }, { EM_PPC64, "PowerPC64" },
		      { EM_S390, "S/390" },   { EM_MIPS, "MIPS" } };
	uint8_t head[20] = { 0 }; /* up to e_machine, which lies at the same place in both classes */

	(void)take(elf, 0, head, sizeof(head));
	unsigned low = head[EI_DATA] == ELFDATA2LSB ? 18 : 19;
	unsigned machine = head[low] | (unsigned)head[37 - low] << 8;
	const char *bits = head[EI_CLASS] == ELFCLASS64 ? "64" : "32";

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (names[i].machine == machine) {
			snprintf(ret, 64, "%s-bit %s", bits, names[i].name);
			return;
		}
	}
	snprintf(ret, 64, "%s-bit machine number %u", bits, machine);
}

const char *elf_string(const struct elf *elf, uint64_t offset)
{
	const char *text = NULL;

	if (offset < elf->strings_len && elf->strings <= elf->size && elf->strings_len <= elf->size - elf->strings)
		text = text_at(elf, elf->strings + offset, elf->strings + elf->strings_len);
	return text ? text : "";
}

bool elf_symbol(const struct elf *elf, uint64_t i, const char **ret_name, bool *ret_defined)
{
	ElfW(Sym) symbol;

	if (!take(elf, elf->symbols + i * sizeof(symbol), &symbol, sizeof(symbol)))
		return false;
	*ret_name = elf_string(elf, symbol.st_name);
	*ret_defined = symbol.st_shndx != SHN_UNDEF && symbol.st_shndx < SHN_LORESERVE &&
		       ELF64_ST_BIND(symbol.st_info) != STB_LOCAL &&
		       ELF64_ST_VISIBILITY(symbol.st_other) == STV_DEFAULT;
	return **ret_name != 0;
}

bool elf_exports(const struct elf *elf, const char *name)
{
	const char *symbol;
	bool defined;

	for (uint64_t i = 0; i < elf->n_symbols; i++) {
		if (elf_symbol(elf, i, &symbol, &defined) && defined && !strcmp(symbol, name))
			return true;
	}
	return false;
}

/* Does a PT_NOTE segment hold a note named "Go"? (cmd/link writes the build id there.) */
static bool has_go_note(const struct elf *elf, const ElfW(Phdr) *segment)
{
	uint64_t at = segment->p_offset, end = segment->p_offset + segment->p_filesz;
	ElfW(Nhdr) note;
	char name[4];

	if (at > elf->size || end < at || end > elf->size)
		return false;
	while (at < end && take(elf, at, &note, sizeof(note))) {
		at += sizeof(note);
		if (note.n_namesz == 4 && take(elf, at, name, 4) && !memcmp(name, "Go\0", 4))
			return true;
		at += ((uint64_t)note.n_namesz + 3) / 4 * 4 + ((uint64_t)note.n_descsz + 3) / 4 * 4;
	}
	return false;
}

static bool has_section(const struct elf *elf, const char *name)
{
	ElfW(Shdr) names, section;

	if (!section_header(elf, elf->header.e_shstrndx, &names) || names.sh_offset > elf->size ||
	    names.sh_size > elf->size - names.sh_offset)
		return false;
	for (unsigned i = 0; section_header(elf, i, &section); i++) {
		const char *text = text_at(elf, names.sh_offset + section.sh_name, names.sh_offset + names.sh_size);

		if (text && !strcmp(text, name))
			return true;
	}
	return false;
}

bool elf_is_go(const struct elf *elf)
{
	ElfW(Phdr) segment;

	for (unsigned i = 0; program_header(elf, i, &segment); i++) {
		if (segment.p_type == PT_NOTE && has_go_note(elf, &segment))
			return true;
	}
	return has_section(elf, ".go.buildinfo");
}

bool elf_contains(const struct elf *elf, const char *text)
{
	return elf->bytes && memmem(elf->bytes, elf->size, text, strlen(text)) != NULL;
}
