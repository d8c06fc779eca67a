/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/span.h"

#include "shim/config.h"

#define TEXT_MAX 2048 /* a longer text would crowd out the rest of the record */
#define KEY_MAX 128

static struct {
	uint32_t attributes, links;
	size_t text;  /* characters */
	size_t whole; /* a text of so many bytes needs no cutting */
} limits = {128, 128, TEXT_MAX, TEXT_MAX};

void span_start(void)
{
	int64_t count = config.span_attr_count_limit >= 0 ? config.span_attr_count_limit : config.attr_count_limit;
	int64_t text = config.span_attr_value_length_limit >= 0 ? config.span_attr_value_length_limit
								 : config.attr_value_length_limit;

	limits.attributes = (uint32_t)count;
	limits.links = (uint32_t)config.span_link_count_limit;
	limits.text = text >= 0 ? (size_t)text : SIZE_MAX;
	limits.whole = limits.text < TEXT_MAX ? limits.text : TEXT_MAX;
}

void span_open(struct exchange *e, enum span_kind kind)
{
	record_begin(&e->record, e->record_memory, sizeof(e->record_memory));
	e->record.record->kind = (uint8_t)kind;
	e->n_attributes = 0;
	e->n_links = 0;
}

/* The first n characters, n as the limit says, and not more bytes than a record bears. */
static __attribute__((noinline)) size_t cut_text(struct slice text)
{
	size_t characters = 0, i = 0;

	while (i < text.len && characters < limits.text) {
		size_t width = 1;

		while (i + width < text.len && (text.p[i + width] & 0xc0) == 0x80)
			width++;
		if (i + width > TEXT_MAX)
			break;
		i += width;
		characters++;
	}
	return i;
}

static size_t cut(struct slice text)
{
	return text.len <= limits.whole ? text.len : cut_text(text);
}

static bool may_add(struct exchange *e)
{
	if (!e->recorded)
		return false;
	if (e->n_attributes < limits.attributes) {
		e->n_attributes++;
		return true;
	}
	e->record.record->dropped_attrs++;
	return false;
}

void span_name(struct exchange *e, struct slice a, struct slice b)
{
	uint8_t name[256];
	size_t n = a.len < 64 ? a.len : 64;

	if (!e->recorded)
		return;
	memcpy(name, a.p, n);
	if (b.len > 0) {
		size_t m = b.len < sizeof(name) - n - 1 ? b.len : sizeof(name) - n - 1;

		name[n++] = ' ';
		memcpy(name + n, b.p, m);
		n += m;
	}
	record_add(&e->record, ITEM_NAME, 0, name, n);
}

void span_string(struct exchange *e, enum attr key, struct slice value)
{
	if (value.p && may_add(e))
		record_add_string(&e->record, key, (const char *)value.p, cut(value));
}

void span_int(struct exchange *e, enum attr key, int64_t value)
{
	if (may_add(e))
		record_add_int(&e->record, key, value);
}

void span_named(struct exchange *e, const char *prefix, struct slice key, struct slice value)
{
	char full[KEY_MAX];
	size_t n = strlen(prefix);

	if (key.len > sizeof(full) - n || !may_add(e))
		return;
	memcpy(full, prefix, n);
	for (size_t i = 0; i < key.len; i++)
		full[n + i] = (char)ascii_lower(key.p[i]);
	record_add_named(&e->record, full, n + key.len, (const char *)value.p, cut(value));
}

void span_link(struct exchange *e, const struct context *linked)
{
	if (e->recorded && e->n_links < limits.links) {
		e->n_links++;
		record_add_link(&e->record, linked);
	}
}

void span_tracestate(struct exchange *e)
{
	if (e->recorded && e->tracestate_len > 0)
		record_add(&e->record, ITEM_TRACESTATE, 0, e->tracestate, e->tracestate_len);
}

static const char *const evidence_texts[EVIDENCE_N] = {
	[EVIDENCE_ROOT] = "root",	  [EVIDENCE_REMOTE] = "remote",	    [EVIDENCE_STAMP] = "stamp",
	[EVIDENCE_RUNTIME] = "runtime",	  [EVIDENCE_WORK_ITEM] = "work_item", [EVIDENCE_STIMULUS] = "stimulus",
	[EVIDENCE_THREAD] = "thread",	  [EVIDENCE_OPENER] = "opener",	    [EVIDENCE_CONTENT] = "content",
	[EVIDENCE_AMBIGUOUS] = "ambiguous",
};

void span_parent(struct exchange *e, const struct context *parent, enum evidence evidence)
{
	struct record *r = e->record.record;

	if (!e->recorded)
		return;
	memcpy(r->trace_id, e->context.trace_id, 16);
	memcpy(r->span_id, e->context.span_id, 8);
	r->flags = e->context.flags;
	r->evidence = (uint8_t)evidence;
	if (parent) {
		memcpy(r->parent_id, parent->span_id, 8);
		r->parent_remote = parent->remote;
	}
	if (config.evidence)
		span_string(e, ATTR_INTERSPAN_PARENT_EVIDENCE,
			    slice(evidence_texts[evidence], strlen(evidence_texts[evidence])));
}
