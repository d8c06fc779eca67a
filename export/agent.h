/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/types.h>

#include "export/metrics.h"
#include "export/segments.h"

/* The parts of the interspan-agent program. */

struct agent {
	const struct config *config;
	struct exporter *exporter;
	uint8_t *room;          /* DRAIN_ROOM bytes */
	struct metrics metrics;
	int dir;                /* the user's segments */
	_Atomic uint32_t *stop; /* set by SIGTERM and SIGINT */
};

/* A drain of the agent's, without a consumer; it leaves what cannot be delivered now where it is. */
struct drain agent_drain(struct agent *agent);
/* Drain every segment of this user that no other consumer serves, until stopped. The exit status. */
int agent_serve(struct agent *agent);
/* The same, until process pid and all that write to its segment are gone; then what dead processes left. */
int agent_serve_for(struct agent *agent, pid_t pid);
/* Touch nothing until process pid and all that write to its segment are gone; then drain what dead processes left. */
int agent_watch(struct agent *agent, pid_t pid);
/* Drain what dead processes left; again, with back-off, while the collector cannot be reached. */
void agent_drain_rest(struct agent *agent);

/* A process and all that write to its segment: its forked children. */
struct tree {
	pid_t pid;
	int pidfd;    /* -1: it is gone */
	bool looked;  /* for its segment, since it is gone */
	struct consumer segment; /* header NULL: there is none */
};

void tree_begin(struct tree *tree, pid_t pid);
void tree_end(struct tree *tree);
/* Wait for the end of one of them, at most timeout_ms (negative: for ever, but for signals). True: all are gone. */
bool tree_wait(struct tree *tree, int dir, int timeout_ms);

/*
 * Leave the terminal, session and directory behind: the caller's process returns from the program, the grandchild goes
 * on. 0 in the grandchild; the descriptors but 0 to 2 are closed and those are /dev/null.
 */
int agent_detach(void);

/* Print the segments of this user with all counters, and the end of the log. The exit status. */
int agent_stat(int dir, const char *log_file, bool json);
