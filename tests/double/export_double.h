/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

/* How the plug-in's double is to behave, and what it saw. The test program defines and exports it. */
enum double_mode {
	DOUBLE_SERVE,    /* take and release everything, answer flushes, return on stop */
	DOUBLE_DEAF,     /* the same, but flushes are never answered */
	DOUBLE_STUBBORN, /* return on stop = 2 only */
	DOUBLE_RETURN,   /* return at once */
	DOUBLE_DOWN,     /* say that the collector is down, answer no flush */
};

struct double_report {
	_Atomic int mode;
	_Atomic int wrong_version, fail_prepare;
	_Atomic unsigned versions, prepares, prepares_with_files, runs;
	_Atomic uint64_t taken;
	/* What the thread looks like from inside, written before runs is counted. */
	char name[16];
	uint64_t blocked;      /* signal mask */
	uint32_t tid;
	int open_fds;          /* in its own table, 0 to 2 included */
	int probe_is_open;     /* is the descriptor probe_fd open there? */
	_Atomic int probe_fd;
	char stdio[3][32];     /* what 0 to 2 are */
	int depth;             /* guard_depth */
};

extern struct double_report double_report;
