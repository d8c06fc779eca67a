/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Bytes spread over an iovec, seen as one run. Offsets beyond the end are the caller's error and are not followed. */

size_t iov_total(const struct iovec *iov, int iovcnt);
/* Copy out at most len bytes from offset; returns how many there were. */
size_t iov_copy_out(const struct iovec *iov, int iovcnt, size_t offset, uint8_t *to, size_t len);
void iov_copy_in(const struct iovec *iov, int iovcnt, size_t offset, const uint8_t *from, size_t len);
/* Move the bytes [offset, used) up by `by`: there must be room behind used. */
void iov_open_gap(const struct iovec *iov, int iovcnt, size_t offset, size_t used, size_t by);
