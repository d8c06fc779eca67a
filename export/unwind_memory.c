/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "export/unwind.h"

#define PAGE 4096u
#define PAGES 32u
#define CODES 1024u /* objects: the rest is taken for data */

/* One caller at a time: the watcher. */
static struct {
	struct {
		uint64_t address; /* 0: nothing */
		uint8_t bytes[PAGE];
	} pages[PAGES];
	unsigned next;
	const uint8_t *copy;
	uint64_t copy_at;
	size_t copy_len;
	bool filtered;
	int file; /* /proc/self/mem, where filtered */
} memory = {.file = -1};

/* Is there a filter on this thread? Where that cannot be told, as if there were. */
static bool is_filtered(void)
{
	char text[4096];
	int fd = open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return !strstr(text, "\nSeccomp:\t0\n");
}

void memory_open(void)
{
	memory.filtered = is_filtered();
	memory.file = memory.filtered ? open("/proc/self/mem", O_RDONLY | O_CLOEXEC) : -1;
}

void memory_close(void)
{
	if (memory.file >= 0)
		close(memory.file);
	memory.file = -1;
}

bool memory_is_filtered(void)
{
	return memory.filtered;
}

static bool read_page(uint64_t start, uint8_t *to)
{
	struct iovec local = {to, PAGE}, remote = {(void *)(uintptr_t)start, PAGE};

	if (memory.filtered)
		return pread(memory.file, to, PAGE, (off_t)start) == (ssize_t)PAGE;
	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)PAGE;
}

void memory_begin(const uint8_t *copy, uint64_t address, size_t len)
{
	for (unsigned i = 0; i < PAGES; i++)
		memory.pages[i].address = 0;
	memory.copy = copy;
	memory.copy_at = address;
	memory.copy_len = copy ? len : 0;
}

static const uint8_t *page_of(uint64_t address)
{
	uint64_t start = address & ~(uint64_t)(PAGE - 1);

	for (unsigned i = 0; i < PAGES; i++)
		if (memory.pages[i].address == start && start != 0)
			return memory.pages[i].bytes;
	memory.next = (memory.next + 1) % PAGES;
	memory.pages[memory.next].address = 0;
	if (start == 0 || !read_page(start, memory.pages[memory.next].bytes))
		return NULL;
	memory.pages[memory.next].address = start;
	return memory.pages[memory.next].bytes;
}

static bool is_copied(uint64_t address, size_t len)
{
	return address >= memory.copy_at && address - memory.copy_at < memory.copy_len &&
	       memory.copy_len - (address - memory.copy_at) >= len;
}

bool memory_read(uint64_t address, void *to, size_t len)
{
	uint8_t *out = to;

	if (is_copied(address, len)) {
		memcpy(to, memory.copy + (address - memory.copy_at), len);
		return true;
	}
	while (len > 0) {
		size_t into = address % PAGE, n = PAGE - into < len ? PAGE - into : len;
		const uint8_t *page = page_of(address);

		if (!page)
			return false;
		memcpy(out, page + into, n);
		out += n;
		address += n;
		len -= n;
	}
	return true;
}

/* ---- code ---- */

/*
 * Taken once for each stack: asking the loader takes its lock, and a fork in that moment leaves it locked in the
 * child. Nothing of an object is read here but its headers, which it cannot lose meanwhile.
 */
static struct {
	struct code list[CODES];
	unsigned n;
} codes;

static int note_object(struct dl_phdr_info *info, size_t size, void *unused)
{
	uint64_t frame_header = 0;
	unsigned first = codes.n;

	(void)size;
	(void)unused;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uint64_t start = info->dlpi_addr + p->p_vaddr;

		if (p->p_type == PT_GNU_EH_FRAME)
			frame_header = start;
		if (p->p_type == PT_LOAD && (p->p_flags & PF_X) && codes.n < CODES)
			codes.list[codes.n++] = (struct code){.start = start, .end = start + p->p_memsz};
	}
	for (unsigned i = first; i < codes.n; i++)
		codes.list[i].frame_header = frame_header;
	return codes.n == CODES;
}

void code_begin(void)
{
	codes.n = 0;
	(void)dl_iterate_phdr(note_object, NULL);
}

bool code_find(uint64_t address, struct code *ret)
{
	for (unsigned i = 0; i < codes.n; i++) {
		if (address < codes.list[i].start || address >= codes.list[i].end)
			continue;
		*ret = codes.list[i];
		return true;
	}
	return false;
}

bool code_is_after_call(uint64_t address, uint64_t *ret_target)
{
	uint8_t before[8];
	int32_t distance;

	*ret_target = 0;
	if (address < sizeof(before) || !memory_read(address - sizeof(before), before, sizeof(before)))
		return false;
	if (before[3] == 0xe8) { /* call rel32 */
		memcpy(&distance, before + 4, sizeof(distance));
		*ret_target = address + (uint64_t)(int64_t)distance;
		return true;
	}
	/* call through a register or memory: FF /2, two to seven bytes long */
	for (unsigned len = 2; len <= 7; len++)
		if (before[8 - len] == 0xff && (before[9 - len] >> 3 & 7) == 2)
			return true;
	return false;
}
