/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/iov.h"

#include <string.h>

size_t iov_total(const struct iovec *iov, int iovcnt)
{
	size_t total = 0;

	for (int i = 0; i < iovcnt; i++)
		total += iov[i].iov_len;
	return total;
}

/* The contiguous piece that begins at offset: its address, and its length in *ret_len (0: beyond the end). */
static uint8_t *piece_at(const struct iovec *iov, int iovcnt, size_t offset, size_t *ret_len)
{
	for (int i = 0; i < iovcnt; i++) {
		if (offset < iov[i].iov_len) {
			*ret_len = iov[i].iov_len - offset;
			return (uint8_t *)iov[i].iov_base + offset;
		}
		offset -= iov[i].iov_len;
	}
	*ret_len = 0;
	return NULL;
}

size_t iov_copy_out(const struct iovec *iov, int iovcnt, size_t offset, uint8_t *to, size_t len)
{
	size_t done = 0, piece;

	while (done < len) {
		const uint8_t *p = piece_at(iov, iovcnt, offset + done, &piece);

		if (!p)
			break;
		if (piece > len - done)
			piece = len - done;
		memcpy(to + done, p, piece);
		done += piece;
	}
	return done;
}

void iov_copy_in(const struct iovec *iov, int iovcnt, size_t offset, const uint8_t *from, size_t len)
{
	size_t done = 0, piece;

	while (done < len) {
		uint8_t *p = piece_at(iov, iovcnt, offset + done, &piece);

		if (!p)
			return;
		if (piece > len - done)
			piece = len - done;
		memcpy(p, from + done, piece);
		done += piece;
	}
}

void iov_open_gap(const struct iovec *iov, int iovcnt, size_t offset, size_t used, size_t by)
{
	uint8_t buffer[256];
	size_t piece;

	if (iovcnt == 1) {
		uint8_t *p = piece_at(iov, iovcnt, offset, &piece);

		if (p)
			memmove(p + by, p, used - offset);
		return;
	}
	/* From the end, in steps that fit the buffer, so that nothing is overwritten before it has moved. */
	while (used > offset) {
		size_t step = used - offset < sizeof(buffer) ? used - offset : sizeof(buffer);

		used -= step;
		(void)iov_copy_out(iov, iovcnt, used, buffer, step);
		iov_copy_in(iov, iovcnt, used + by, buffer, step);
	}
}
