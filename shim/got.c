/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/got.h"

#include <elf.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "shim/process.h"
#include "shim/sys.h"

#if defined(__x86_64__)
#define IS_SLOT(type) ((type) == R_X86_64_JUMP_SLOT || (type) == R_X86_64_GLOB_DAT || (type) == R_X86_64_64)
#elif defined(__aarch64__)
#define IS_SLOT(type) ((type) == R_AARCH64_JUMP_SLOT || (type) == R_AARCH64_GLOB_DAT || (type) == R_AARCH64_ABS64)
#endif

#define PAGE 4096u /* the smallest there is: ranges are rounded by what the kernel says */

/* What of an object's dynamic section leads to its relocations. */
struct object {
	const struct dl_phdr_info *info;
	const char *strings;
	const ElfW(Sym) *symbols;
	const ElfW(Rela) *tables[2];
	size_t counts[2];
};

static bool covers(const struct dl_phdr_info *info, uintptr_t address, ElfW(Word) flags)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && (p->p_flags & flags) == flags &&
		    address - info->dlpi_addr - p->p_vaddr < p->p_memsz)
			return true;
	}
	return false;
}

/* The loader adds the load address to most entries in place, but not in objects whose dynamic section is read-only. */
static const void *pointer_in(const struct dl_phdr_info *info, ElfW(Addr) value)
{
	if (covers(info, value, PF_R))
		return (const void *)value;
	value += info->dlpi_addr;
	return covers(info, value, PF_R) ? (const void *)value : NULL;
}

static void note_entry(struct object *o, const ElfW(Dyn) *d)
{
	switch (d->d_tag) {
	case DT_STRTAB:
		o->strings = pointer_in(o->info, d->d_un.d_ptr);
		break;
	case DT_SYMTAB:
		o->symbols = pointer_in(o->info, d->d_un.d_ptr);
		break;
	case DT_JMPREL:
		o->tables[0] = pointer_in(o->info, d->d_un.d_ptr);
		break;
	case DT_PLTRELSZ:
		o->counts[0] = d->d_un.d_val / sizeof(ElfW(Rela));
		break;
	case DT_RELA:
		o->tables[1] = pointer_in(o->info, d->d_un.d_ptr);
		break;
	case DT_RELASZ:
		o->counts[1] = d->d_un.d_val / sizeof(ElfW(Rela));
		break;
	}
}

static bool open_object(struct object *o, const struct dl_phdr_info *info)
{
	*o = (struct object){.info = info};
	for (int i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type != PT_DYNAMIC)
			continue;
		for (const ElfW(Dyn) *d = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
		     d->d_tag != DT_NULL; d++)
			note_entry(o, d);
	}
	return o->strings && o->symbols;
}

static const char *slot_name(const struct object *o, const ElfW(Rela) *r)
{
	const ElfW(Sym) *symbol = &o->symbols[ELF64_R_SYM(r->r_info)];

	if (ELF64_R_SYM(r->r_info) == 0 || !IS_SLOT(ELF64_R_TYPE(r->r_info)) || r->r_addend != 0 ||
	    symbol->st_shndx != SHN_UNDEF)
		return NULL;
	return o->strings + symbol->st_name;
}

/* The part of a segment that the loader made read-only once it had bound the object: whole pages of it. */
static bool is_sealed(const struct dl_phdr_info *info, uintptr_t address, uintptr_t *ret_start, uintptr_t *ret_end)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = (info->dlpi_addr + p->p_vaddr) & ~(uintptr_t)(PAGE - 1);
		uintptr_t end = (info->dlpi_addr + p->p_vaddr + p->p_memsz) & ~(uintptr_t)(PAGE - 1);

		if (p->p_type != PT_GNU_RELRO || address < start || address >= end)
			continue;
		*ret_start = start;
		*ret_end = end;
		return true;
	}
	return false;
}

static long protect(uintptr_t start, uintptr_t end, int how)
{
	return sys_call3(SYS_mprotect, (long)start, (long)(end - start), how);
}

static bool write_slot(const struct dl_phdr_info *info, void **slot, void *value)
{
	uintptr_t start, end;
	bool sealed = is_sealed(info, (uintptr_t)slot, &start, &end);

	/* After a sandbox has closed, a system call may kill. */
	if (sealed && (process_is_sandboxed() || protect(start, end, PROT_READ | PROT_WRITE) != 0))
		return false;
	atomic_store_explicit((_Atomic(void *) *)slot, value, memory_order_release);
	if (sealed)
		(void)protect(start, end, PROT_READ);
	return true;
}

/* Bound to the function that the hook stands for, or not bound yet: then the slot leads into the object's own stub. */
static bool leads_to(const struct dl_phdr_info *info, const void *value, const void *real)
{
	return value == real || covers(info, (uintptr_t)value, PF_X);
}

static int patch_slot(const struct dl_phdr_info *info, void **slot, const struct got_patch *p)
{
	if (!covers(info, (uintptr_t)slot, PF_W))
		return 0;
	if (*slot == p->hook)
		return 1;
	if (!leads_to(info, *slot, p->real))
		return 0;
	return write_slot(info, slot, p->hook) ? 1 : -1;
}

static int patch_named(const struct object *o, const ElfW(Rela) *r, const struct got_patch *patches, size_t n)
{
	const char *name = slot_name(o, r);

	for (size_t i = 0; name && i < n; i++)
		if (patches[i].real && strcmp(name, patches[i].name) == 0)
			return patch_slot(o->info, (void **)(o->info->dlpi_addr + r->r_offset), &patches[i]);
	return 0;
}

int got_patch(const struct dl_phdr_info *info, const struct got_patch *patches, size_t n)
{
	struct object o;
	int patched = 0, failed = 0;

	if (!open_object(&o, info))
		return 0;
	for (int t = 0; t < 2; t++) {
		for (size_t i = 0; o.tables[t] && i < o.counts[t]; i++) {
			int got = patch_named(&o, &o.tables[t][i], patches, n);

			patched += got > 0;
			failed += got < 0;
		}
	}
	return failed ? -1 : patched;
}

/* ---- addresses ---- */

struct where {
	uintptr_t address;
	bool readable, writable;
};

static int look_for(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct where *w = arg;
	uintptr_t start, end;

	(void)size;
	w->readable = covers(info, w->address, PF_R);
	w->writable = covers(info, w->address, PF_W) && !is_sealed(info, w->address, &start, &end);
	return w->readable;
}

bool got_is_writable(const void *address)
{
	struct where w = {.address = (uintptr_t)address};

	(void)dl_iterate_phdr(look_for, &w);
	return w.writable;
}

bool got_is_readable(const void *address)
{
	struct where w = {.address = (uintptr_t)address};

	(void)dl_iterate_phdr(look_for, &w);
	return w.readable;
}
