/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/conn.h"

/* Server exchanges: a request that we received, from its head to the end of its response. All calls: c is entered. */

/* Set by an adapter that will ask for requests by method and target: they are hashed from then on. */
extern _Atomic bool server_hashes_requests;
uint32_t server_request_hash(struct slice method, struct slice target);

/* A request head arrived. Returns its exchange, or NULL (c was given up). */
struct exchange *server_request(struct conn *c, const struct http1_head *head);
void server_request_done(struct conn *c, uint64_t body_bytes);
/* A response head went out. */
void server_response(struct conn *c, const struct http1_head *head);
void server_response_done(struct conn *c, uint64_t body_bytes);
