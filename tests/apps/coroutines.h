/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

/*
 * A server with a coroutine for each connection and one epoll loop that resumes them (coroutines.c). How coroutines switch is the
 * program's: it defines the three functions below.
 */
#ifdef __cplusplus
extern "C" {
#endif

struct coroutine {
	void *state;   /* the program's */
	int client;    /* the connection to serve */
	struct coroutine *next_idle;
};

/* A coroutine of its own stack that runs coroutine_body(c) when it is first resumed. */
void coroutine_create(struct coroutine *c);
/* From the loop to c, and back. */
void coroutine_resume(struct coroutine *c);
void coroutine_suspend(struct coroutine *c);

void coroutine_body(struct coroutine *c);
int coroutines_main(int argc, char **argv);

#ifdef __cplusplus
}
#endif
