/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary bytes as each of the propagators' values: what is accepted comes back from its own output as what it was. */
#include <stdlib.h>

#include "shim/protocols/tracecontext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool promise)
{
	if (!promise)
		abort();
}

static void check_context(const struct trace_parent *p)
{
	uint8_t text[TRACEPARENT_LEN], b3[B3_LEN];
	struct trace_parent again;
	bool only_state;

	check((p->flags & ~0x03) == 0);
	traceparent_format(text, p->trace_id, p->span_id, p->flags);
	check(traceparent_parse(slice(text, sizeof(text)), &again) && again.flags == p->flags);
	check(memcmp(again.trace_id, p->trace_id, 16) == 0 && memcmp(again.span_id, p->span_id, 8) == 0);
	b3_format(b3, p->trace_id, p->span_id, p->flags & 1, p->debug);
	check(b3_parse(slice(b3, sizeof(b3)), &again, &only_state) && !only_state && again.debug == p->debug);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice(data, size), half = slice(data, size / 2), rest = slice_from(in, size / 2);
	struct trace_parent p;
	bool only_state;

	if (traceparent_parse(in, &p))
		check_context(&p);
	if (b3_parse(in, &p, &only_state) && !only_state)
		check_context(&p);
	if (b3_parse_multi(slice(data, size < 32 ? size : 32), slice_from(in, 32), SLICE_NONE, SLICE_NONE, &p))
		check_context(&p);
	b3_parse_multi(slice("1234567890123456", 16), slice("1234567890123456", 16), half, rest, &p);
	check(!tracestate_is_valid(in) || size > 2);
	check(!baggage_is_valid(in) || (size > 1 && size <= 8192));
	return 0;
}
