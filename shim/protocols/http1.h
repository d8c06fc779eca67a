/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/protocols/bytes.h"

/*
 * HTTP/1.0 and 1.1 messages (RFC 9112), one direction of one connection, as a pull parser: bytes in, events out, the
 * same events for every split of the input. Pure: no I/O, no allocation, no globals; libc's mem* functions only. The
 * bytes may be hostile.
 *
 * It is as lenient as servers are (bare LF line ends, leading empty lines before a request) and as strict as it must
 * be to know where a message ends: anything that could make two parties disagree about that (Content-Length twice
 * with different values, Content-Length and Transfer-Encoding together, a bad chunk size, a space before the colon,
 * obs-fold, a NUL, a transfer coding whose last is not chunked) is -EPROTO, and the connection is opaque from there.
 */

#define HTTP1_MAX_HEAD 65536  /* a longer head is -EPROTO */
#define HTTP1_MAX_FIELDS 256  /* so are more fields */
#define HTTP1_MAX_LINES_BEFORE 4 /* empty lines tolerated before a start line */

enum http1_kind { HTTP1_REQUEST, HTTP1_RESPONSE };

/* Fields that somebody asks for. Those that may repeat keep the first, and the count tells. */
enum http1_field {
	HTTP1_HOST,
	HTTP1_USER_AGENT,
	HTTP1_TRACEPARENT,
	HTTP1_TRACESTATE,
	HTTP1_BAGGAGE,
	HTTP1_B3,
	HTTP1_X_B3_TRACEID,
	HTTP1_X_B3_SPANID,
	HTTP1_X_B3_SAMPLED,
	HTTP1_X_B3_FLAGS,
	HTTP1_FORWARDED,
	HTTP1_X_FORWARDED_FOR,
	HTTP1_X_FORWARDED_PROTO,
	HTTP1_X_FORWARDED_HOST,
	HTTP1_EXPECT,
	HTTP1_N_KEPT
};

struct http1_head {
	enum http1_kind kind;
	uint8_t minor;     /* 0 or 1 */
	uint16_t status;   /* response: 100 to 999 */
	struct slice method, target; /* request */
	struct slice whole;          /* start line to blank line, both included */
	size_t blank;                /* offset in whole of the blank line: where a field may be inserted */
	uint16_t n_fields;
	uint8_t n_kept[HTTP1_N_KEPT];     /* how often each occurred (saturates) */
	struct slice kept_values[HTTP1_N_KEPT]; /* of those that occurred: ask http1_kept() */
	int64_t content_length;      /* -1: none */
	bool coded;                  /* there is a Transfer-Encoding, of whatever coding */
	bool chunked;                /* Transfer-Encoding ends in chunked */
	bool signs_context;          /* Authorization (SigV4 SignedHeaders) or Signature-Input (RFC 9421) names one of
					traceparent, tracestate, baggage, b3, x-b3-*: the head must not be edited */
};

/* The value without surrounding blanks; .p NULL: absent. */
static inline struct slice http1_kept(const struct http1_head *head, enum http1_field field)
{
	return head->n_kept[field] ? head->kept_values[field] : SLICE_NONE;
}

/* How the body of a message is delimited, and how far we are in it. */
enum http1_framing { HTTP1_NO_BODY, HTTP1_LENGTH, HTTP1_CHUNKED, HTTP1_UNTIL_CLOSE, HTTP1_TUNNEL };

enum http1_event_type {
	HTTP1_MORE,     /* all input used; nothing (more) to say */
	HTTP1_HEAD,     /* a head is complete */
	HTTP1_BODY,     /* payload bytes went by (chunk framing not counted) */
	HTTP1_END,      /* the message is complete; the next byte starts another one */
};

enum http1_state {
	HTTP1_BEFORE_HEAD, /* idle, or empty lines before a request */
	HTTP1_IN_HEAD,     /* part of a head is in the carry buffer */
	HTTP1_IN_BODY,
	HTTP1_AT_END,      /* the message is complete; END is still to be said */
	HTTP1_TUNNELLED,
};

struct http1_event {
	enum http1_event_type type;
	size_t used;        /* input bytes that this event consumed */
	size_t payload;     /* HTTP1_BODY: payload bytes among them */
	/* HTTP1_HEAD only. head.whole lies in the input (head_in_input) or in the carry buffer, and is valid until
	 * the next call. The head's last head_tail bytes are in the input and end at input.p + used; the others came
	 * before. */
	struct http1_head head;
	bool head_in_input;
	size_t head_tail;
};

struct http1_memo;

/* One direction of one connection. All zero plus http1_start() is the initial state. At most 96 bytes. */
struct http1_stream {
	uint8_t kind;        /* enum http1_kind */
	uint8_t state;       /* enum http1_state */
	uint8_t framing;     /* enum http1_framing of the message under way */
	uint8_t chunk_state;
	uint8_t tail_match;  /* between messages: 2 after a CR; in chunk framing: bytes of the size or extension */
	uint8_t lines_before;
	uint8_t failed;      /* -EPROTO was returned: it always will be */
	/* For a response: what it answers. Set by the caller with http1_expect() before its head arrives. */
	uint8_t answers_head, answers_connect;
	uint64_t left;       /* bytes of body or chunk to come */
	uint64_t body_bytes; /* payload bytes of the message so far */
	/* Start of a head that arrived in pieces. The buffer belongs to the caller: lent by http1_lend() when
	 * http1_feed() returns -ENOBUFS, taken back by http1_take_back() when it is not needed. */
	uint8_t *carry;
	uint32_t carry_cap, carry_len;
	struct http1_memo *memo; /* the caller's (http1_memo.h), set after http1_start(); NULL: none */
};

void http1_start(struct http1_stream *s, enum http1_kind kind);

/*
 * Take one step. Call again with the rest of the input (in advanced by event.used) until HTTP1_MORE with all used.
 * Returns 0 and fills in ret (head and what follows it for HTTP1_HEAD only); -ENOBUFS when a partial head needs a
 * (larger) carry buffer: nothing was consumed, lend one of carry_len + in.len bytes (HTTP1_MAX_HEAD always suffices)
 * and repeat; -EPROTO when this is not HTTP/1 or cannot be followed. After HTTP1_END of an exchange that switched
 * protocols the framing is HTTP1_TUNNEL and every byte is consumed silently.
 */
static inline int http1_feed(struct http1_stream *s, struct slice in, struct http1_event *ret);

/* How many of the n bytes that come next are plain body, chunks apart. They are taken; it may be the end of the message. */
static inline size_t http1_take_body(struct http1_stream *s, size_t n);
/* Is a message complete whose HTTP1_END has not been said? This says it, without another step. */
static inline bool http1_take_end(struct http1_stream *s);

/* Between messages (http1_is_idle()): the next bytes are this head, parsed already, whole. Continue behind it. */
void http1_pass_head(struct http1_stream *s, const struct http1_head *head);

/* What the next response head answers: HEAD has no body; a 2xx to CONNECT starts a tunnel. */
void http1_expect(struct http1_stream *s, bool answers_head, bool answers_connect);
/* The peer closed its side. HTTP1_END if that ends the message (until-close body), HTTP1_MORE if between messages;
 * -EPROTO when a message was cut off. */
int http1_eof(struct http1_stream *s, struct http1_event *ret);
/* n bytes of body went by unseen (sendfile, splice). -EPROTO where they were not all payload that the framing
 * allows to be skipped. ret as http1_feed(): HTTP1_BODY; call http1_feed() with no input to get HTTP1_END. */
int http1_skip(struct http1_stream *s, uint64_t n, struct http1_event *ret);
/* Both sides switch to another protocol now. */
void http1_tunnel(struct http1_stream *s);
/* True at the very start of a message: not one byte of it has been seen. */
static inline bool http1_is_idle(const struct http1_stream *s)
{
	return s->state == HTTP1_BEFORE_HEAD;
}
void http1_lend(struct http1_stream *s, uint8_t *buffer, uint32_t cap); /* keeps what was carried (copied) */
uint8_t *http1_take_back(struct http1_stream *s); /* NULL when none or still needed */

/* Could these first bytes of a connection be a request (method token, space)? 1 yes, 0 too early to say, -1 no. */
int http1_detect(struct slice in);
/* Parse one whole head. Returns its length, 0 when incomplete, -EPROTO. memo: of this direction, or NULL. */
long http1_parse_head(struct slice in, enum http1_kind kind, struct http1_memo *memo, struct http1_head *ret);
/* Walk the fields of a parsed head: *cursor starts at 0. Returns false at the end. */
bool http1_next_field(const struct http1_head *head, size_t *cursor, struct slice *ret_name, struct slice *ret_value);

static inline bool http1_take_end(struct http1_stream *s)
{
	if (s->state != HTTP1_AT_END)
		return false;
	s->state = s->framing == HTTP1_TUNNEL ? HTTP1_TUNNELLED : HTTP1_BEFORE_HEAD;
	s->tail_match = 0;
	return true;
}

static inline size_t http1_take_body(struct http1_stream *s, size_t n)
{
	if (s->state != HTTP1_IN_BODY || s->framing == HTTP1_CHUNKED)
		return 0;
	if (s->framing == HTTP1_LENGTH) {
		n = s->left < n ? (size_t)s->left : n;
		s->left -= n;
		if (s->left == 0)
			s->state = HTTP1_AT_END;
	}
	s->body_bytes += n;
	return n;
}

/* ---- the ordinary case, inline ---- */

/* A head, parsed to ret->head, is complete. */
static inline int http1_head_is_complete(struct http1_stream *s, struct http1_event *ret, size_t used, bool in_input, size_t tail)
{
	ret->type = HTTP1_HEAD;
	ret->used = used;
	ret->payload = 0;
	ret->head_in_input = in_input;
	ret->head_tail = tail;
	http1_pass_head(s, &ret->head);
	return 0;
}

int http1_feed_odd(struct http1_stream *s, struct slice in, struct http1_event *ret);
/* A head begins. len: what http1_parse_head() made of it. */
int http1_begin_head(struct http1_stream *s, struct slice in, long len, struct http1_event *ret);

/* Between messages, and no empty line; a whole head. */
static inline int http1_feed(struct http1_stream *s, struct slice in, struct http1_event *ret)
{
	long len;

	if (s->state != HTTP1_BEFORE_HEAD || s->failed || in.len == 0 || in.p[0] <= '\r' || s->tail_match)
		return http1_feed_odd(s, in, ret);
	len = http1_parse_head(in, (enum http1_kind)s->kind, s->memo, &ret->head);
	return len > 0 ? http1_head_is_complete(s, ret, (size_t)len, true, (size_t)len) : http1_begin_head(s, in, len, ret);
}
