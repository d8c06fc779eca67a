/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "export/buffer.h"

/* gzip (RFC 1952) of whole bodies, with state that is kept between them. Context: one thread; allocates. */

struct gzip;

struct gzip *gzip_open(void);
void gzip_close(struct gzip *gzip);
/* Append the compressed bytes to ret. False: they do not fit. */
bool gzip_pack(struct gzip *gzip, struct buffer *ret, const uint8_t *bytes, size_t len);
