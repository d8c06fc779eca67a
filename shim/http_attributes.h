/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/conn.h"
#include "shim/exchange.h"
#include "shim/protocols/http1.h"

/*
 * The stable HTTP semantic conventions (1.44.0) on the spans of exchanges. Credentials in URLs and the values of query keys
 * known to hold secrets are replaced by REDACTED; header fields are recorded only from the allow-lists.
 */
/* Of a recorded exchange. */
void http_describe_server(struct exchange *e, struct conn *c, const struct http1_head *head);
void http_describe_client(struct exchange *e, struct conn *c, const struct http1_head *head);
/* The final response head. Sets the status by the rules for the exchange's role. */
void http_describe_response(struct exchange *e, const struct http1_head *head);
/* The other end of the connection: part of the two above, for where it is known only later. */
void http_describe_peer(struct exchange *e, struct conn *c);
/* Sizes, once both messages are over. */
void http_describe_sizes(struct exchange *e);

static inline enum exchange_method http_method_of(struct slice method)
{
	if (method.len == 4 && memcmp(method.p, "HEAD", 4) == 0)
		return METHOD_HEAD;
	return method.len == 7 && memcmp(method.p, "CONNECT", 7) == 0 ? METHOD_CONNECT : METHOD_OTHER;
}
