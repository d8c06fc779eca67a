/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * OTLP strings must be UTF-8, and what programs send need not be: one bad byte makes a strict collector refuse the
 * whole batch. Pure functions.
 */

bool utf8_is_valid(const uint8_t *text, size_t len);

/*
 * Copy text to ret, with U+FFFD in place of each ill-formed part (Unicode 15, section 3.9, "maximal subpart").
 * ret has room for 3 * len bytes. Returns the bytes written.
 */
size_t utf8_clean(uint8_t *ret, const uint8_t *text, size_t len);
