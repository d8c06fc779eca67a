/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/filter.h"

#include <string.h>

#include "shim/config.h"
#include "shim/large_table.h"

#define ITEMS 64 /* of each list; more are not read, and said so */

enum item_kind { ITEM_PATH, ITEM_PORT, ITEM_PEER, ITEM_UNIX, ITEM_HOST, ITEM_ALL, ITEM_NOTHING };

struct item {
	enum item_kind kind;
	struct slice text; /* path pattern, host pattern, header name, method, route */
	struct endpoint network;
	unsigned bits;
	uint16_t port;
};

struct list {
	struct item *item; /* in items */
	unsigned n;
};

#define LISTS 7
static struct list excluded, trusted, destinations, routes, methods, request_headers, response_headers;
/* Of all lists, one behind another: what is not used is not touched, and costs no page at an exec. */
static struct item items[LISTS * ITEMS] LARGE_TABLE;
static unsigned n_items;

/* ---- compiling ---- */

static bool parse_number(struct slice s, unsigned max, unsigned *ret)
{
	unsigned value = 0;

	if (s.len == 0 || s.len > 5)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		value = value * 10 + (unsigned)(s.p[i] - '0');
	}
	*ret = value;
	return value <= max;
}

/* ADDRESS or ADDRESS/BITS */
static bool parse_network(struct slice s, struct item *ret)
{
	const uint8_t *slash = memchr(s.p, '/', s.len);
	struct slice address = slash ? slice(s.p, (size_t)(slash - s.p)) : s;

	if (!endpoint_parse(&ret->network, (const char *)address.p, address.len))
		return false;

	unsigned max = ret->network.family == 4 ? 32 : 128;

	ret->kind = ITEM_PEER;
	ret->bits = max;
	return !slash || parse_number(slice(slash + 1, s.len - address.len - 1), max, &ret->bits);
}

static bool after_prefix(struct slice s, const char *prefix, struct slice *ret)
{
	size_t len = strlen(prefix);

	if (s.len < len || memcmp(s.p, prefix, len) != 0)
		return false;
	*ret = slice_from(s, len);
	return true;
}

static bool parse_excluded(struct slice s, struct item *ret)
{
	struct slice rest;
	unsigned port;

	if (after_prefix(s, "port:", &rest)) {
		ret->kind = ITEM_PORT;
		if (!parse_number(rest, 65535, &port))
			return false;
		ret->port = (uint16_t)port;
		return true;
	}
	if (after_prefix(s, "peer:", &rest))
		return parse_network(rest, ret);
	ret->kind = ITEM_PATH;
	ret->text = s;
	return after_prefix(s, "path:", &ret->text) || s.p[0] == '/';
}

static bool parse_peer(struct slice s, struct item *ret)
{
	if (slice_is_nocase(s, "*", 1))
		ret->kind = ITEM_ALL;
	else if (slice_is_nocase(s, "none", 4))
		ret->kind = ITEM_NOTHING;
	else if (slice_is_nocase(s, "unix", 4))
		ret->kind = ITEM_UNIX;
	else
		return parse_network(s, ret);
	return true;
}

static bool parse_destination(struct slice s, struct item *ret)
{
	if (parse_peer(s, ret))
		return true;
	ret->kind = ITEM_HOST;
	ret->text = s;
	return true;
}

static bool parse_text(struct slice s, struct item *ret)
{
	ret->text = s;
	return true;
}

static bool parse_route(struct slice s, struct item *ret)
{
	ret->text = s;
	return s.p[0] == '/';
}

static void compile(struct list *list, const char *name, const char *text, bool (*parse)(struct slice, struct item *),
		    filter_warning *warn)
{
	const char *item;
	uint32_t len;

	list->item = items + n_items;
	list->n = 0;
	while (config_next(&text, &item, &len)) {
		struct item *slot = &list->item[list->n];

		if (list->n == ITEMS) {
			warn(name, item, "more than 64 items; the rest is not used");
			break;
		}
		*slot = (struct item){0};
		if (parse(slice(item, len), slot))
			list->n++;
		else
			warn(name, item, "not understood; this item is not used");
	}
	n_items += list->n;
}

void filter_start(filter_warning *warn)
{
	n_items = 0;
	compile(&excluded, "INTERSPAN_EXCLUDE", config.exclude, parse_excluded, warn);
	compile(&trusted, "INTERSPAN_TRUST_FROM", config.trust_from, parse_peer, warn);
	compile(&destinations, "INTERSPAN_PROPAGATE_TO", config.propagate_to, parse_destination, warn);
	compile(&routes, "INTERSPAN_ROUTES", config.routes, parse_route, warn);
	compile(&methods, "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", config.http_known_methods, parse_text, warn);
	compile(&request_headers, "INTERSPAN_CAPTURE_REQUEST_HEADERS", config.capture_request_headers, parse_text, warn);
	compile(&response_headers, "INTERSPAN_CAPTURE_RESPONSE_HEADERS", config.capture_response_headers, parse_text, warn);
}

/* ---- matching ---- */

/* The path of a request target: absolute-form loses scheme and authority; query and fragment are cut off. */
static struct slice path_of(struct slice target)
{
	if (target.len > 0 && target.p[0] != '/') {
		for (size_t i = 0; i + 3 < target.len; i++) {
			if (memcmp(target.p + i, "://", 3) != 0)
				continue;

			struct slice rest = slice(target.p + i + 3, target.len - i - 3);
			const uint8_t *slash = memchr(rest.p, '/', rest.len);

			target = slash ? slice(slash, (size_t)(rest.p + rest.len - slash)) : slice("/", 1);
			break;
		}
	}
	for (size_t i = 0; i < target.len; i++)
		if (target.p[i] == '?' || target.p[i] == '#')
			return slice(target.p, i);
	return target;
}

/* '*' stands for any bytes. Linear: on a mismatch, the last star takes one byte more. */
static bool matches_glob(struct slice pattern, struct slice text)
{
	size_t p = 0, t = 0, star = SIZE_MAX, star_t = 0;

	while (t < text.len) {
		if (p < pattern.len && pattern.p[p] == '*') {
			star = p++;
			star_t = t;
		} else if (p < pattern.len && pattern.p[p] == text.p[t]) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++star_t;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.p[p] == '*')
		p++;
	return p == pattern.len;
}

/* {name} stands for one segment, a trailing '*' for the rest. */
static bool matches_route(struct slice route, struct slice path)
{
	size_t r = 0, t = 0;

	while (r < route.len) {
		if (route.p[r] == '*' && r + 1 == route.len)
			return true;
		if (route.p[r] == '{') {
			size_t begin = t;

			while (r < route.len && route.p[r] != '}')
				r++;
			r++;
			while (t < path.len && path.p[t] != '/')
				t++;
			if (t == begin)
				return false;
		} else if (t < path.len && route.p[r] == path.p[t]) {
			r++;
			t++;
		} else {
			return false;
		}
	}
	return t == path.len;
}

static bool matches_peer(const struct item *item, const struct endpoint *peer)
{
	switch (item->kind) {
	case ITEM_ALL:
		return true;
	case ITEM_UNIX:
		return peer->family == 1;
	case ITEM_PEER:
		return endpoint_in(peer, &item->network, item->bits);
	default:
		return false;
	}
}

bool filter_excludes_any(void)
{
	return excluded.n > 0;
}

bool filter_excludes(struct slice target, uint16_t port, const struct endpoint *peer)
{
	struct slice path = path_of(target);

	for (unsigned i = 0; i < excluded.n; i++) {
		const struct item *item = &excluded.item[i];

		if ((item->kind == ITEM_PATH && matches_glob(item->text, path)) ||
		    (item->kind == ITEM_PORT && item->port == port) || matches_peer(item, peer))
			return true;
	}
	return false;
}

bool filter_trusts(const struct endpoint *peer)
{
	for (unsigned i = 0; i < trusted.n; i++)
		if (matches_peer(&trusted.item[i], peer))
			return true;
	return false;
}

/* "*.example.org" means its subdomains. */
static bool matches_host(struct slice pattern, struct slice host)
{
	if (pattern.len > 1 && pattern.p[0] == '*') {
		pattern = slice_from(pattern, 1);
		if (host.len <= pattern.len)
			return false;
		host = slice_from(host, host.len - pattern.len);
	}
	if (pattern.len != host.len)
		return false;
	for (size_t i = 0; i < host.len; i++)
		if (ascii_lower(pattern.p[i]) != ascii_lower(host.p[i]))
			return false;
	return true;
}

bool filter_propagates_to(struct slice host, const struct endpoint *peer)
{
	for (unsigned i = 0; i < destinations.n; i++) {
		const struct item *item = &destinations.item[i];

		if (item->kind == ITEM_HOST ? matches_host(item->text, host) : matches_peer(item, peer))
			return true;
	}
	return false;
}

struct slice filter_route(struct slice target)
{
	if (routes.n == 0)
		return SLICE_NONE;

	struct slice path = path_of(target);

	for (unsigned i = 0; i < routes.n; i++)
		if (matches_route(routes.item[i].text, path))
			return routes.item[i].text;
	return SLICE_NONE;
}

static bool lists(const struct list *list, struct slice text, bool fold)
{
	for (unsigned i = 0; i < list->n; i++) {
		struct slice item = list->item[i].text;

		if (fold ? matches_host(item, text) : slice_equal(item, text))
			return true;
	}
	return false;
}

bool filter_knows_method(struct slice method)
{
	return lists(&methods, method, false);
}

bool filter_captures_any(bool request)
{
	return (request ? request_headers.n : response_headers.n) > 0;
}

bool filter_captures(bool request, struct slice name)
{
	return lists(request ? &request_headers : &response_headers, name, true);
}
