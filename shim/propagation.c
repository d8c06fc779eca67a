/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/propagation.h"

#include "shim/config.h"
#include "shim/ids.h"
#include "shim/protocols/tracecontext.h"

static unsigned formats;

const char *propagation_start(void)
{
	static const struct {
		const char *name;
		unsigned format;
	} known[] = {
		{"tracecontext", PROPAGATE_TRACECONTEXT}, {"baggage", PROPAGATE_BAGGAGE}, {"b3", PROPAGATE_B3},
		{"b3multi", PROPAGATE_B3MULTI},		  {"none", 0},
	};
	const char *cursor = config.propagators, *item, *problem = NULL;
	uint32_t len;

	formats = 0;
	while (config_next(&cursor, &item, &len)) {
		bool found = false;

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
			if (!slice_is_nocase(slice(item, len), known[i].name, strlen(known[i].name)))
				continue;
			formats |= known[i].format;
			found = true;
		}
		if (!found)
			problem = "OTEL_PROPAGATORS names a format we do not have; it is not used";
	}
	return problem;
}

bool propagation_has(unsigned format)
{
	return formats & format;
}

/* ---- in ---- */

static void adopt(struct context *ret, const struct trace_parent *p)
{
	*ret = (struct context){.flags = p->flags, .remote = true};
	memcpy(ret->trace_id, p->trace_id, 16);
	memcpy(ret->span_id, p->span_id, 8);
}

bool propagation_traceparent(const struct http1_head *head, struct context *ret)
{
	struct trace_parent p;

	if (head->n_kept[HTTP1_TRACEPARENT] != 1 || !traceparent_parse(http1_kept(head, HTTP1_TRACEPARENT), &p))
		return false;
	adopt(ret, &p);
	return true;
}

/* By its digits alone: whoever has read the flag there asks ids.c the rest. */
static bool has_minted_flag(struct slice value)
{
	return value.p && value.len == TRACEPARENT_LEN && value.p[53] == '8';
}

bool propagation_is_minted(const struct http1_head *head)
{
	struct context named;
	struct handle unused;

	return head->n_kept[HTTP1_TRACEPARENT] == 1 && has_minted_flag(head->kept_values[HTTP1_TRACEPARENT]) &&
	       propagation_traceparent(head, &named) && ids_recognise(named.span_id, &unused) == IDS_OURS;
}

static bool extract_b3(const struct http1_head *head, struct context *ret)
{
	struct trace_parent p = {0};
	bool only_state = false;

	if (http1_kept(head, HTTP1_B3).p && b3_parse(http1_kept(head, HTTP1_B3), &p, &only_state) && !only_state) {
		adopt(ret, &p);
		return true;
	}
	if (!b3_parse_multi(http1_kept(head, HTTP1_X_B3_TRACEID), http1_kept(head, HTTP1_X_B3_SPANID),
			    http1_kept(head, HTTP1_X_B3_SAMPLED), http1_kept(head, HTTP1_X_B3_FLAGS), &p))
		return false;
	adopt(ret, &p);
	return true;
}

bool propagation_extract(const struct http1_head *head, struct context *ret)
{
	if (propagation_has(PROPAGATE_TRACECONTEXT) && propagation_traceparent(head, ret))
		return true;
	return propagation_has(PROPAGATE_B3 | PROPAGATE_B3MULTI) && extract_b3(head, ret);
}

void propagation_keep(struct exchange *e, const struct http1_head *head)
{
	struct slice state = http1_kept(head, HTTP1_TRACESTATE), baggage = http1_kept(head, HTTP1_BAGGAGE);

	/* A tracestate means nothing without its traceparent; several fields would have to be joined: left to the program. */
	if (propagation_has(PROPAGATE_TRACECONTEXT) && state.p && state.len > 0 && state.len <= sizeof(e->tracestate) &&
	    head->n_kept[HTTP1_TRACESTATE] == 1 && context_is_valid(&e->incoming) && tracestate_is_valid(state)) {
		memcpy(e->tracestate, state.p, state.len);
		e->tracestate_len = (uint16_t)state.len;
	}
	if (propagation_has(PROPAGATE_BAGGAGE) && baggage.p && baggage.len > 0 && baggage.len <= sizeof(e->baggage) &&
	    head->n_kept[HTTP1_BAGGAGE] == 1 && baggage_is_valid(baggage)) {
		memcpy(e->baggage, baggage.p, baggage.len);
		e->baggage_len = (uint16_t)baggage.len;
	}
}

/* ---- out ---- */

struct editor {
	const struct http1_head *head;
	struct edit *edits;
	unsigned n;
	uint8_t *text;
	uint32_t used;
};

/* Is there room for a value in place of the one that the head has? Where: NULL, no. */
static uint8_t *place_to_replace(struct editor *ed, enum http1_field field, uint32_t len)
{
	struct slice old = http1_kept(ed->head, field);
	uint8_t *at = ed->text + ed->used;

	if (ed->head->n_kept[field] != 1 || ed->n >= EDITS_MAX - 1 || ed->used + len > EDIT_TEXT_MAX)
		return NULL;
	ed->edits[ed->n++] =
		(struct edit){(uint32_t)(old.p - ed->head->whole.p), (uint32_t)old.len, at, len};
	ed->used += len;
	return at;
}

/* The same in a line of its own, name and end of line written. */
static uint8_t *place_in_line(struct editor *ed, struct slice name, uint32_t len)
{
	uint8_t *at = ed->text + ed->used;

	if (ed->used + name.len + len + 4 > EDIT_TEXT_MAX)
		return NULL;
	memcpy(at, name.p, name.len);
	at += name.len;
	memcpy(at, ": ", 2);
	memcpy(at + 2 + len, "\r\n", 2);
	ed->used += (uint32_t)name.len + len + 4;
	return at + 2;
}

#define NAME(s) slice(s, sizeof(s) - 1)

static void add_line(struct editor *ed, struct slice name, enum http1_field field, const char *value, uint32_t len)
{
	uint8_t *at = http1_kept(ed->head, field).p ? NULL : place_in_line(ed, name, len);

	if (at)
		memcpy(at, value, len);
}

/* B3's fields, which few use: each is rewritten where it is, or gets a line. */
static __attribute__((noinline)) void put_b3(struct editor *ed, const struct context *c, bool in_lines)
{
	bool sampled = c->flags & TRACE_FLAG_SAMPLED;
	char trace[32], span[16];
	uint8_t whole[B3_LEN];
	const struct {
		bool wanted;
		enum http1_field field;
		struct slice name, value;
	} fields[] = {
		{propagation_has(PROPAGATE_B3), HTTP1_B3, NAME("b3"), slice(whole, B3_LEN)},
		{propagation_has(PROPAGATE_B3MULTI), HTTP1_X_B3_TRACEID, NAME("x-b3-traceid"), slice(trace, 32)},
		{propagation_has(PROPAGATE_B3MULTI), HTTP1_X_B3_SPANID, NAME("x-b3-spanid"), slice(span, 16)},
		{propagation_has(PROPAGATE_B3MULTI), HTTP1_X_B3_SAMPLED, NAME("x-b3-sampled"), slice(sampled ? "1" : "0", 1)},
	};

	b3_format(whole, c->trace_id, c->span_id, sampled, false);
	hex_format(trace, c->trace_id, 16);
	hex_format(span, c->span_id, 8);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		uint32_t len = (uint32_t)fields[i].value.len;
		uint8_t *at;

		if (!fields[i].wanted || (http1_kept(ed->head, fields[i].field).p != NULL) == in_lines)
			continue;
		at = in_lines ? place_in_line(ed, fields[i].name, len) : place_to_replace(ed, fields[i].field, len);
		if (at)
			memcpy(at, fields[i].value.p, len);
	}
}

/* The whole line of a field, its end included. */
static void take_out(struct editor *ed, enum http1_field field)
{
	struct slice value = ed->head->kept_values[field];
	const uint8_t *head = ed->head->whole.p, *from = value.p;
	const uint8_t *to = value.p + value.len, *end = head + ed->head->whole.len;

	while (from > head && from[-1] != '\n')
		from--;
	while (to < end && to[-1] != '\n')
		to++;
	ed->edits[ed->n++] = (struct edit){(uint32_t)(from - head), (uint32_t)(to - from), from, 0};
}

unsigned propagation_clean(const struct http1_head *head, struct edit edits[EDITS_MAX])
{
	struct editor ed = {.head = head, .edits = edits};

	take_out(&ed, HTTP1_TRACEPARENT);
	return ed.n;
}

static void sort_by_position(struct edit *edits, unsigned n)
{
	for (unsigned i = 1; i < n; i++) {
		for (unsigned j = i; j > 0 && edits[j].pos < edits[j - 1].pos; j--) {
			struct edit swap = edits[j];

			edits[j] = edits[j - 1];
			edits[j - 1] = swap;
		}
	}
}

/* What the head has already of ours is rewritten where it is. */
static void rewrite(struct editor *ed, const struct context *c)
{
	uint8_t *at = NULL;

	if (propagation_has(PROPAGATE_TRACECONTEXT) && http1_kept(ed->head, HTTP1_TRACEPARENT).p)
		at = place_to_replace(ed, HTTP1_TRACEPARENT, TRACEPARENT_LEN);
	if (at)
		traceparent_format(at, c->trace_id, c->span_id, c->flags);
	if (propagation_has(PROPAGATE_B3 | PROPAGATE_B3MULTI))
		put_b3(ed, c, false);
	if (!propagation_has(PROPAGATE_TRACECONTEXT) && propagation_is_minted(ed->head))
		take_out(ed, HTTP1_TRACEPARENT);
}

/* What it has not gets lines. */
static void insert(struct editor *ed, const struct exchange *e)
{
	const struct context *c = &e->context;
	uint8_t *at = NULL;

	if (propagation_has(PROPAGATE_TRACECONTEXT) && !http1_kept(ed->head, HTTP1_TRACEPARENT).p)
		at = place_in_line(ed, NAME("traceparent"), TRACEPARENT_LEN);
	if (at)
		traceparent_format(at, c->trace_id, c->span_id, c->flags);
	if (propagation_has(PROPAGATE_TRACECONTEXT) && e->tracestate_len)
		add_line(ed, NAME("tracestate"), HTTP1_TRACESTATE, e->tracestate, e->tracestate_len);
	if (propagation_has(PROPAGATE_BAGGAGE) && e->baggage_len)
		add_line(ed, NAME("baggage"), HTTP1_BAGGAGE, e->baggage, e->baggage_len);
	if (propagation_has(PROPAGATE_B3 | PROPAGATE_B3MULTI))
		put_b3(ed, c, true);
}

unsigned propagation_edits(const struct exchange *e, const struct http1_head *head, struct edit edits[EDITS_MAX],
			   uint8_t text[EDIT_TEXT_MAX])
{
	struct editor ed = {.head = head, .edits = edits, .text = text};
	uint32_t begin;

	rewrite(&ed, &e->context);
	begin = ed.used;
	insert(&ed, e);
	if (ed.used > begin)
		edits[ed.n++] = (struct edit){(uint32_t)head->blank, 0, text + begin, ed.used - begin};
	if (ed.n > 1)
		sort_by_position(edits, ed.n);
	return ed.n;
}
