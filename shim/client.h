/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/conn.h"

/* Client exchanges: a request that we sent, from its first byte to the end of its response. All calls: c is entered. */

/*
 * A request head is about to go out (or, unseen before, has gone): decide whose it is. ret_edit says what is to be done
 * with it. Returns its exchange, or NULL (c was given up).
 */
struct exchange *client_request(struct conn *c, const struct http1_head *head, enum head_edit *ret_edit);
void client_request_done(struct conn *c, uint64_t body_bytes);
/* Bytes of a response arrived: this is what the thread works on now. */
void client_stimulated(struct conn *c);
void client_response(struct conn *c, const struct http1_head *head);
void client_response_done(struct conn *c, uint64_t body_bytes);
