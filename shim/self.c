/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/self.h"

#include <link.h>
#include <string.h>

/* Written by self_start() only. */
static char path[512];
static bool is_first;
static uintptr_t start_address, end_address;

/* Is address inside the object that info describes? */
static bool holds(const struct dl_phdr_info *info, uintptr_t address)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && address - info->dlpi_addr - p->p_vaddr < p->p_memsz)
			return true;
	}
	return false;
}

static const char *file_name(const char *p, size_t len, size_t *ret_len)
{
	size_t start = len;

	while (start > 0 && p[start - 1] != '/')
		start--;
	*ret_len = len - start;
	return p + start;
}

/* By this, and by no file name, one copy of the library knows another. */
static const struct {
	ElfW(Nhdr) header;
	char owner[sizeof("interspan") + 2]; /* padded to a multiple of four */
	char mark[4];
} note __attribute__((section(".note.interspan"), used, aligned(4))) = {
	{ .n_namesz = sizeof("interspan"), .n_descsz = 4, .n_type = 1 }, "interspan", "copy" };

static bool has_our_note(const struct dl_phdr_info *info)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		/* Wherever it stands among the others. */
		for (size_t at = 0; p->p_type == PT_NOTE && at + sizeof(note) <= p->p_memsz; at += 4)
			if (memcmp((const void *)(info->dlpi_addr + p->p_vaddr + at), &note, sizeof(note)) == 0)
				return true;
	}
	return false;
}

static void remember_addresses(const struct dl_phdr_info *info)
{
	start_address = info->dlpi_addr;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;

		if (info->dlpi_phdr[i].p_type == PT_LOAD && end > end_address)
			end_address = end;
	}
}

bool self_holds(uintptr_t address)
{
	return address >= start_address && address < end_address;
}

/* The objects in link order, up to ours. */
static int look_at(struct dl_phdr_info *info, size_t size, void *is_another_before)
{
	(void)size;
	if (holds(info, (uintptr_t)&self_start)) {
		if (info->dlpi_name && strlen(info->dlpi_name) < sizeof(path))
			strcpy(path, info->dlpi_name);
		remember_addresses(info);
		return 1;
	}
	if (has_our_note(info))
		*(bool *)is_another_before = true;
	return 0;
}

void self_start(void)
{
	bool is_another_before = false;

	(void)dl_iterate_phdr(look_at, &is_another_before);
	is_first = !is_another_before;
}

bool self_is_first(void)
{
	return is_first;
}

const char *self_path(void)
{
	return path;
}

bool self_is_path(const char *entry, size_t len)
{
	size_t a, b;
	const char *given = file_name(entry, len, &a), *ours = file_name(path, strlen(path), &b);

	return a > 0 && a == b && memcmp(given, ours, a) == 0;
}
