/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads that are known, but for what the input changes in them: the same events with a memo as without. First byte: as for
 * fuzz_http1.c; second: where the input is cut, in 256ths. The first part comes until it is known, then the second, the first with the
 * second's bytes laid over its own from the place that the third byte names, and the first again.
 */
#include <stdlib.h>

#include "shim/protocols/http1_memo.h"
#include "tests/unit/http1_runner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BYTES_MAX 4096
#define TIMES 5

static struct runner fresh, known;

static void feed(struct runner *r, uint8_t how, struct http1_memo *memo, struct slice in)
{
	runner_start(r, how & 1 ? HTTP1_RESPONSE : HTTP1_REQUEST, how & 2 ? "h" : how & 4 ? "c" : "");
	r->stream.memo = memo;
	runner_feed(r, in);
	runner_close(r);
	runner_finish(r);
}

static void compare(uint8_t how, struct http1_memo *memo, struct slice in)
{
	feed(&fresh, how, NULL, in);
	feed(&known, how, memo, in);
	if (strcmp(fresh.text, known.text) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http1_memo memo = {.n_runs = 0};
	static uint8_t mixed[BYTES_MAX];
	struct slice a, b;

	if (size < 3 || size > BYTES_MAX)
		return 0;
	a = slice(data + 3, (size - 3) * (256u - data[1]) / 256);
	b = slice(a.p + a.len, size - 3 - a.len);
	for (unsigned i = 0; i < TIMES; i++)
		compare(data[0], &memo, a);
	compare(data[0], &memo, b);
	memcpy(mixed, a.p, a.len);
	for (size_t i = a.len * data[2] / 256, k = 0; i < a.len && k < b.len; i++, k++)
		mixed[i] = b.p[k];
	compare(data[0], &memo, slice(mixed, a.len));
	compare(data[0], &memo, a);
	return 0;
}
