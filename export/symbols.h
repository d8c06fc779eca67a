/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What addresses of code mean in a process: function and offset, file and offset, build id. From /proc/PID/maps and
 * the symbol tables of the files there, read as what they are to us: somebody's files, in which no number is to be
 * believed. They are read, not mapped: a file that is cut short meanwhile must not raise a signal here. Context: one
 * thread; opens files, allocates.
 */

struct symbols_mapping;
struct elf;

/* Is it too late to read another file? Asked before each one. */
typedef bool symbols_late_fn(void *arg);

#define SYMBOLS_FILES 8

struct symbols {
	uint32_t pid; /* 0: not known, or gone */
	uint64_t start_time;
	struct symbols_mapping *mappings; /* NULL: not read */
	size_t n_mappings;
	struct elf *files[SYMBOLS_FILES]; /* read lately */
	unsigned next_file;
	symbols_late_fn *late; /* NULL: it never is */
	void *late_arg;
};

/*
 * From now on addresses are those of this process: task_is_alive()'s two numbers. What was read of another one is
 * forgotten.
 */
void symbols_begin(struct symbols *s, uint32_t pid, uint64_t start_time);
/* Reading a large file takes some 30 ms. Where the time is up, stacks go without the names of files not read yet. */
void symbols_ask_when_late(struct symbols *s, symbols_late_fn *late, void *arg);
/* What was read of the process, which may load and unload: read it anew at the next stack. */
void symbols_forget(struct symbols *s);
void symbols_free(struct symbols *s);

/*
 * The text of a stack, one line each, innermost first: "function+0x1f (/usr/lib/libfoo.so+0x2a4f) build-id 09af..",
 * the build id where a file is named first; what cannot be told is left out, down to the bare address; of
 * a file for which it is too late, the function and the build id. Frames of ours
 * are not shown. All addresses but the first are return addresses, and stand for the call before them. Whole lines,
 * at most cap bytes. s: NULL knows nothing. Returns the length.
 */
size_t symbols_text(struct symbols *s, const uint64_t *addresses, size_t n, char *text, size_t cap);
