/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "shim/context.h"

/*
 * The six samplers of OTEL_TRACES_SAMPLER. The ratio samplers use the low 63 bits of the trace id's last eight bytes, as the Go
 * and Python SDKs do. Context: any thread, async-signal-safe.
 */

/* Read the sampler and its argument from config. Returns NULL, or what is wrong (the default is used then). */
const char *sampler_start(void);
/* parent NULL: a root. trace_id is that of the span to be. */
bool sampler_wants(const struct context *parent, const uint8_t trace_id[16]);
