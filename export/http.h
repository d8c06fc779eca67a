/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "export/delivery.h"
#include "export/endpoint.h"

/*
 * POST to one endpoint over one connection that is kept alive (libcurl). No redirects, no signals, no cookies, no
 * output. Its descriptors belong to the thread that made it: it must be used, and freed, where that thread's
 * descriptor table holds.
 */

#define HTTP_MAX_REQUEST (64u << 20)
#define HTTP_MAX_RESPONSE (4u << 20)

struct http;

/* The endpoint stays the caller's and must outlive it. NULL: no memory. */
struct http *http_open(const struct endpoint *endpoint);
void http_close(struct http *http);

/*
 * Look the endpoint's name up now, as "host:port:address,address" (malloc'ed; NULL: literal address, or not known).
 * http_pin() makes it the fallback for when names cannot be resolved any more, in a chroot for example.
 */
char *http_resolve(const struct endpoint *endpoint);
void http_pin(struct http *http, const char *resolved);

/*
 * One attempt: send body, wait for the answer, judge it. Never longer than the endpoint's timeout, nor than patience
 * allows.
 */
void http_post(struct http *http, const uint8_t *body, size_t len, struct patience patience, struct delivery *ret);
