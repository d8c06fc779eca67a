/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "shim/record.h"
#include "shim/stats.h"

/* The engine in a test program: started as in a process, but with no hooks; spans go to memory instead of a segment. */

/* Settings are given as NAME=VALUE, NULL-terminated. Once per process. */
void engine_up(const char *const settings[]);

/*
 * Run each test in a child of its own, because what the engine learns about a process (that it serves, forwards, uses
 * io_uring) is for good. A setup function is expected to call engine_up(). Returns the exit status of the program.
 */
int engine_run_each(const char *group, const struct CMUnitTest *tests, size_t n);
#define ENGINE_RUN_EACH(tests) engine_run_each(__FILE__, tests, sizeof(tests) / sizeof((tests)[0]))

/* ---- spans written, those of forked children included, in order ---- */
unsigned spans_count(void);
void spans_forget(void);
const struct record *span_at(unsigned i);
/* The nth (from 0) of that kind; fails the test when there is none. */
const struct record *span_nth(enum span_kind kind, unsigned n);
/* The first string item under key, NUL-terminated in memory that the next call reuses; NULL: none. */
const char *span_text(const struct record *r, enum attr key);
int64_t span_number(const struct record *r, enum attr key); /* -1: none */
const char *span_title(const struct record *r);             /* its name */
/* The value of a captured header; NULL: none. */
const char *span_captured(const struct record *r, const char *key);
/* Copies of its links; returns their number. */
unsigned span_links(const struct record *r, struct record_link *ret, unsigned max);
bool span_is_child_of(const struct record *child, const struct record *parent);

uint64_t counted(enum stat_id stat);
/* started = written + sampled out + dropped + live, the last as told. */
void assert_accounts(uint64_t live);
