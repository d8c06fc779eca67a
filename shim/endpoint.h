/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* One end of a connection, as the socket says. family 0: not known. */
struct endpoint {
	uint8_t family;   /* 4, 6, 1 (unix), 0 */
	uint16_t port;
	uint8_t addr[16]; /* network order; unix: the first bytes of the path (the rest is left out) */
	char path[92];    /* unix only, NUL-terminated */
};

#define ENDPOINT_TEXT 96

void endpoint_from(struct endpoint *ret, const struct sockaddr *addr, socklen_t len);
/* IPv4-mapped IPv6 is shown as IPv4. Returns the text's length; at most ENDPOINT_TEXT with the NUL. */
size_t endpoint_text(const struct endpoint *e, char out[ENDPOINT_TEXT]);
bool endpoint_parse(struct endpoint *ret, const char *text, size_t len); /* an IPv4 or IPv6 address, no port */
/* Do the first bits of both addresses agree, families being equal (mapped counts as IPv4)? */
bool endpoint_in(const struct endpoint *e, const struct endpoint *network, unsigned bits);
