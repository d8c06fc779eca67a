/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/context.h"

/*
 * Traces that work began after its request had ended, by the span id of that request: what else comes from it joins the
 * same trace. A bounded table; an entry that was pushed out only means another new trace. Any thread, async-signal-safe.
 */
void detached_began(const uint8_t origin_span[8], const struct context *trace);
/* The trace, as a parent without an exchange. False: none; *ret untouched. */
bool detached_trace(const uint8_t origin_span[8], struct context *ret);
