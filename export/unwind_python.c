/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Python frames of a thread, where the program is (or holds) a CPython of a version whose structures are known
 * here. They are read as the stack is, from outside, without the interpreter's lock: nothing is called, nothing
 * counted, and what is not there any more is an error and no fault. What it reads holds still in a thread that is
 * blocked: its frames are its own, and keep alive the code objects that they run, and those their names. For one that
 * runs, the reader is asked twice, and must say the same.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "export/unwind.h"

#define THREADS_MAX 10000
#define FRAMES_MAX 100
#define NAME_BYTES 256
#define TABLE_MAX 65536
#define OWNED_BY_C 3 /* a frame that only marks where C called, since 3.12 */

/* Offsets of fields; from the headers of that version, 64 bit, with the interpreter's lock (no free threading). */
struct layout {
	uint16_t minor;
	uint16_t first_interpreter, next_interpreter; /* _PyRuntimeState, PyInterpreterState */
	uint16_t first_thread, next_thread, thread_id; /* PyThreadState */
	uint16_t frame;      /* of PyThreadState: the current frame, or where that is */
	int16_t inner_frame; /* of what that points to; -1: it is the frame */
	uint8_t previous, code, instruction, owner; /* _PyInterpreterFrame */
	uint8_t first_line, instructions; /* PyCodeObject */
	uint8_t text; /* PyASCIIObject: its size */
};

static const struct layout layouts[] = {
	{11, 40, 0, 16, 8, 160, 56, 8, 48, 32, 56, 69, 72, 184, 48},
	{12, 40, 0, 72, 8, 144, 56, 0, 8, 0, 56, 70, 68, 192, 40},
	{13, 632, 7264, 7344, 8, 160, 72, -1, 8, 0, 56, 70, 68, 200, 40},
};

/* The same in all of them. */
enum { CODE_FILE = 112, CODE_QUALIFIED_NAME = 128, CODE_LINES = 136 };
enum { OBJECT_SIZE = 16, TEXT_STATE = 32, BYTES_START = 32 };

static uint64_t runtime; /* _PyRuntime */
static const struct layout *layout;

static void find_runtime(void)
{
	const unsigned long *version = dlsym(RTLD_DEFAULT, "Py_Version");

	layout = NULL;
	runtime = (uint64_t)(uintptr_t)dlsym(RTLD_DEFAULT, "_PyRuntime");
	for (unsigned i = 0; version && runtime && i < sizeof(layouts) / sizeof(layouts[0]); i++)
		if (*version >> 24 == 3 && (*version >> 16 & 0xff) == layouts[i].minor)
			layout = &layouts[i];
}

static uint64_t word_at(uint64_t object, uint64_t offset)
{
	uint64_t value = 0;

	return object && memory_read(object + offset, &value, sizeof(value)) ? value : 0;
}

static uint64_t thread_state(uint32_t tid)
{
	uint64_t interpreter = word_at(runtime, layout->first_interpreter);
	unsigned n = 0;

	for (; interpreter && n < THREADS_MAX; interpreter = word_at(interpreter, layout->next_interpreter))
		for (uint64_t t = word_at(interpreter, layout->first_thread); t && n++ < THREADS_MAX;
		     t = word_at(t, layout->next_thread))
			if (word_at(t, layout->thread_id) == tid)
				return t;
	return 0;
}

/* A str of ASCII, as names of files and functions nearly always are; others are "?". */
static void read_text(uint64_t object, char ret[NAME_BYTES])
{
	uint64_t len = word_at(object, OBJECT_SIZE);
	uint32_t state;

	strcpy(ret, "?");
	if (!object || !memory_read(object + TEXT_STATE, &state, sizeof(state)))
		return;
	/* interned: 2 bits, kind: 3, compact, ascii */
	if ((state >> 2 & 7) != 1 || !(state & 1u << 5) || !(state & 1u << 6) || len >= NAME_BYTES)
		return;
	if (memory_read(object + layout->text, ret, len))
		ret[len] = '\0';
	else
		strcpy(ret, "?");
}

/* ---- lines: Objects/locations.md of CPython ---- */

/* Six bits a byte, the lowest first; signed ones have their sign in the lowest bit. */
static uint64_t read_varint(const uint8_t *table, uint64_t len, uint64_t *at)
{
	uint64_t value = 0;

	for (unsigned shift = 0; *at < len && shift < 60; shift += 6) {
		uint8_t byte = table[(*at)++];

		value |= (uint64_t)(byte & 63) << shift;
		if (!(byte & 64))
			break;
	}
	return value;
}

static int64_t line_change(const uint8_t *table, uint64_t len, uint64_t at, unsigned code)
{
	uint64_t value;

	if (code >= 10 && code <= 12)
		return (int64_t)code - 10;
	if (code != 13 && code != 14)
		return 0;
	value = read_varint(table, len, &at);
	return value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
}

static int64_t find_line(uint64_t code, int64_t unit)
{
	static uint8_t table[TABLE_MAX]; /* one caller at a time */
	uint64_t bytes = word_at(code, CODE_LINES), len = word_at(bytes, OBJECT_SIZE), at = 0;
	int32_t line = 0;
	int64_t done = 0, found;

	if (!memory_read(code + layout->first_line, &line, sizeof(line)))
		return 0;
	found = line;
	if (len > TABLE_MAX || !memory_read(bytes + BYTES_START, table, len))
		return line;
	while (at < len && done <= unit) {
		uint8_t head = table[at++];

		found += line_change(table, len, at, head >> 3 & 15);
		done += (head & 7) + 1;
		while (at < len && !(table[at] & 0x80))
			at++;
	}
	return found;
}

/* ---- frames ---- */

/*
 * One more line, before those that are there: the outermost is written last and stands first. False: it does not fit.
 */
static bool prepend(char *text, size_t *start, const char *line, size_t len)
{
	if (len > *start)
		return false;
	*start -= len;
	memcpy(text + *start, line, len);
	return true;
}

static bool add_frame(uint64_t frame, uint64_t code, char *text, size_t *start)
{
	char file[NAME_BYTES], name[NAME_BYTES], line[2 * NAME_BYTES + 64];
	uint64_t instruction = word_at(frame, layout->instruction), first = code + layout->instructions;
	int64_t unit = instruction >= first ? (int64_t)((instruction - first) / 2) : 0;
	int n;

	read_text(word_at(code, CODE_FILE), file);
	read_text(word_at(code, CODE_QUALIFIED_NAME), name);
	n = snprintf(line, sizeof(line), "File \"%s\", line %lld, in %s\n", file,
		     (long long)find_line(code, unit), name);
	return n > 0 && prepend(text, start, line, (size_t)n);
}

size_t python_frames(uint32_t tid, char *text, size_t cap)
{
	uint64_t thread, frame;
	size_t start = cap;
	uint8_t owner;

	find_runtime();
	thread = layout ? thread_state(tid) : 0;
	frame = word_at(thread, thread ? layout->frame : 0);
	if (thread && layout->inner_frame >= 0)
		frame = word_at(frame, (uint64_t)layout->inner_frame);
	for (unsigned i = 0; frame && i < FRAMES_MAX; i++) {
		if (!memory_read(frame + layout->owner, &owner, 1))
			break;
		if (owner < OWNED_BY_C && !add_frame(frame, word_at(frame, layout->code), text, &start))
			break;
		frame = word_at(frame, layout->previous);
	}
	memmove(text, text + start, cap - start);
	return cap - start > 0 ? cap - start - 1 : 0; /* without the last newline */
}
