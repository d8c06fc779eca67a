/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "tests/apps/http.h"

/*
 * What the servers of the tests have in common: they read a request, make one to three calls to the truth backend with
 * the request's truth id, and answer "<truth>\n". Each program is one way to spread that work over threads and
 * processes; everything here is blocking, on the caller's thread.
 */

#define STREAM_MAX 16384

struct serve_options {
	int port, upstream_port;
	int calls;   /* most calls per request; how many is fixed by the request's number */
	int workers; /* threads, loops or requests to collect: the program says which */
	const char *header; /* more fields of every answer, lines separated by CRLF */
	bool reuse;  /* keep upstream connections open */
};

extern struct serve_options serve_options;

/* --port P --upstream P [--calls N] [--workers N] [--reuse] [--header LINES]; installs exit_on_sigterm(). */
void serve_parse(int argc, char **argv);

/* A connection and what was read from it and not used yet. */
struct stream {
	int fd; /* -1: none */
	size_t len;
	char buf[STREAM_MAX];
};

struct request {
	char truth[TRUTH_MAX];
	bool closes; /* the connection ends after the answer */
	int calls;   /* how many calls to make for it */
};

/* Read one request, body included. False: the connection is at its end. */
bool request_read(struct stream *stream, struct request *ret_request);
/* Make a request from a complete head. */
void request_parse(const char *head, size_t head_len, struct request *ret_request);
/* Write the head of the request to call upstream with; suffix is added to the truth id. Returns its length. */
size_t call_head(char *out, size_t cap, const struct request *request, const char *suffix);
/*
 * One call to 127.0.0.1:port over upstream (connected when it has no fd; closed unless --reuse). A connection that
 * turns out to be dead is replaced once. False: no answer, or another request's.
 */
bool call_upstream(struct stream *upstream, int port, const struct request *request, const char *suffix);
/* All the request's calls, one after the other. */
bool call_all(struct stream *upstream, const struct request *request);
/* Write the answer: 200, or 502 when the calls failed. */
bool request_answer(int fd, const struct request *request, bool ok);
/* Serve a connection, request after request, to its end; then close it. */
void connection_serve(int fd);
