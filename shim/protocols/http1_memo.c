/* SPDX-License-Identifier: Apache-2.0 */
/* How a memo comes to hold what heads have in common: rarely run, and plain. Its use is in http1_head.c. */
#include "shim/protocols/http1_memo.h"

#include <stdatomic.h>

#include "shim/protocols/http1_field.h"

/* Where kinds alternate so that none is seen twice, making memos is for nothing: one that was of no use doubles the patience. */
#define PATIENCE_MIN 3
#define PATIENCE_MAX 96

/* What a run of [at, at + len) holds. */
static struct http1_run run_of(const struct http1_memo *memo, size_t at, size_t len, unsigned open)
{
	struct http1_run run = {.at = (uint16_t)at, .len = (uint16_t)len, .open = (uint8_t)open};

	for (size_t i = at; i < at + len; i++)
		run.lines = (uint16_t)(run.lines + (memo->bytes[i] == '\n'));
	for (unsigned i = 0; i < memo->n_kept; i++) {
		if (memo->kept[i].at < at)
			run.kept = run.kept_end = (uint8_t)(i + 1);
		else if (memo->kept[i].at < at + len)
			run.kept_end = (uint8_t)(i + 1);
	}
	return run;
}

/* Runs are put behind one another; the lines of one that is too short, or one too many, are to be parsed before the next. */
struct list {
	struct http1_run runs[HTTP1_MEMO_RUNS];
	unsigned n, lines;
};

static void put(struct list *list, struct http1_run run)
{
	if (run.len >= HTTP1_MEMO_RUN_MIN && list->n < HTTP1_MEMO_RUNS) {
		run.lines_before = (uint16_t)list->lines;
		list->runs[list->n++] = run;
		list->lines = 0;
	} else {
		list->lines += run.lines + (run.open != HTTP1_MEMO_CLOSED ? 1u : 0u);
	}
}

/* While the memo is changed, it holds nothing. */
static void close_memo(struct http1_memo *memo)
{
	memo->n_runs = 0;
	atomic_signal_fence(memory_order_seq_cst);
}

static void open_memo(struct http1_memo *memo, const struct list *list)
{
	memcpy(memo->runs, list->runs, sizeof(list->runs));
	memo->runs[list->n] = (struct http1_run){.lines_before = HTTP1_MEMO_NO_RUN};
	atomic_signal_fence(memory_order_seq_cst);
	memo->n_runs = (uint8_t)list->n;
}

/* ---- a value that varies ---- */

/* What run i falls into: a run, so many lines to be parsed, another run. */
static void split(struct http1_memo *memo, unsigned i, struct http1_run before, unsigned lines, struct http1_run behind)
{
	struct list list = {.n = 0};

	for (unsigned k = 0; k < memo->n_runs; k++) {
		list.lines += memo->runs[k].lines_before;
		if (k != i) {
			put(&list, memo->runs[k]);
			continue;
		}
		put(&list, before);
		list.lines += lines;
		put(&list, behind);
	}
	close_memo(memo);
	open_memo(memo, &list);
	memo->misses = 0; /* it has learnt */
}

/* Either stands in one place, from one head to the next. */
static bool is_framing(unsigned field)
{
	return field == HTTP1_CONTENT_LENGTH || field == HTTP1_TRANSFER_ENCODING;
}

/* Of len bytes, how many are the same? */
static size_t common(const uint8_t *a, const uint8_t *b, size_t len)
{
	size_t n = 0;

	for (uint64_t x, y; n + 8 <= len; n += 8) {
		memcpy(&x, a + n, 8);
		memcpy(&y, b + n, 8);
		if (x != y)
			break;
	}
	while (n < len && a[n] == b[n])
		n++;
	return n;
}

void http1_memo_differs(struct http1_memo *memo, unsigned i, struct slice text)
{
	const struct http1_run run = memo->runs[i];
	const uint8_t *begin = memo->bytes + run.at, *end = begin + run.len, *p = begin, *line, *colon, *next;

	p += common(p, text.p, run.len < text.len ? run.len : text.len);
	if (p == end || (size_t)(p - begin) == text.len)
		return; /* the head ends here */
	for (line = p; line > begin && line[-1] != '\n'; line--)
		;
	colon = memchr(line, ':', (size_t)(p - line));
	next = memchr(p, '\n', (size_t)(end - p));
	if (colon && next) {
		size_t value = (size_t)(colon + 1 - memo->bytes), rest = (size_t)(next + 1 - memo->bytes);

		split(memo, i, run_of(memo, run.at, value - run.at, http1_known_field(slice(line, (size_t)(colon - line)))), 0,
		      run_of(memo, rest, (size_t)(end - next) - 1, run.open));
	} else if (!next && is_framing(run.open)) {
		split(memo, i, run_of(memo, run.at, (size_t)(line - begin), HTTP1_MEMO_CLOSED), 1,
		      run_of(memo, run.at, 0, HTTP1_MEMO_CLOSED));
	}
	/* Else another field stands here: this head is of another kind. */
}

/* ---- a memo made anew ---- */

struct learning {
	struct http1_memo *memo;
	struct list list;
	size_t begin, used; /* of the run under way: where it begins, and where bytes are free */
};

static void end_run(struct learning *l, unsigned open)
{
	put(&l->list, run_of(l->memo, l->begin, l->used - l->begin, open));
	l->begin = l->used;
}

static void copy(struct learning *l, const uint8_t *from, size_t len)
{
	memcpy(l->memo->bytes + l->used, from, len);
	l->used += len;
}

/* Does the value, with its line, go into a run? An empty one has no place that is known. */
static bool is_worth_keeping(const struct learning *l, enum http1_known field, struct slice line, struct slice value)
{
	if (field == HTTP1_UNKNOWN)
		return line.len <= HTTP1_MEMO_BYTES - l->used;
	return (unsigned)field < HTTP1_N_KEPT && field != (enum http1_known)HTTP1_TRACEPARENT && value.len > 0 &&
	       l->memo->n_kept < HTTP1_MEMO_KEPT && line.len <= HTTP1_MEMO_BYTES - l->used;
}

static void learn_line(struct learning *l, struct slice line, struct slice name, struct slice value)
{
	enum http1_known field = http1_known_field(name);
	struct http1_memo *memo = l->memo;

	if (is_worth_keeping(l, field, line, value)) {
		if (field != HTTP1_UNKNOWN)
			memo->kept[memo->n_kept++] = (struct http1_memo_value){
				(uint16_t)(l->used + (size_t)(value.p - line.p)), (uint16_t)value.len, field};
		copy(l, line.p, line.len);
	} else if (name.len < HTTP1_MEMO_BYTES - l->used) {
		copy(l, name.p, name.len + 1);
		end_run(l, field);
	} else {
		end_run(l, HTTP1_MEMO_CLOSED);
		l->list.lines++;
	}
}

static void learn(struct http1_memo *memo, const struct http1_head *head)
{
	struct learning l = {.memo = memo};
	struct slice name, value;
	size_t cursor = 0;

	close_memo(memo);
	memo->patience = memo->useful || memo->patience == 0	? PATIENCE_MIN
			 : memo->patience < PATIENCE_MAX / 2 ? (uint8_t)(memo->patience * 2)
							      : PATIENCE_MAX;
	memo->misses = memo->n_kept = 0;
	memo->useful = false;
	while (http1_next_field(head, &cursor, &name, &value))
		learn_line(&l, slice(name.p, (size_t)(head->whole.p + cursor - name.p)), name, value);
	end_run(&l, HTTP1_MEMO_CLOSED);
	open_memo(memo, &l.list);
}

void http1_memo_missed(struct http1_memo *memo, const struct http1_head *head)
{
	if (++memo->misses >= (memo->patience ? memo->patience : PATIENCE_MIN))
		learn(memo, head);
}
