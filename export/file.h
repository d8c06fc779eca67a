/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/types.h>

#include "export/delivery.h"
#include "shim/config.h"

/*
 * The file and console exporters: whole lines appended to a descriptor (opentelemetry-specification, protocol/file
 * exporter). Several processes may share a file: a line is one write(2) with O_APPEND.
 * Context: one thread, whose descriptor table holds the file.
 */

struct file {
	int fd; /* -1: not open */
	bool console;
	bool torn; /* the last line was not finished: begin the next on a new line */
	char path[4096];
};

/*
 * Where the lines go. The console is the program's standard output. The default name (interspan-<owner>.jsonl),
 * and a relative one, are resolved against the working directory of now; nothing is opened yet.
 */
void file_begin(struct file *file, const struct config *settings, pid_t owner, bool console);
/* Open it, if it is not open. Returns 0 or -errno. */
int file_open(struct file *file);
void file_close(struct file *file);
/* Append one line (its newline included). Every failure is worth another try: space may be made, a directory come. */
void file_write(struct file *file, const uint8_t *line, size_t len, struct patience patience, struct delivery *ret);
