/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that go from descriptor to descriptor inside the kernel: we learn how many, never which. tee and vmsplice have no
 * hook: they work on pipes alone, and their bytes reach a socket, or come from one, by a splice that we see.
 */
#include "hooks/hook.h"

void tell_moved(int in_fd, int out_fd, ssize_t n)
{
	if (engine_watches(in_fd))
		engine_received_unseen(in_fd, n);
	if (engine_watches(out_fd))
		engine_sent_unseen(out_fd, n);
}

EXPORT ssize_t sendfile(int out_fd, int in_fd, off_t *offset, size_t count)
{
	ssize_t n = REAL(sendfile)(out_fd, in_fd, offset, count);

	tell_moved(in_fd, out_fd, n);
	return n;
}

EXPORT ssize_t sendfile64(int out_fd, int in_fd, off64_t *offset, size_t count)
{
	ssize_t n = REAL(sendfile64)(out_fd, in_fd, offset, count);

	tell_moved(in_fd, out_fd, n);
	return n;
}

EXPORT ssize_t splice(int in_fd, off64_t *in_offset, int out_fd, off64_t *out_offset, size_t len, unsigned flags)
{
	ssize_t n = REAL(splice)(in_fd, in_offset, out_fd, out_offset, len, flags);

	tell_moved(in_fd, out_fd, n);
	return n;
}
