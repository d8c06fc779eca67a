/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/protocols/bytes.h"

/* The pieces of URLs and request targets, and what must not be seen of them. */

struct http_target {
	struct slice scheme, authority, path, query; /* .p NULL: absent */
};

/* Host field or authority to host and port (0: none given). */
void http_split_host(struct slice authority, struct slice *ret_host, uint16_t *ret_port);
/* origin-form, absolute-form or asterisk-form (RFC 9112 section 3.2); user information is left out. */
void http_split_target(struct slice s, struct http_target *ret);

/* Does a query hold a key whose values are secrets? */
bool http_holds_secret(struct slice query);

struct http_text {
	uint8_t *p;
	size_t len, cap; /* what is beyond cap is left out */
};

void http_append(struct http_text *t, struct slice s);
/* A query with REDACTED for the values of secrets. */
void http_append_redacted(struct http_text *t, struct slice query);
