/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The functions of one ELF file (64 bit, this machine's byte order). Every number in it is checked. Context: one
 * thread; allocates.
 */

#define ELF_BUILD_ID_BYTES 20

#define ELF_REMEMBERED 512

struct elf {
	uint64_t device, inode, size;
	int64_t changed_ns;
	unsigned n_loads;
	struct {
		uint64_t offset, address, len;
	} loads[8];
	uint8_t build_id[ELF_BUILD_ID_BYTES];
	unsigned build_id_len;
	void *symbols; /* Elf64_Sym[n_symbols] */
	size_t n_symbols;
	char *names;   /* ends with a NUL */
	size_t names_len;
	/* Answers, by offset: the same few places are asked for again and again, and a large program has 100,000 symbols. */
	struct {
		bool known;
		uint64_t offset, into;
		const char *function;
	} remembered[ELF_REMEMBERED];
};

/* NULL: it cannot be read, or is none. */
struct elf *elf_open(const char *path);
void elf_free(struct elf *elf);
/* Is the file at path the one that was read? */
bool elf_is_at(const struct elf *elf, const char *path);
/* The function that the byte at offset of the file is in, NULL when none is known. */
const char *elf_function(struct elf *elf, uint64_t offset, uint64_t *ret_into);
