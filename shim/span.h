/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/exchange.h"
#include "shim/protocols/bytes.h"

/*
 * Attributes on the span of a recorded exchange, within the limits of the OTEL_SPAN_* and OTEL_ATTRIBUTE_* settings: what is over the
 * count is dropped and counted, what is too long is cut on a code point. Do nothing where e is not recorded.
 */
void span_start(void); /* read the limits from config */
void span_open(struct exchange *e, enum span_kind kind);
void span_name(struct exchange *e, struct slice a, struct slice b); /* "a b", or "a" */
void span_string(struct exchange *e, enum attr key, struct slice value);
void span_int(struct exchange *e, enum attr key, int64_t value);
void span_named(struct exchange *e, const char *prefix, struct slice key, struct slice value);
void span_link(struct exchange *e, const struct context *linked);
void span_tracestate(struct exchange *e);
/* Parent, evidence and flags, from e->context, and parent (NULL: a root). */
void span_parent(struct exchange *e, const struct context *parent, enum evidence evidence);
