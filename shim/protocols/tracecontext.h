/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/protocols/bytes.h"

/* W3C Trace Context Level 2, W3C Baggage and B3, as text. Pure functions on bytes. */

#define TRACEPARENT_LEN 55

/* What any of the formats says about the caller's span. */
struct trace_parent {
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint8_t flags;       /* 0x01 sampled, 0x02 random; no other bit is kept */
	bool sampling_deferred; /* b3 without a sampling state */
	bool debug;             /* b3 debug: implies sampled, is passed on */
};

/* Parse a traceparent value (surrounding blanks allowed). False: invalid, *ret untouched. */
bool traceparent_parse(struct slice value, struct trace_parent *ret);
/* Write exactly TRACEPARENT_LEN bytes, version 00, no NUL. */
void traceparent_format(uint8_t *out, const uint8_t trace_id[16], const uint8_t span_id[8], uint8_t flags);
/* Is it a tracestate that may be passed on (grammar, 32 members)? */
bool tracestate_is_valid(struct slice value);
/* Is it a baggage value within the limits of the specification (8192 bytes, 64 members, legal characters)? */
bool baggage_is_valid(struct slice value);

/* b3: single header. False: invalid. only_state: "0", "1" or "d" alone: *ret_only_state is set and the ids are zero. */
bool b3_parse(struct slice value, struct trace_parent *ret, bool *ret_only_state);
/* X-B3-*: multi header; absent ones are SLICE_NONE. */
bool b3_parse_multi(struct slice trace_id, struct slice span_id, struct slice sampled, struct slice flags,
		    struct trace_parent *ret);
/* "{32}-{16}-{0|1|d}", 51 bytes, no NUL. */
#define B3_LEN 51
void b3_format(uint8_t *out, const uint8_t trace_id[16], const uint8_t span_id[8], bool sampled, bool debug);

void hex_format(char *out, const uint8_t *bytes, size_t n); /* 2n lower-case digits, no NUL */
bool hex_parse(uint8_t *out, const uint8_t *digits, size_t n_bytes); /* lower case only */
