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

/* A function. They are sorted by where they start; of those that start together, the file's first is the last. */
struct elf_symbol {
	uint64_t start, end; /* UINT64_MAX: it says no size, and ends nowhere */
	uint32_t name;
	uint32_t outer;      /* the nearest before it that ends later, counted from 1; 0: none */
};

struct elf {
	uint64_t device, inode, size;
	int64_t changed_ns;
	unsigned n_loads;
	struct {
		uint64_t offset, address, len;
	} loads[8];
	uint8_t build_id[ELF_BUILD_ID_BYTES];
	unsigned build_id_len;
	struct elf_symbol *symbols;
	size_t n_symbols;
	char *names;   /* ends with a NUL */
	size_t names_len;
};

/* NULL: it cannot be read, or is none. */
struct elf *elf_open(const char *path);
void elf_free(struct elf *elf);
/* Is the file at path the one that was read? */
bool elf_is_at(const struct elf *elf, const char *path);
/* The function that the byte at offset of the file is in, NULL when none is known. */
const char *elf_function(const struct elf *elf, uint64_t offset, uint64_t *ret_into);
