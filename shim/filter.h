/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "shim/endpoint.h"
#include "shim/protocols/bytes.h"

/*
 * What the operator decides by lists: INTERSPAN_EXCLUDE, _TRUST_FROM, _PROPAGATE_TO, _ROUTES, OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS
 * and the header capture lists. Compiled once at start. Context: any thread, async-signal-safe after filter_start().
 */
typedef void filter_warning(const char *name, const char *value, const char *problem);
void filter_start(filter_warning *warn);

/* target: as in the request line. local_port: ours on a server exchange, the peer's on a client exchange. */
bool filter_excludes_any(void); /* no: nothing need be found out for filter_excludes() */
bool filter_excludes(struct slice target, uint16_t port, const struct endpoint *peer);
bool filter_trusts(const struct endpoint *peer);
/* host: the Host field, port cut off. */
bool filter_propagates_to(struct slice host, const struct endpoint *peer);
/* The route pattern that the path of target matches, or SLICE_NONE. */
struct slice filter_route(struct slice target);
bool filter_knows_method(struct slice method);
bool filter_captures(bool request, struct slice name);
bool filter_captures_any(bool request);
