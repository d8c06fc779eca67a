/* SPDX-License-Identifier: Apache-2.0 */
/* See unwind.h. libunwind walks, as it would through another process; all that it reads it asks us for. */
#include "export/unwind.h"

#include <fcntl.h>
#include <inttypes.h>
#include <libunwind.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TRIES 5
#define SEARCH_BYTES 65536u /* of a stack, for a frame */
#define FRAME_MAX 1048576u  /* bytes: frame pointers do not jump further */

/* Not in its header, but in its library since long: for those who unwind from outside. */
#define dwarf_search_unwind_table UNW_OBJ(dwarf_search_unwind_table)
extern int dwarf_search_unwind_table(unw_addr_space_t, unw_word_t, unw_dyn_info_t *, unw_proc_info_t *, int, void *);

struct walk {
	struct registers at;
	uint64_t frame_sp;  /* of the frame that is being left */
	uint64_t function;  /* its function's first instruction; 0: not known */
	bool searched, has_bp;
};

const char *interspan_unwind_version(void)
{
	return INTERSPAN_VERSION;
}

#if defined(__x86_64__)

/* ---- the frame pointer, where nobody knows it ---- */

/* A call of a function of another object goes to a stub that jumps on. */
static bool is_stub(uint64_t target)
{
	static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
	uint8_t bytes[8];

	if (!memory_read(target, bytes, sizeof(bytes)))
		return false;
	if (memcmp(bytes, endbr64, sizeof(endbr64)) == 0)
		memmove(bytes, bytes + 4, 4);
	return (bytes[0] == 0xff && bytes[1] == 0x25) || (bytes[0] == 0xf2 && bytes[1] == 0xff && bytes[2] == 0x25);
}

enum likeness { NO_FRAME, LIKELY_FRAME, SURE_FRAME };

/* Is there, at `at`, a saved frame pointer and beside it a return address of a call of the function? */
static enum likeness judge_frame(uint64_t at, uint64_t function)
{
	uint64_t words[2], target;
	struct code code;

	if (!memory_read(at, words, sizeof(words)) || !code_find(words[1], &code) ||
	    !code_is_after_call(words[1], &target))
		return NO_FRAME;
	if (target != 0 && target == function)
		return SURE_FRAME;
	if (words[0] <= at || words[0] - at > FRAME_MAX || words[0] % 8 != 0)
		return NO_FRAME;
	return target == 0 || is_stub(target) ? LIKELY_FRAME : NO_FRAME;
}

static bool search_frame(const struct walk *w, uint64_t *ret)
{
	uint64_t start = (w->frame_sp + 7) & ~7ull, likely = 0;

	for (uint64_t at = start; at < start + SEARCH_BYTES; at += 8) {
		enum likeness likeness = judge_frame(at, w->function);

		if (likeness == SURE_FRAME) {
			*ret = at;
			return true;
		}
		if (likeness == LIKELY_FRAME && likely == 0)
			likely = at;
	}
	*ret = likely;
	return likely != 0;
}

static bool frame_pointer(struct walk *w, uint64_t *ret)
{
	if (!w->at.has_callee_saved && !w->searched) {
		w->searched = true;
		w->has_bp = search_frame(w, &w->at.bp);
	}
	*ret = w->at.bp;
	return w->at.has_callee_saved || w->has_bp;
}

/* ---- what libunwind asks ---- */

static int access_reg(unw_addr_space_t as, unw_regnum_t reg, unw_word_t *value, int write, void *arg)
{
	struct walk *w = arg;

	(void)as;
	if (write)
		return -UNW_EREADONLYREG;
	switch (reg) {
	case UNW_X86_64_RIP: *value = w->at.ip; return 0;
	case UNW_X86_64_RSP: *value = w->at.sp; return 0;
	case UNW_X86_64_RBP: return frame_pointer(w, value) ? 0 : -UNW_EBADREG;
	default: break;
	}
	if (!w->at.has_callee_saved)
		return -UNW_EBADREG;
	switch (reg) {
	case UNW_X86_64_RBX: *value = w->at.bx; return 0;
	case UNW_X86_64_R12: *value = w->at.r12; return 0;
	case UNW_X86_64_R13: *value = w->at.r13; return 0;
	case UNW_X86_64_R14: *value = w->at.r14; return 0;
	case UNW_X86_64_R15: *value = w->at.r15; return 0;
	default: return -UNW_EBADREG;
	}
}

static int access_mem(unw_addr_space_t as, unw_word_t address, unw_word_t *value, int write, void *arg)
{
	(void)as;
	(void)arg;
	if (write || !memory_read(address, value, sizeof(*value)))
		return -UNW_EINVAL;
	return 0;
}

/* .eh_frame_hdr (LSB core, 10.6.2): version, three encodings, the pointer to .eh_frame, the count, and the table. */
struct frame_header {
	uint8_t version, frame_encoding, count_encoding, table_encoding;
	int32_t frame;
	uint32_t count;
};

static int find_proc_info(unw_addr_space_t as, unw_word_t ip, unw_proc_info_t *info, int need, void *arg)
{
	struct frame_header header;
	struct code code;
	unw_dyn_info_t table = {.format = UNW_INFO_FORMAT_REMOTE_TABLE};

	/* The encodings that every linker makes: offsets of four bytes, from here and from the header. */
	if (!code_find(ip, &code) || code.frame_header == 0 ||
	    !memory_read(code.frame_header, &header, sizeof(header)) || header.version != 1 || header.frame_encoding != 0x1b || header.count_encoding != 0x03 ||
	    header.table_encoding != 0x3b)
		return -UNW_ENOINFO;
	table.start_ip = code.start;
	table.end_ip = code.end;
	table.u.rti.segbase = code.frame_header;
	table.u.rti.table_data = code.frame_header + sizeof(header);
	table.u.rti.table_len = (uint64_t)header.count * 8 / sizeof(unw_word_t);
	return dwarf_search_unwind_table(as, ip, &table, info, need, arg);
}

static void put_unwind_info(unw_addr_space_t as, unw_proc_info_t *info, void *arg)
{
	(void)as;
	(void)info;
	(void)arg;
}

static int no_dynamic_info(unw_addr_space_t as, unw_word_t *address, void *arg)
{
	(void)as;
	(void)address;
	(void)arg;
	return -UNW_ENOINFO;
}

static int no_fpreg(unw_addr_space_t as, unw_regnum_t reg, unw_fpreg_t *value, int write, void *arg)
{
	(void)as;
	(void)reg;
	(void)value;
	(void)write;
	(void)arg;
	return -UNW_EBADREG;
}

static int no_resume(unw_addr_space_t as, unw_cursor_t *cursor, void *arg)
{
	(void)as;
	(void)cursor;
	(void)arg;
	return -UNW_EINVAL;
}

static int no_name(unw_addr_space_t as, unw_word_t address, char *name, size_t len, unw_word_t *offset, void *arg)
{
	(void)as;
	(void)address;
	(void)name;
	(void)len;
	(void)offset;
	(void)arg;
	return -UNW_ENOINFO;
}

static unw_addr_space_t address_space(void)
{
	static unw_accessors_t accessors = {
		.find_proc_info = find_proc_info,
		.put_unwind_info = put_unwind_info,
		.get_dyn_info_list_addr = no_dynamic_info,
		.access_mem = access_mem,
		.access_reg = access_reg,
		.access_fpreg = no_fpreg,
		.resume = no_resume,
		.get_proc_name = no_name,
	};
	static unw_addr_space_t space;

	if (!space) {
		space = unw_create_addr_space(&accessors, 0);
		if (space) /* what is true of an address ends with the library that was there */
			unw_set_caching_policy(space, UNW_CACHE_NONE);
	}
	return space;
}

/* ---- walking ---- */

static bool note_frame(struct walk *w, unw_cursor_t *cursor, uint64_t *ret_ip)
{
	unw_proc_info_t info;
	unw_word_t ip, sp;
	struct code code;

	if (unw_get_reg(cursor, UNW_REG_IP, &ip) != 0 || unw_get_reg(cursor, UNW_REG_SP, &sp) != 0 ||
	    !code_find(ip, &code))
		return false;
	w->frame_sp = sp;
	w->function = unw_get_proc_info(cursor, &info) == 0 ? info.start_ip : 0;
	*ret_ip = ip;
	return true;
}

static int walk(struct walk *w, uint64_t *addresses, int max)
{
	unw_addr_space_t space = address_space();
	unw_cursor_t cursor;
	uint64_t before;
	int n = 0;

	if (!space || unw_init_remote(&cursor, space, w) != 0)
		return 0;
	do {
		before = w->frame_sp;
		if (!note_frame(w, &cursor, &addresses[n]) || (n > 0 && w->frame_sp <= before))
			break;
		n++;
	} while (n < max && unw_step(&cursor) > 0);
	return n;
}

/* ---- where the thread is ---- */

/* "230 0x0 ... SP PC" in a call, "-1 SP PC" otherwise in the kernel, "running". */
static bool read_position(uint32_t tid, char text[256], struct registers *ret)
{
	char path[64], *sp, *pc;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%" PRIu32 "/syscall", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, text, 255) : -1;
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	pc = strrchr(text, ' ');
	if (!pc)
		return false;
	*pc = '\0';
	sp = strrchr(text, ' ');
	*pc = ' ';
	*ret = (struct registers){0};
	return sp && sscanf(sp, " %" SCNx64 " %" SCNx64, &ret->sp, &ret->ip) == 2 && ret->sp != 0;
}

/* It has not moved while it was read, or what was read is not believed. */
static bool walk_blocked(uint32_t tid, struct unwind_stack *ret)
{
	char text[256], again[256];
	struct walk w = {0};
	struct registers now;

	if (!read_position(tid, text, &w.at))
		return false;
	memory_begin(NULL, 0, 0);
	ret->n = (uint32_t)walk(&w, ret->addresses, UNWIND_MAX);
	ret->text_len = (uint32_t)python_frames(tid, ret->text, sizeof(ret->text));
	return ret->n > 0 && read_position(tid, again, &now) && strcmp(text, again) == 0;
}

static bool walk_running(uint32_t tid, struct unwind_stack *ret)
{
	static uint8_t stack[SAMPLE_STACK_BYTES]; /* one caller at a time */
	static char again[UNWIND_TEXT];
	struct walk w = {0};
	size_t len = 0;

	if (!memory_is_filtered() && sample_thread(tid, &w.at, stack, &len)) {
		memory_begin(stack, w.at.sp, len);
		ret->n = (uint32_t)walk(&w, ret->addresses, UNWIND_MAX);
	}
	memory_begin(NULL, 0, 0);
	ret->text_len = (uint32_t)python_frames(tid, ret->text, sizeof(ret->text));
	memory_begin(NULL, 0, 0);
	len = python_frames(tid, again, sizeof(again));
	if (len != ret->text_len || memcmp(again, ret->text, len) != 0)
		ret->text_len = 0;
	return ret->n > 0 || ret->text_len > 0;
}

bool interspan_unwind_thread(uint32_t tid, struct unwind_stack *ret)
{
	bool found = false;

	memory_open();
	code_begin();
	for (unsigned i = 0; i < TRIES && !found; i++) {
		ret->n = ret->text_len = 0;
		found = walk_blocked(tid, ret) || walk_running(tid, ret);
	}
	memory_close();
	return found;
}

#else
bool interspan_unwind_thread(uint32_t tid, struct unwind_stack *ret)
{
	(void)tid;
	(void)ret;
	return false;
}
#endif
