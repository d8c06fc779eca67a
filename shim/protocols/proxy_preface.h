/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/protocols/bytes.h"

/* The PROXY protocol preface, versions 1 and 2 (haproxy's proxy-protocol.txt). */
struct proxy_preface {
	bool local;         /* LOCAL / UNKNOWN: no address */
	uint8_t family;     /* 4, 6, or 0 */
	uint8_t source[16], destination[16]; /* network order; IPv4 in the first four */
	uint16_t source_port, destination_port;
};

/* Returns the preface's length; 0: too early to say (at most 536 bytes are ever needed); -EPROTO: not a preface. */
long proxy_preface_parse(struct slice in, struct proxy_preface *ret);
