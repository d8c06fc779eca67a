/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Exchanges that are open at a fork exist twice. A cell in memory shared by both processes says who owns the exchange: the
 * first to do I/O on its connection after the fork. Whoever loses forgets its copy and counts nothing; the last
 * holder to let go ends it. Context: any thread, async-signal-safe.
 */

/* A new cell, held by this process and one child; 0 when there is no room (both sides then keep to what they see). */
uint32_t ownership_share(void);
/* One more child will hold it. */
void ownership_hold(uint32_t cell);
/* Is it ours, or can it be made ours, now? */
bool ownership_claim(uint32_t cell);
/* This process lets go without I/O. True: it was the last holder and nobody had claimed it; it is ours to end. */
bool ownership_release(uint32_t cell);
