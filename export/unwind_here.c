/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calling thread's own stack, on a thread of the program's: by the unwinder of the compiler's run time, which
 * finds its tables without a lock (since glibc 2.35), and allocates and opens nothing; libunwind makes a pipe to try
 * addresses with.
 */
#include <unwind.h>

#include "export/unwind.h"

struct frames {
	uint64_t *addresses;
	int n, max;
	bool skipped; /* our own frame */
};

static _Unwind_Reason_Code add(struct _Unwind_Context *context, void *arg)
{
	struct frames *frames = arg;
	uint64_t address = _Unwind_GetIP(context);

	if (!frames->skipped) {
		frames->skipped = true;
		return _URC_NO_REASON;
	}
	if (address == 0 || frames->n == frames->max)
		return _URC_END_OF_STACK;
	frames->addresses[frames->n++] = address;
	return _URC_NO_REASON;
}

int interspan_unwind_here(uint64_t *addresses, int max)
{
	struct frames frames = {.addresses = addresses, .max = max};

	(void)_Unwind_Backtrace(add, &frames);
	return frames.n;
}
