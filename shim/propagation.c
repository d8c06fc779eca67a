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

static void put(struct editor *ed, const void *bytes, size_t len)
{
	memcpy(ed->text + ed->used, bytes, len);
	ed->used += (uint32_t)len;
}

/* Replace the value of a field that is there. */
static void replace(struct editor *ed, enum http1_field field, const uint8_t *value, uint32_t len)
{
	struct slice old = http1_kept(ed->head, field);
	uint8_t *at = ed->text + ed->used;

	if (ed->head->n_kept[field] != 1 || ed->n >= EDITS_MAX - 1 || ed->used + len > EDIT_TEXT_MAX)
		return;
	put(ed, value, len);
	ed->edits[ed->n++] =
		(struct edit){(uint32_t)(old.p - ed->head->whole.p), (uint32_t)old.len, at, len};
}

struct line {
	const char *name;
	enum http1_field field;
	const uint8_t *value;
	uint32_t len;
	bool replaces; /* an existing field is rewritten; otherwise it is left alone */
};

static void add_line(struct editor *ed, const struct line *line)
{
	size_t name = strlen(line->name);

	if (ed->used + name + line->len + 4 > EDIT_TEXT_MAX)
		return;
	put(ed, line->name, name);
	put(ed, ": ", 2);
	put(ed, line->value, line->len);
	put(ed, "\r\n", 2);
}

static unsigned lines_for(const struct exchange *e, uint8_t (*v)[64], struct line *lines)
{
	const struct context *c = &e->context;
	bool sampled = c->flags & TRACE_FLAG_SAMPLED;
	unsigned n = 0;

	if (propagation_has(PROPAGATE_TRACECONTEXT)) {
		traceparent_format(v[0], c->trace_id, c->span_id, c->flags);
		lines[n++] = (struct line){"traceparent", HTTP1_TRACEPARENT, v[0], TRACEPARENT_LEN, true};
		if (e->tracestate_len)
			lines[n++] = (struct line){"tracestate", HTTP1_TRACESTATE, (const uint8_t *)e->tracestate,
						   e->tracestate_len, false};
	}
	if (propagation_has(PROPAGATE_BAGGAGE) && e->baggage_len)
		lines[n++] = (struct line){"baggage", HTTP1_BAGGAGE, (const uint8_t *)e->baggage, e->baggage_len, false};
	if (propagation_has(PROPAGATE_B3)) {
		b3_format(v[1], c->trace_id, c->span_id, sampled, false);
		lines[n++] = (struct line){"b3", HTTP1_B3, v[1], B3_LEN, true};
	}
	if (propagation_has(PROPAGATE_B3MULTI)) {
		hex_format((char *)v[2], c->trace_id, 16);
		hex_format((char *)v[3], c->span_id, 8);
		v[4][0] = sampled ? '1' : '0';
		lines[n++] = (struct line){"x-b3-traceid", HTTP1_X_B3_TRACEID, v[2], 32, true};
		lines[n++] = (struct line){"x-b3-spanid", HTTP1_X_B3_SPANID, v[3], 16, true};
		lines[n++] = (struct line){"x-b3-sampled", HTTP1_X_B3_SAMPLED, v[4], 1, true};
	}
	return n;
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

unsigned propagation_edits(const struct exchange *e, const struct http1_head *head, struct edit edits[EDITS_MAX],
			   uint8_t text[EDIT_TEXT_MAX])
{
	struct editor ed = {.head = head, .edits = edits, .text = text};
	uint8_t values[5][64];
	struct line lines[8];
	unsigned n_lines = lines_for(e, values, lines);
	uint32_t begin;

	for (unsigned i = 0; i < n_lines; i++)
		if (lines[i].replaces && http1_kept(head, lines[i].field).p)
			replace(&ed, lines[i].field, lines[i].value, lines[i].len);
	if (!propagation_has(PROPAGATE_TRACECONTEXT) && propagation_is_minted(head))
		take_out(&ed, HTTP1_TRACEPARENT);
	begin = ed.used;
	for (unsigned i = 0; i < n_lines; i++)
		if (!http1_kept(head, lines[i].field).p)
			add_line(&ed, &lines[i]);
	if (ed.used > begin)
		edits[ed.n++] = (struct edit){(uint32_t)head->blank, 0, text + begin, ed.used - begin};
	sort_by_position(edits, ed.n);
	return ed.n;
}
