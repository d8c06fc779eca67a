/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/engine.h"

/*
 * An engine that writes down what it is told, one line a call, such as "received 7 [4] flags 0 = 4", and keeps errno.
 */
void recording_start(void); /* forget everything; fdtable ready; no descriptor watched */
const char *recording(void);

extern struct engine_answers {
	ssize_t received_extra;       /* added to what a read returned, as stamping does */
	ssize_t send_limit;           /* engine_send() reports at most this many bytes; 0: no limit */
	bool send_edited;             /* engine_send() goes through edited() with an iovec of its own */
	bool accept_must_wait;
	int wait_max_events;          /* what engine_wait_begin() answers; 0: what it was asked */
	struct thread_package *package; /* what engine_thread_starting() answers */
	char *const *environment;     /* engine_exec_environment(): NULL means that nothing changes */
	bool wants_resolutions;
} answers;

/* What engine_exec_environment() was last offered. */
extern size_t offered_envp_max;
