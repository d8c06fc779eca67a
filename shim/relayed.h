/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/context.h"
#include "shim/protocols/bytes.h"

/*
 * Exchanges whose bytes we cannot read (inside a runtime's own TLS, in HTTP/2 frames), as its adapter relates them: their heads are given as the text of
 * HTTP/1 heads, whatever they were. Each has a connection of its own in the engine's books, by whose name it is called. From
 * then on it is like any other: rules, attributes, settings, limits, ends.
 * Called inside the guard. Any thread.
 */
struct relayed_through {
	int fd;             /* the socket below, for the addresses; -1: not known */
	bool tls;
	uint8_t http_major; /* 1 or 2 */
};

/* A request arrived. Returns its name, or HANDLE_NONE; ret: its context. */
struct handle relayed_server(const struct relayed_through *through, struct slice head, struct context *ret);
/*
 * A request is made. What is to be sent instead of head is put into out (cap bytes); *ret_len says how long it is, 0: as it is.
 */
struct handle relayed_client(const struct relayed_through *through, struct slice head, uint8_t *out, size_t cap,
			     size_t *ret_len);
/* Its final response head was seen. fd: as above, where it was not known before. */
void relayed_response(struct handle name, int fd, struct slice head);
/* It is over. error: error.type, or NULL. The name is dead from then on. */
void relayed_end(struct handle name, int fd, const char *error);
