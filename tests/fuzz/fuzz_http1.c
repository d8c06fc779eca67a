/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arbitrary bytes as one direction of a connection, in pieces that the input chooses too: the same events as when they come
 * whole, and no promise of http1.h broken (the runner aborts). First byte: bit 0 response, 1 to HEAD, 2 to CONNECT.
 */
#include <stdlib.h>

#include "tests/unit/http1_runner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct runner whole, pieces;

static void start(struct runner *r, uint8_t how)
{
	runner_start(r, how & 1 ? HTTP1_RESPONSE : HTTP1_REQUEST, how & 2 ? "h" : how & 4 ? "c" : "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t state = 1;

	if (size == 0)
		return 0;
	for (size_t i = 0; i < size; i++)
		state = (state ^ data[i]) * 16777619u;
	start(&whole, data[0]);
	start(&pieces, data[0]);
	runner_feed(&whole, slice(data + 1, size - 1));
	for (size_t at = 1, n; at < size; at += n) {
		state = state * 1664525u + 1013904223u;
		n = 1 + (state >> 16) % (state >> 31 ? 7 : 97);
		n = n < size - at ? n : size - at;
		runner_feed(&pieces, slice(data + at, n));
	}
	runner_close(&whole);
	runner_finish(&whole);
	runner_close(&pieces);
	runner_finish(&pieces);
	if (strcmp(whole.text, pieces.text) != 0 || whole.payload > size || whole.payload != pieces.payload)
		abort();
	return 0;
}
