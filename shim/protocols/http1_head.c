/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One whole head, in one pass. A line is found by looking for the next control character: in a legal head that is
 * the end of the line, so the same scan that finds the line also proves that nothing illegal hides in it.
 */
#include "shim/protocols/http1.h"

#include <errno.h>

#include "shim/protocols/http1_field.h"
#include "shim/protocols/http1_memo.h"
#include "shim/protocols/http1_scan.h"

#define METHOD_MAX 32

/* ---- start lines ---- */

/* "HTTP/1.0" or "HTTP/1.1" */
INLINE bool take_version(const uint8_t *p, uint8_t *ret_minor)
{
	if (memcmp(p, "HTTP/1.1", 8) == 0)
		*ret_minor = 1;
	else if (memcmp(p, "HTTP/1.0", 8) == 0)
		*ret_minor = 0;
	else
		return false;
	return true;
}

static bool is_token_char(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       (c > ' ' && c < 0x7f && !memchr("\"(),/:;<=>?@[\\]{}", c, 17));
}

/* The ordinary one, from word to word: "GET /target HTTP/1.1". Returns where the next line begins; NULL: ask parse_request_line(). */
INLINE const uint8_t *take_request_line(struct text t, struct http1_head *ret)
{
	const uint8_t *p = t.start, *stop;
	size_t method;

	if (scan_fits(p, t) && memcmp(p, "GET ", 4) == 0)
		p += 3;
	while (scan_fits(p, t) && *p >= 'A' && *p <= 'Z')
		p++;
	method = (size_t)(p - t.start);
	if (!scan_fits(p, t) || *p != ' ' || method == 0 || method > METHOD_MAX)
		return NULL;
	stop = scan_word_end(++p, t);
	if (!stop || stop == p || t.end - stop < 11 || *stop != ' ' || !take_version(stop + 1, &ret->minor) ||
	    memcmp(stop + 9, "\r\n", 2) != 0)
		return NULL;
	ret->method = slice(t.start, method);
	ret->target = slice(p, (size_t)(stop - p));
	return stop + 11;
}

static __attribute__((noinline)) bool parse_request_line(struct slice line, struct http1_head *ret)
{
	size_t method = 0;

	while (method < line.len && method <= METHOD_MAX && is_token_char(line.p[method]))
		method++;
	if (method == 0 || method > METHOD_MAX || line.len < method + 11 || line.p[method] != ' ' ||
	    line.p[line.len - 9] != ' ' || !take_version(line.p + line.len - 8, &ret->minor))
		return false;
	ret->method = slice(line.p, method);
	ret->target = slice(line.p + method + 1, line.len - method - 10);
	return !scan_has_blank(ret->target);
}

/* By far the most common one. */
INLINE const uint8_t *take_status_line(struct text t, struct http1_head *ret)
{
	if (!scan_fits(t.start, t) || memcmp(t.start, "HTTP/1.1 200 OK\r", 16) != 0 || t.start[16] != '\n')
		return NULL;
	ret->minor = 1;
	ret->status = 200;
	return t.start + 17;
}

static bool parse_status_line(struct slice line, struct http1_head *ret)
{
	const uint8_t *p = line.p;

	if (line.len < 12 || !take_version(p, &ret->minor) || p[8] != ' ' || !http1_is_digit(p[9]) || !http1_is_digit(p[10]) ||
	    !http1_is_digit(p[11]) || (line.len > 12 && p[12] != ' '))
		return false;
	ret->status = (uint16_t)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
	return ret->status >= 100;
}

/* Where the first field is; 0, -EPROTO. */
INLINE long parse_start_line(struct text t, struct http1_head *ret)
{
	const uint8_t *next = ret->kind == HTTP1_REQUEST ? take_request_line(t, ret) : take_status_line(t, ret);
	struct line_end line;
	struct slice start;

	if (next)
		return next - t.start;
	line = scan_line(t.start, t);
	start = slice(t.start, (size_t)(line.stop - t.start));
	if (!line.next)
		return scan_problem(line, t);
	if (!(ret->kind == HTTP1_REQUEST ? parse_request_line(start, ret) : parse_status_line(start, ret)))
		return -EPROTO;
	return line.next - t.start;
}

/* ---- fields ---- */

/* The fields, as far as they are taken. */
struct walk {
	struct text t;
	const uint8_t *p; /* the next line */
};

/* value has its blanks still. False: -EPROTO. */
INLINE bool take_value(struct http1_head *head, unsigned field, struct slice value)
{
	if (field == HTTP1_UNKNOWN)
		return true;
	if (field == HTTP1_CONTENT_LENGTH)
		return http1_take_length(head, http1_trimmed(value.p, value.p + value.len));
	if (field >= HTTP1_N_KEPT)
		return http1_take_value(head, field, value);
	http1_keep(head, field, http1_trimmed(value.p, value.p + value.len));
	return true;
}

enum progress { TAKEN, NO_FIELD, UNFINISHED, BROKEN };

/* Why a line does not end. */
static enum progress progress_at(const struct walk *w, const struct http1_head *head, struct line_end line)
{
	return head->n_fields <= HTTP1_MAX_FIELDS && scan_problem(line, w->t) == 0 ? UNFINISHED : BROKEN;
}

/*
 * The next so many lines. What is wrong with a line is said when the line is complete, and a control character at once: whoever has
 * the head in pieces relies on that.
 */
INLINE enum progress take_lines(struct walk *w, unsigned max, struct http1_head *ret)
{
	for (; max > 0; max--) {
		struct slice name = slice(w->p, scan_name(w->p, w->t));
		struct line_end line;

		if (name.len == 0)
			return NO_FIELD;
		line = scan_line(w->p + name.len, w->t);
		if (!line.next)
			return progress_at(w, ret, line);
		w->p += name.len + 1;
		if (http1_may_be_known(name) &&
		    !take_value(ret, http1_known_field(name), slice(w->p, (size_t)(line.stop - w->p))))
			return BROKEN;
		w->p = line.next;
		ret->n_fields++;
	}
	return TAKEN;
}

INLINE bool is_next(const struct walk *w, const struct http1_memo *memo, const struct http1_run *run)
{
	return run->len <= (size_t)(w->t.end - w->p) && memcmp(w->p, memo->bytes + run->at, run->len) == 0;
}

/* All lines of a run at once: it is next. */
INLINE enum progress take_run(struct walk *w, const struct http1_memo *memo, const struct http1_run *run,
			      struct http1_head *ret)
{
	const uint8_t *base = w->p - run->at;
	struct line_end line;

	for (unsigned i = run->kept; i < run->kept_end; i++)
		http1_keep(ret, memo->kept[i].field, slice(base + memo->kept[i].at, memo->kept[i].len));
	ret->n_fields = (uint16_t)(ret->n_fields + run->lines);
	w->p += run->len;
	if (run->open == HTTP1_MEMO_CLOSED)
		return TAKEN;
	line = scan_line(w->p, w->t);
	if (!line.next)
		return progress_at(w, ret, line);
	if (!take_value(ret, run->open, slice(w->p, (size_t)(line.stop - w->p))))
		return BROKEN;
	w->p = line.next;
	ret->n_fields++;
	return TAKEN;
}

/* All fields. *ret_known: was what the memo told all there? */
INLINE enum progress take_fields(struct walk *w, struct http1_memo *memo, struct http1_head *ret, bool *ret_known)
{
	static const struct http1_run no_run = {.lines_before = HTTP1_MEMO_NO_RUN};
	const struct http1_run *run = memo && memo->n_runs > 0 ? memo->runs : &no_run;

	for (;;) {
		enum progress progress = take_lines(w, run->lines_before, ret);

		*ret_known = run != &no_run;
		if (progress != TAKEN)
			return progress;
		if (!is_next(w, memo, run)) {
			http1_memo_differs(memo, (unsigned)(run - memo->runs), slice(w->p, (size_t)(w->t.end - w->p)));
			run = &no_run;
			continue;
		}
		progress = take_run(w, memo, run, ret);
		if (progress != TAKEN)
			return progress;
		run++;
	}
}

/* ---- the head ---- */

/* Where no field begins at p: that is to be the blank line. */
static long finish(struct text t, const uint8_t *p, struct http1_head *ret)
{
	struct line_end line = {p, p + 2};

	if (t.end - p < 2 || memcmp(p, "\r\n", 2) != 0)
		line = scan_line(p, t);
	if (!line.next)
		return scan_problem(line, t);
	if (line.stop != p || ret->n_fields > HTTP1_MAX_FIELDS ||
	    (ret->coded && (!ret->chunked || ret->content_length >= 0 || ret->minor == 0)))
		return -EPROTO;
	ret->whole = slice(t.start, (size_t)(line.next - t.start));
	ret->blank = (size_t)(p - t.start);
	return (long)ret->whole.len;
}

/* What no start line and no end of the head sets. */
INLINE void clear(struct http1_head *ret, enum http1_kind kind)
{
	ret->kind = kind;
	memset(ret->n_kept, 0, sizeof(ret->n_kept));
	ret->content_length = -1;
	ret->n_fields = 0;
	ret->coded = ret->chunked = ret->signs_context = false;
}

INLINE long parse_text(struct text t, struct http1_memo *memo, struct http1_head *ret)
{
	struct walk w = {t, t.start};
	enum progress progress;
	bool known;
	long len = parse_start_line(t, ret);

	if (len <= 0)
		return len;
	w.p += len;
	progress = take_fields(&w, memo, ret, &known);
	if (progress != NO_FIELD)
		return progress == UNFINISHED ? 0 : -EPROTO;
	len = finish(t, w.p, ret);
	if (memo && len > 0)
		http1_memo_served(memo, ret, known);
	return len;
}

long http1_parse_head(struct slice in, enum http1_kind kind, struct http1_memo *memo, struct http1_head *ret)
{
	struct text t = text_of(slice(in.p, in.len < HTTP1_MAX_HEAD ? in.len : HTTP1_MAX_HEAD));
	long len;

	clear(ret, kind);
	len = parse_text(t, memo, ret);
	return len == 0 && t.end - t.start == HTTP1_MAX_HEAD ? -EPROTO : len;
}

/* The head has been parsed: a line ends at its LF, and a name at the first colon. */
bool http1_next_field(const struct http1_head *head, size_t *cursor, struct slice *ret_name, struct slice *ret_value)
{
	const uint8_t *p = head->whole.p, *blank = p + head->blank, *stop, *colon;

	if (*cursor == 0)
		*cursor = (size_t)((const uint8_t *)memchr(p, '\n', head->whole.len) + 1 - p);
	p += *cursor;
	if (p >= blank)
		return false;
	stop = memchr(p, '\n', (size_t)(blank - p));
	colon = memchr(p, ':', (size_t)(stop - p));
	*cursor = (size_t)(stop + 1 - head->whole.p);
	*ret_name = slice(p, (size_t)(colon - p));
	*ret_value = http1_trimmed(colon + 1, stop);
	return true;
}

int http1_detect(struct slice in)
{
	size_t i = 0;

	while (i < in.len && i <= METHOD_MAX && is_token_char(in.p[i]))
		i++;
	if (i == in.len)
		return i <= METHOD_MAX ? 0 : -1;
	return i > 0 && i <= METHOD_MAX && in.p[i] == ' ' ? 1 : -1;
}
