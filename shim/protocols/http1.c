/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One direction of a connection as a state machine over messages. Heads are parsed whole: from the input where they
 * lie in it, else from a carry buffer, into which pieces are copied.
 */
#include "shim/protocols/http1.h"

#include <errno.h>

enum chunk_state {
	CHUNK_SIZE,
	CHUNK_BLANKS, /* after the size */
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	TRAILER_START, /* at the beginning of a line */
	TRAILER_LINE,
	TRAILER_LINE_LF,
	TRAILER_LAST_LF,
	CHUNKS_DONE,
};

#define CHUNK_DIGITS_MAX 15
#define EXTENSION_MAX 250 /* blanks included */
#define TRAILER_BYTES_MAX 65536

void http1_start(struct http1_stream *s, enum http1_kind kind)
{
	*s = (struct http1_stream){.kind = (uint8_t)kind};
}

void http1_expect(struct http1_stream *s, bool answers_head, bool answers_connect)
{
	s->answers_head = answers_head;
	s->answers_connect = answers_connect;
}

void http1_tunnel(struct http1_stream *s)
{
	s->state = HTTP1_TUNNELLED;
	s->framing = HTTP1_TUNNEL;
}

void http1_lend(struct http1_stream *s, uint8_t *buffer, uint32_t cap)
{
	if (s->carry_len > 0)
		memcpy(buffer, s->carry, s->carry_len);
	s->carry = buffer;
	s->carry_cap = cap;
}

uint8_t *http1_take_back(struct http1_stream *s)
{
	uint8_t *buffer = s->carry;

	if (s->state == HTTP1_IN_HEAD || !buffer)
		return NULL;
	s->carry = NULL;
	s->carry_cap = s->carry_len = 0;
	return buffer;
}

static int fail(struct http1_stream *s)
{
	s->failed = true;
	return -EPROTO;
}

static int say(struct http1_event *ret, enum http1_event_type type, size_t used, size_t payload)
{
	ret->type = type; /* the rest means something for a head only */
	ret->used = used;
	ret->payload = payload;
	return 0;
}

/* ---- after a head ---- */

static void begin_body(struct http1_stream *s, enum http1_framing framing, uint64_t left)
{
	s->framing = (uint8_t)framing;
	s->left = left;
	s->body_bytes = 0;
	s->chunk_state = CHUNK_SIZE;
	s->tail_match = 0;
	s->state = framing == HTTP1_NO_BODY || (framing == HTTP1_LENGTH && left == 0) ? HTTP1_AT_END : HTTP1_IN_BODY;
}

static void after_request_head(struct http1_stream *s, const struct http1_head *head)
{
	if (head->chunked)
		begin_body(s, HTTP1_CHUNKED, 0);
	else if (head->content_length > 0)
		begin_body(s, HTTP1_LENGTH, (uint64_t)head->content_length);
	else
		begin_body(s, HTTP1_NO_BODY, 0);
}

/* RFC 9112 section 6.3 */
static void after_response_head(struct http1_stream *s, const struct http1_head *head)
{
	if (head->status == 101 || (s->answers_connect && head->status / 100 == 2)) {
		begin_body(s, HTTP1_TUNNEL, 0);
		s->state = HTTP1_AT_END;
	} else if (head->status < 200) {
		s->state = HTTP1_BEFORE_HEAD; /* interim: the answer is still to come */
	} else if (s->answers_head || head->status == 204 || head->status == 304) {
		begin_body(s, HTTP1_NO_BODY, 0);
	} else if (head->chunked) {
		begin_body(s, HTTP1_CHUNKED, 0);
	} else if (head->content_length >= 0) {
		begin_body(s, HTTP1_LENGTH, (uint64_t)head->content_length);
	} else {
		begin_body(s, HTTP1_UNTIL_CLOSE, 0);
	}
}

void http1_pass_head(struct http1_stream *s, const struct http1_head *head)
{
	s->lines_before = 0;
	if (s->kind == HTTP1_REQUEST)
		after_request_head(s, head);
	else
		after_response_head(s, head);
}

/* ---- heads ---- */

/* What cannot become a head is not worth carrying. */
static bool may_become_head(const struct http1_stream *s, struct slice in)
{
	static const char version[] = "HTTP/1.";

	if (s->kind == HTTP1_REQUEST)
		return http1_detect(in) >= 0;
	return memcmp(in.p, version, in.len < sizeof(version) - 1 ? in.len : sizeof(version) - 1) == 0;
}

/* Does a head that ended, or broke, nowhere so far do so in its last fresh bytes? Only a control character can tell. */
static bool is_worth_parsing(const uint8_t *bytes, size_t len, size_t fresh)
{
	const uint8_t *p = bytes + len - fresh;

	if (p > bytes && p[-1] == '\r')
		return true;
	for (; p < bytes + len; p++)
		if (*p < 0x20 || *p == 0x7f)
			return true;
	return false;
}

/*
 * One more piece of a head. What is carried is parsed again from its start, but only when a line may have been
 * completed: the bound on lines bounds the work, and errors are found at the same byte as in a head that comes
 * whole.
 */
static int continue_head(struct http1_stream *s, struct slice in, struct http1_event *ret)
{
	uint32_t before = s->state == HTTP1_IN_HEAD ? s->carry_len : 0;
	size_t n = in.len < HTTP1_MAX_HEAD - before ? in.len : HTTP1_MAX_HEAD - before;
	long len = 0;

	if (!s->carry || before + n > s->carry_cap)
		return -ENOBUFS;
	memcpy(s->carry + before, in.p, n);
	s->carry_len = before + (uint32_t)n;
	s->state = HTTP1_IN_HEAD;
	if (before + n == HTTP1_MAX_HEAD || is_worth_parsing(s->carry, before + n, n))
		len = http1_parse_head(slice(s->carry, before + n), s->kind, NULL, &ret->head);
	if (len < 0 || (len == 0 && !may_become_head(s, slice(s->carry, before + n))))
		return fail(s);
	if (len == 0)
		return say(ret, HTTP1_MORE, in.len, 0);
	s->carry_len = (uint32_t)len;
	return http1_head_is_complete(s, ret, (size_t)len - before, false, (size_t)len - before);
}

/* Empty lines before a request are tolerated (RFC 9112 section 2.2). Returns the bytes skipped, or -EPROTO. */
static long skip_empty_lines(struct http1_stream *s, struct slice in)
{
	size_t i = 0;

	for (; i < in.len && (in.p[i] == '\r' || in.p[i] == '\n'); i++) {
		bool after_cr = s->tail_match == 2;

		if (in.p[i] == '\r' && after_cr)
			return -EPROTO;
		s->tail_match = in.p[i] == '\r' ? 2 : 0;
		if (in.p[i] == '\n' && ++s->lines_before > HTTP1_MAX_LINES_BEFORE)
			return -EPROTO;
	}
	return i < in.len && s->tail_match == 2 ? -EPROTO : (long)i;
}

int http1_begin_head(struct http1_stream *s, struct slice in, long len, struct http1_event *ret)
{
	if (len > 0)
		return http1_head_is_complete(s, ret, (size_t)len, true, (size_t)len);
	if (len < 0 || !may_become_head(s, in))
		return fail(s);
	return continue_head(s, in, ret);
}

/* ---- bodies ---- */

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* RFC 9112 section 7.1.1: blanks, then an extension or the end of the line. A second number is not for us to
 * interpret. */
static bool step_after_size(struct http1_stream *s, uint8_t c)
{
	s->chunk_state = c == '\r' ? CHUNK_SIZE_LF : c == ';' ? CHUNK_EXTENSION : CHUNK_BLANKS;
	return c == '\r' || ((c == ';' || is_blank(c)) && ++s->tail_match <= EXTENSION_MAX);
}

/* tail_match counts: digits of the size, then bytes of an extension. False: -EPROTO. */
static bool step_size(struct http1_stream *s, uint8_t c)
{
	int digit = hex_digit(c);

	if (digit >= 0) {
		s->left = s->left << 4 | (unsigned)digit;
		return ++s->tail_match <= CHUNK_DIGITS_MAX;
	}
	if (s->tail_match == 0)
		return false;
	s->tail_match = 0;
	return step_after_size(s, c);
}

static void size_is_known(struct http1_stream *s)
{
	s->tail_match = 0;
	s->chunk_state = s->left ? CHUNK_DATA : TRAILER_START;
}

/* Trailers are not read; but a CR or a control character in one might end it for somebody else. */
static bool step_trailer(struct http1_stream *s, uint8_t c)
{
	if (++s->left > TRAILER_BYTES_MAX || (c < 0x20 && c != '\t' && c != '\r' && c != '\n'))
		return false;
	if (c == '\r')
		s->chunk_state = s->chunk_state == TRAILER_START ? TRAILER_LAST_LF : TRAILER_LINE_LF;
	else if (c == '\n')
		s->chunk_state = s->chunk_state == TRAILER_START ? CHUNKS_DONE : TRAILER_START;
	else
		s->chunk_state = TRAILER_LINE;
	return true;
}

/* One byte of chunk framing. */
static bool step_chunk(struct http1_stream *s, uint8_t c)
{
	switch (s->chunk_state) {
	case CHUNK_SIZE:
		return step_size(s, c);
	case CHUNK_BLANKS:
		return step_after_size(s, c);
	case CHUNK_EXTENSION:
		if (c == '\r')
			s->chunk_state = CHUNK_SIZE_LF;
		return c != '\n' && c != '\0' && ++s->tail_match <= EXTENSION_MAX;
	case CHUNK_SIZE_LF:
		size_is_known(s);
		return c == '\n';
	case CHUNK_DATA_CR:
		s->chunk_state = CHUNK_DATA_LF;
		return c == '\r';
	case CHUNK_DATA_LF:
		s->chunk_state = CHUNK_SIZE;
		s->left = 0;
		return c == '\n';
	case TRAILER_LINE_LF:
		s->chunk_state = TRAILER_START;
		return c == '\n';
	case TRAILER_LAST_LF:
		s->chunk_state = CHUNKS_DONE;
		return c == '\n';
	default:
		return step_trailer(s, c);
	}
}

/* Payload of the current chunk or body: n bytes of it went by. */
static void count_payload(struct http1_stream *s, uint64_t n)
{
	s->body_bytes += n;
	if (s->framing == HTTP1_UNTIL_CLOSE)
		return;
	s->left -= n;
	if (s->left > 0)
		return;
	if (s->framing == HTTP1_CHUNKED)
		s->chunk_state = CHUNK_DATA_CR;
	else
		s->state = HTTP1_AT_END;
}

static int feed_chunked(struct http1_stream *s, struct slice in, struct http1_event *ret)
{
	size_t i = 0, payload = 0;

	while (i < in.len && s->chunk_state != CHUNKS_DONE) {
		if (s->chunk_state == CHUNK_DATA) {
			size_t n = s->left < in.len - i ? (size_t)s->left : in.len - i;

			count_payload(s, n);
			payload += n;
			i += n;
		} else if (!step_chunk(s, in.p[i])) {
			/* The payload before it was real: said first, as it is when it comes alone. */
			fail(s);
			return payload ? say(ret, HTTP1_BODY, i, payload) : -EPROTO;
		} else {
			i++;
		}
	}
	if (s->chunk_state == CHUNKS_DONE)
		s->state = HTTP1_AT_END;
	return say(ret, s->state == HTTP1_AT_END || payload ? HTTP1_BODY : HTTP1_MORE, i, payload);
}

static int feed_body(struct http1_stream *s, struct slice in, struct http1_event *ret)
{
	size_t n = http1_take_body(s, in.len);

	return n > 0 ? say(ret, HTTP1_BODY, n, n) : feed_chunked(s, in, ret);
}

static int feed_between(struct http1_stream *s, struct slice in, struct http1_event *ret)
{
	uint8_t lines_before = s->lines_before, tail_match = s->tail_match;
	long skipped = s->kind == HTTP1_REQUEST ? skip_empty_lines(s, in) : 0;
	long len;
	int err;

	if (skipped < 0)
		return fail(s);
	if ((size_t)skipped >= in.len)
		return say(ret, HTTP1_MORE, in.len, 0);
	in = slice(in.p + skipped, in.len - (size_t)skipped);
	len = http1_parse_head(in, s->kind, s->memo, &ret->head);
	err = http1_begin_head(s, in, len, ret);
	if (err == -ENOBUFS) { /* the same bytes will come again */
		s->lines_before = lines_before;
		s->tail_match = tail_match;
	}
	if (!err)
		ret->used += (size_t)skipped;
	return err;
}

int http1_feed_odd(struct http1_stream *s, struct slice in, struct http1_event *ret)
{
	if (s->failed)
		return -EPROTO;
	if (http1_take_end(s))
		return say(ret, HTTP1_END, 0, 0);
	if (s->state == HTTP1_TUNNELLED || in.len == 0)
		return say(ret, HTTP1_MORE, in.len, 0);
	switch (s->state) {
	case HTTP1_BEFORE_HEAD:
		return feed_between(s, in, ret);
	case HTTP1_IN_HEAD:
		return continue_head(s, in, ret);
	default:
		return feed_body(s, in, ret);
	}
}

int http1_eof(struct http1_stream *s, struct http1_event *ret)
{
	if (s->failed)
		return -EPROTO;
	if (s->state == HTTP1_IN_BODY && s->framing == HTTP1_UNTIL_CLOSE)
		s->state = HTTP1_AT_END;
	if (http1_take_end(s))
		return say(ret, HTTP1_END, 0, 0);
	if (s->state == HTTP1_BEFORE_HEAD || s->state == HTTP1_TUNNELLED)
		return say(ret, HTTP1_MORE, 0, 0);
	return fail(s);
}

int http1_skip(struct http1_stream *s, uint64_t n, struct http1_event *ret)
{
	bool in_payload = s->state == HTTP1_IN_BODY && (s->framing != HTTP1_CHUNKED || s->chunk_state == CHUNK_DATA);

	if (s->failed)
		return -EPROTO;
	if (s->state == HTTP1_TUNNELLED || n == 0)
		return say(ret, HTTP1_MORE, 0, 0);
	if (!in_payload || (s->framing != HTTP1_UNTIL_CLOSE && n > s->left))
		return fail(s);
	count_payload(s, n);
	return say(ret, HTTP1_BODY, 0, (size_t)n);
}
