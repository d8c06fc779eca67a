/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/protocols/http1.h"

/*
 * Drives one direction of a connection through http1_feed() in pieces, as shim/stream.c does, and writes what was
 * reported as text, one event a line: "HEAD ...", "BODY total", "END", "TUNNEL", "CLOSED", "EPROTO". The text must
 * not depend on the pieces. What the header promises about each event is checked on the way; a broken promise
 * aborts.
 */
struct runner {
	struct http1_stream stream;
	const char *answers; /* responses: one letter for each: h HEAD, c CONNECT, anything else; the last one stays */
	uint64_t body;       /* payload not written yet */
	uint64_t fed, accounted, payload;
	unsigned long steps;
	bool failed;
	size_t len;
	char text[1 << 16];
};

void runner_start(struct runner *r, enum http1_kind kind, const char *answers);
/* A piece, copied to where one byte more would fault. */
void runner_feed(struct runner *r, struct slice piece);
void runner_close(struct runner *r);
/* Writes what is pending and frees the carry buffer. The text stays. */
void runner_finish(struct runner *r);
