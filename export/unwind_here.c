/* SPDX-License-Identifier: Apache-2.0 */
/* The calling thread's own stack, by libunwind's fast path. */
#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include "export/unwind.h"

#define FRAMES_MAX 64

int interspan_unwind_here(uint64_t *addresses, int max)
{
	void *frames[FRAMES_MAX];
	int n = unw_backtrace(frames, max + 1 < FRAMES_MAX ? max + 1 : FRAMES_MAX);

	for (int i = 1; i < n; i++)
		addresses[i - 1] = (uint64_t)(uintptr_t)frames[i];
	return n > 1 ? n - 1 : 0;
}
