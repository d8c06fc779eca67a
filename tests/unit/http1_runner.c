/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/http1_runner.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define GUARDED_MAX (256u * 1024)
#define PAGE 4096u

#define PROMISE(condition)                                                            \
	do {                                                                          \
		if (!(condition)) {                                                   \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                      \
		}                                                                     \
	} while (0)

static const char *const names[HTTP1_N_KEPT] = {
	[HTTP1_HOST] = "host",
	[HTTP1_USER_AGENT] = "user-agent",
	[HTTP1_TRACEPARENT] = "traceparent",
	[HTTP1_TRACESTATE] = "tracestate",
	[HTTP1_BAGGAGE] = "baggage",
	[HTTP1_B3] = "b3",
	[HTTP1_X_B3_TRACEID] = "x-b3-traceid",
	[HTTP1_X_B3_SPANID] = "x-b3-spanid",
	[HTTP1_X_B3_SAMPLED] = "x-b3-sampled",
	[HTTP1_X_B3_FLAGS] = "x-b3-flags",
	[HTTP1_FORWARDED] = "forwarded",
	[HTTP1_X_FORWARDED_FOR] = "x-forwarded-for",
	[HTTP1_X_FORWARDED_PROTO] = "x-forwarded-proto",
	[HTTP1_X_FORWARDED_HOST] = "x-forwarded-host",
	[HTTP1_EXPECT] = "expect",
};

/* The piece again, ending at a page that cannot be read. */
static struct slice guarded(struct slice piece)
{
	static uint8_t *area;

	if (!area) {
		area = mmap(NULL, GUARDED_MAX + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		PROMISE(area != MAP_FAILED && mprotect(area + GUARDED_MAX, PAGE, PROT_NONE) == 0);
	}
	PROMISE(piece.len <= GUARDED_MAX);
	if (piece.len)
		memcpy(area + GUARDED_MAX - piece.len, piece.p, piece.len);
	return slice(area + GUARDED_MAX - piece.len, piece.len);
}

__attribute__((format(printf, 2, 3))) static void write_text(struct runner *r, const char *format, ...)
{
	size_t room = sizeof(r->text) - r->len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(r->text + r->len, room, format, args);
	va_end(args);
	r->len = n < 0 || (size_t)n >= room ? sizeof(r->text) - 1 : r->len + (size_t)n;
}

static void write_body(struct runner *r)
{
	if (r->body)
		write_text(r, "BODY %llu\n", (unsigned long long)r->body);
	r->body = 0;
}

static void write_slice(struct runner *r, const char *name, struct slice s)
{
	write_text(r, " %s=%.*s", name, s.len > 120 ? 120 : (int)s.len, (const char *)s.p);
}

static void write_head(struct runner *r, const struct http1_head *h)
{
	if (h->kind == HTTP1_REQUEST) {
		write_text(r, "HEAD %.*s %.*s", (int)h->method.len, (const char *)h->method.p,
			   h->target.len > 120 ? 120 : (int)h->target.len, (const char *)h->target.p);
	} else {
		write_text(r, "HEAD %u", h->status);
	}
	write_text(r, " 1.%u fields=%u", h->minor, h->n_fields);
	for (enum http1_field i = 0; i < HTTP1_N_KEPT; i++) {
		PROMISE((http1_kept(h, i).p != NULL) == (h->n_kept[i] != 0));
		if (http1_kept(h, i).p)
			write_slice(r, names[i], http1_kept(h, i));
		if (h->n_kept[i] > 1)
			write_text(r, "(x%u)", h->n_kept[i]);
	}
	if (h->content_length >= 0)
		write_text(r, " length=%lld", (long long)h->content_length);
	write_text(r, "%s%s\n", h->chunked ? " chunked" : "", h->signs_context ? " signs-context" : "");
}

static void check_head(const struct runner *r, struct slice in, const struct http1_event *ev)
{
	const struct http1_head *h = &ev->head;
	struct slice name, value;
	size_t cursor = 0;
	unsigned n = 0;

	PROMISE(ev->used <= in.len && ev->head_tail <= ev->used && ev->head_tail > 0 && ev->head_tail <= h->whole.len);
	if (ev->head_in_input)
		PROMISE(h->whole.p + h->whole.len == in.p + ev->used && ev->head_tail == h->whole.len);
	else
		PROMISE(h->whole.p == r->stream.carry && h->whole.len == r->stream.carry_len);
	PROMISE(memcmp(h->whole.p + h->whole.len - ev->head_tail, in.p + ev->used - ev->head_tail, ev->head_tail) == 0);
	PROMISE(h->whole.len <= HTTP1_MAX_HEAD && h->n_fields <= HTTP1_MAX_FIELDS);
	PROMISE(h->whole.p[h->whole.len - 1] == '\n' && h->whole.p[h->blank - 1] == '\n');
	PROMISE(h->whole.len - h->blank == 1 || (h->whole.len - h->blank == 2 && h->whole.p[h->blank] == '\r'));
	while (http1_next_field(h, &cursor, &name, &value)) {
		PROMISE(name.len > 0 && name.p >= h->whole.p && value.p + value.len <= h->whole.p + h->blank);
		n++;
	}
	PROMISE(n == h->n_fields);
}

static void report(struct runner *r, struct slice in, const struct http1_event *ev)
{
	switch (ev->type) {
	case HTTP1_HEAD:
		write_body(r);
		check_head(r, in, ev);
		write_head(r, &ev->head);
		break;
	case HTTP1_BODY:
		PROMISE(ev->payload <= ev->used);
		r->body += ev->payload;
		r->payload += ev->payload;
		break;
	case HTTP1_END:
		write_body(r);
		write_text(r, "END\n");
		if (r->stream.framing == HTTP1_TUNNEL)
			write_text(r, "TUNNEL\n");
		if (r->answers[0] && r->answers[1])
			r->answers++;
		break;
	case HTTP1_MORE:
		PROMISE(ev->used == in.len);
		break;
	}
}

/* shim/stream.c's stream_step(), with exactly as much memory as the header says suffices. */
static int step(struct runner *r, struct slice in, struct http1_event *ev)
{
	struct http1_stream *s = &r->stream;
	int err;

	free(http1_take_back(s));
	err = http1_feed(s, in, ev);
	if (err != -ENOBUFS)
		return err;

	size_t need = s->carry_len + in.len < HTTP1_MAX_HEAD ? s->carry_len + in.len : HTTP1_MAX_HEAD;
	uint8_t *old = s->carry, *block = malloc(need);

	http1_lend(s, block, (uint32_t)need);
	free(old);
	err = http1_feed(s, in, ev);
	PROMISE(err != -ENOBUFS);
	return err;
}

void runner_start(struct runner *r, enum http1_kind kind, const char *answers)
{
	http1_start(&r->stream, kind);
	r->answers = answers;
	r->body = r->fed = r->accounted = r->payload = 0;
	r->steps = 0;
	r->failed = false;
	r->len = 0;
	r->text[0] = '\0';
}

static void failed(struct runner *r)
{
	struct http1_event ev;

	write_body(r);
	write_text(r, "EPROTO\n");
	r->failed = true;
	PROMISE(http1_feed(&r->stream, slice("GET", 3), &ev) == -EPROTO);
}

void runner_feed(struct runner *r, struct slice piece)
{
	struct slice left = guarded(piece);
	struct http1_event ev;

	r->fed += piece.len;
	while (!r->failed) {
		/* Each step but the last uses input or ends a message. */
		PROMISE(++r->steps <= 4 * r->fed + 4);
		http1_expect(&r->stream, r->answers[0] == 'h', r->answers[0] == 'c');
		if (step(r, left, &ev) != 0) {
			failed(r);
			return;
		}
		report(r, left, &ev);
		r->accounted += ev.used;
		left = slice_from(left, ev.used);
		if (ev.type == HTTP1_MORE)
			break;
	}
	PROMISE(r->failed || r->accounted == r->fed);
	PROMISE(r->payload <= r->fed);
}

void runner_close(struct runner *r)
{
	struct http1_event ev;

	if (r->failed)
		return;
	if (http1_eof(&r->stream, &ev) != 0)
		failed(r);
	else if (ev.type == HTTP1_END)
		report(r, SLICE_NONE, &ev);
	else
		write_text(r, "CLOSED\n");
}

void runner_finish(struct runner *r)
{
	write_body(r);
	free(r->stream.carry);
	r->stream.carry = NULL;
}
