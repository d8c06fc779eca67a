/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * What was started for a request (a thread, a greenlet) works for that, until it is seen fetching other work. But it may be one of a
 * pool that looks into a list from time to time, and of that nothing is seen but that it sleeps. So who has slept is
 * believed only if nobody else can have left work for it: if no other request has been open since it was started.
 *
 * Of the flow that it describes; a value.
 */
struct started {
	uint32_t requests;    /* that had begun by then */
	bool among_others;    /* of these, more than one was open */
	bool slept;           /* since */
};

/* One is started now. */
struct started started_now(void);
bool started_may_serve_others(const struct started *s);
