/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/forwarder.h"

#include <stdatomic.h>

#include "shim/config.h"

#define HITS_NEEDED 8      /* heads that reappeared whole before we believe it */
#define MISSES_ALLOWED 200 /* heads that did not, before we stop looking */
#define UNRETURNED_ALLOWED 64 /* requests with an inserted stamp that ended, without a single stamp coming back */
#define RETURNS_NEEDED 8
#define SILENCE_MAX 1000   /* requests read since a head was last sent, before we rest until the next one is */
#define SCAN_MAX 512
#define OUTGOING_MAX 48

static enum { STAMP_OFF, STAMP_REWRITE, STAMP_INSERT, STAMP_AUTO } mode = STAMP_AUTO; /* written by forwarder_start() only */
static _Atomic unsigned hits, misses, unreturned, returned, silence;
_Atomic bool forwarder_rests;

void forwarder_start(void)
{
	mode = config_is(config.stamp, "off")	    ? STAMP_OFF
	       : config_is(config.stamp, "auto")    ? STAMP_AUTO
	       : config_is(config.stamp, "insert") ? STAMP_INSERT
						    : STAMP_REWRITE;
}

bool forwarder_is_one(void)
{
	return atomic_load_explicit(&hits, memory_order_relaxed) >= HITS_NEEDED;
}

static bool is_decided(void)
{
	return forwarder_is_one() || atomic_load_explicit(&misses, memory_order_relaxed) >= MISSES_ALLOWED;
}

/*
 * Is a request that arrives now worth a look? A server that asks nobody is none of a forwarder's; and of one that is, as long as
 * its stamps do not say more.
 */
static bool is_watching(void)
{
	if (forwarder_is_one())
		return !forwarder_returns_stamps();
	return !is_decided() && atomic_load(&silence) < SILENCE_MAX;
}

/* Another thread may send a head just now, which ends the rest: who comes second sees what the first has done. */
static void rest(void)
{
	atomic_store(&forwarder_rests, true);
	if (is_watching())
		atomic_store(&forwarder_rests, false);
}

static bool starts_with(struct slice name, const char *prefix, size_t len)
{
	return name.len >= len && slice_is_nocase(slice(name.p, len), prefix, len);
}

/* Fields that belong to one hop, or that proxies are known to change. */
static bool is_hop_field(struct slice name)
{
	static const char *const names[] = {
		"host",	 "connection", "keep-alive", "te",     "trailer",	"transfer-encoding", "upgrade",
		"content-length", "expect",	"accept-encoding", "via", "forwarded",	"max-forwards",
		"traceparent", "tracestate", "range", "cache-control", "pragma", "cookie", "authorization", "date",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (slice_is_nocase(name, names[i], strlen(names[i])))
			return true;
	return starts_with(name, "proxy-", 6) || starts_with(name, "x-forwarded-", 12) || starts_with(name, "if-", 3) ||
	       starts_with(name, "x-real-ip", 9) || starts_with(name, "x-varnish", 9);
}

static uint32_t hash_bytes(uint32_t h, struct slice s, bool fold)
{
	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (fold ? ascii_lower(s.p[i]) : s.p[i])) * 16777619u; /* FNV-1a */
	return h;
}

static uint32_t hash_field(struct slice name, struct slice value)
{
	return hash_bytes(hash_bytes(2166136261u, name, true) * 31u, value, false);
}

static uint8_t hash_fields(const struct http1_head *head, uint32_t *ret, uint8_t max)
{
	struct slice name, value;
	size_t cursor = 0;
	uint8_t n = 0;

	while (n < max && http1_next_field(head, &cursor, &name, &value))
		if (value.len > 0 && !is_hop_field(name))
			ret[n++] = hash_field(name, value);
	return n;
}

void forwarder_look(struct exchange *server, const struct http1_head *head)
{
	if (!is_watching() && !config.content_rule) {
		rest();
		return;
	}
	if (!forwarder_is_one())
		atomic_fetch_add_explicit(&silence, 1, memory_order_relaxed);
	server->noted = true;
	server->n_fields = hash_fields(head, server->fields, EXCHANGE_FIELDS);
	if (config.content_rule)
		server->content_hash = forwarder_content_hash(head);
}

EXCHANGE_GLIMPSE static bool reappears(const struct exchange *e, const uint32_t *out, uint8_t n)
{
	for (uint8_t i = 0; i < e->n_fields; i++) {
		uint8_t j = 0;

		while (j < n && out[j] != e->fields[i])
			j++;
		if (j == n)
			return false;
	}
	return e->n_fields > 0;
}

/* In any open exchange. *ret_noted: there were some to compare with. */
EXCHANGE_GLIMPSE static bool any_reappears(const uint32_t *out, uint8_t n, bool *ret_noted)
{
	uint32_t last = exchange_high_water();

	for (uint32_t slot = 1; slot <= last && slot <= SCAN_MAX; slot++) {
		const struct exchange *e = exchange_at(slot);

		if (!exchange_open_generation(slot) || e->role != EXCHANGE_SERVER || !e->noted)
			continue;
		*ret_noted = true;
		if (reappears(e, out, n))
			return true;
	}
	return false;
}

EXCHANGE_GLIMPSE struct handle forwarder_only_match(const struct http1_head *head)
{
	uint32_t last = exchange_high_water(), out[OUTGOING_MAX];
	struct handle found = HANDLE_NONE;
	uint8_t n;

	if (!forwarder_is_one() || last > SCAN_MAX)
		return HANDLE_NONE;
	n = hash_fields(head, out, OUTGOING_MAX);
	for (uint32_t slot = 1; slot <= last; slot++) {
		const struct exchange *e = exchange_at(slot);
		uint32_t open = exchange_open_generation(slot);

		if (!open || e->role != EXCHANGE_SERVER)
			continue;
		if (!e->noted)
			return HANDLE_NONE;
		if (!reappears(e, out, n))
			continue;
		if (!handle_is_none(found))
			return HANDLE_NONE;
		found = (struct handle){slot, open - 1};
	}
	return found;
}

#define UNASKED 64

static _Atomic uint32_t unasked[UNASKED]; /* by hash; a collision only makes the rule quieter */

static void note_unasked(uint32_t hash)
{
	atomic_store_explicit(&unasked[hash % UNASKED], hash, memory_order_relaxed);
}

bool forwarder_sent_unasked(uint32_t hash)
{
	return atomic_load_explicit(&unasked[hash % UNASKED], memory_order_relaxed) == hash;
}

uint32_t forwarder_content_hash(const struct http1_head *head)
{
	uint32_t h = hash_bytes(hash_bytes(2166136261u, head->method, false) * 31u, head->target, false);

	h = hash_bytes(h * 31u, http1_kept(head, HTTP1_HOST), true);
	return h ? h : 1;
}

bool forwarder_matches(const struct exchange *e, const struct http1_head *head)
{
	uint32_t out[OUTGOING_MAX];

	return reappears(e, out, hash_fields(head, out, OUTGOING_MAX));
}

void forwarder_observe(const struct exchange *server, const struct http1_head *head)
{
	uint32_t out[OUTGOING_MAX];
	bool noted = false;
	uint8_t n;

	if (config.content_rule && exchange_open_count() == 0)
		note_unasked(forwarder_content_hash(head));
	if (is_decided() || exchange_open_count() == 0)
		return;
	atomic_store(&silence, 0);
	atomic_store(&forwarder_rests, false);
	n = hash_fields(head, out, OUTGOING_MAX);
	if ((server && reappears(server, out, n)) || any_reappears(out, n, &noted))
		atomic_fetch_add_explicit(&hits, 1, memory_order_relaxed);
	else if (noted)
		atomic_fetch_add_explicit(&misses, 1, memory_order_relaxed);
}

bool forwarder_may_insert(void)
{
	if (mode == STAMP_INSERT)
		return true;
	return mode == STAMP_AUTO && forwarder_is_one() &&
	       (atomic_load_explicit(&returned, memory_order_relaxed) > 0 ||
		atomic_load_explicit(&unreturned, memory_order_relaxed) < UNRETURNED_ALLOWED);
}

bool forwarder_may_rewrite(void)
{
	return mode != STAMP_OFF;
}

bool forwarder_is_possible(void)
{
	unsigned limit = atomic_load_explicit(&hits, memory_order_relaxed) ? MISSES_ALLOWED : HITS_NEEDED;

	return atomic_load_explicit(&misses, memory_order_relaxed) < limit &&
	       (mode != STAMP_AUTO || atomic_load_explicit(&returned, memory_order_relaxed) > 0 ||
		atomic_load_explicit(&unreturned, memory_order_relaxed) < UNRETURNED_ALLOWED);
}

void forwarder_stamped_has_ended(void)
{
	if (atomic_load_explicit(&returned, memory_order_relaxed) == 0)
		atomic_fetch_add_explicit(&unreturned, 1, memory_order_relaxed);
}

void forwarder_stamp_returned(void)
{
	if (atomic_load_explicit(&returned, memory_order_relaxed) < RETURNS_NEEDED)
		atomic_fetch_add_explicit(&returned, 1, memory_order_relaxed);
}

bool forwarder_returns_stamps(void)
{
	return atomic_load_explicit(&returned, memory_order_relaxed) >= RETURNS_NEEDED;
}
