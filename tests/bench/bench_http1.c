/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions that one head costs: run under callgrind with --toggle-collect=follow_one, and divide by ROUNDS. "new": of a kind
 * never seen before; else all but an id or a date is as it was in the head before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/protocols/http1_memo.h"

#define ROUNDS 1000

static char request[] =
	"GET /api/v1/customers/4711/orders?limit=20 HTTP/1.1\r\n"
	"Host: orders.internal.example:8080\r\n"
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128\r\n"
	"Accept: application/json\r\n"
	"Accept-Encoding: gzip, deflate, br\r\n"
	"Connection: keep-alive\r\n"
	"X-Request-Id: 0d3adf2c1e\r\n"
	"X-Forwarded-For: 192.0.2.17\r\n"
	"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
static char response[] =
	"HTTP/1.1 200 OK\r\n"
	"Server: nginx/1.22.1\r\n"
	"Date: Sat, 21 Nov 2026 08:40:30 GMT\r\n"
	"Content-Type: application/json; charset=utf-8\r\n"
	"Content-Length: 0\r\n"
	"Connection: keep-alive\r\n"
	"Cache-Control: no-store, must-revalidate\r\n"
	"ETag: \"5f2b-61c0a7de2b\"\r\n"
	"Vary: Accept-Encoding\r\n\r\n";

__attribute__((noinline)) static void follow_one(struct http1_stream *s, struct slice in, struct http1_event *ev)
{
	while (in.len > 0) { /* as shim/receive.c does */
		if (http1_feed(s, in, ev) != 0)
			abort();
		in = slice(in.p + ev->used, in.len - ev->used);
		(void)http1_take_end(s);
	}
}

int main(int argc, char **argv)
{
	bool is_response = argc > 1 && strcmp(argv[1], "response") == 0, is_new = argc > 2 && strcmp(argv[2], "new") == 0;
	char *varies = is_response ? strstr(response, "08:40:30") : strstr(request, "4bf92f35");
	struct slice in = is_response ? slice(response, sizeof(response) - 1) : slice(request, sizeof(request) - 1);
	static struct http1_memo memo;
	struct http1_stream s;
	struct http1_event ev;

	http1_start(&s, is_response ? HTTP1_RESPONSE : HTTP1_REQUEST);
	s.memo = is_new ? NULL : &memo;
	for (int i = 0; i < ROUNDS; i++) {
		varies[7] = (char)('0' + i % 10);
		follow_one(&s, in, &ev);
	}
	printf("%zu bytes\n", in.len);
	return 0;
}
