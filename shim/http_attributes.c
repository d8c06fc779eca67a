/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/http_attributes.h"
#include "shim/error_stack.h"

#include "shim/blocks.h"
#include "shim/filter.h"
#include "shim/http_url.h"
#include "shim/http_usual.h"
#include "shim/span.h"

#define TEXT(s) slice(s, sizeof(s) - 1)

/* ---- URLs ---- */

static void add_redacted_query(struct exchange *e, struct slice query)
{
	uint32_t cap;
	struct http_text t = {block_take(query.len + 1, &cap), 0, 0};

	if (!t.p)
		return;
	t.cap = cap;
	http_append_redacted(&t, query);
	span_string(e, ATTR_URL_QUERY, slice(t.p, t.len));
	block_give(t.p);
}

static void add_query(struct exchange *e, struct slice query)
{
	if (!query.p || query.len == 0)
		return;
	if (http_holds_secret(query))
		add_redacted_query(e, query);
	else
		span_string(e, ATTR_URL_QUERY, query);
}

static void append_url(struct http_text *t, const struct http_target *target, struct slice authority, struct slice scheme)
{
	http_append(t, target->scheme.p ? target->scheme : scheme);
	http_append(t, TEXT("://"));
	http_append(t, authority);
	http_append(t, target->path);
	if (target->query.p) {
		http_append(t, TEXT("?"));
		http_append_redacted(t, target->query);
	}
}

static inline uint8_t *put(uint8_t *at, struct slice s)
{
	memcpy(at, s.p, s.len);
	return at + s.len;
}

/* Where nothing has to be replaced or cut, its length is known before, and it is written where it belongs. */
static bool add_plain_url(struct exchange *e, const struct http_target *target, struct slice authority,
			  struct slice scheme)
{
	size_t len;
	uint8_t *at;

	if (target->scheme.p)
		scheme = target->scheme;
	len = scheme.len + 3 + authority.len + target->path.len;
	if (target->query.p || len > span_limits.whole || e->n_attributes >= span_limits.attributes)
		return false;
	at = record_room(&e->record, ITEM_STRING, ATTR_URL_FULL, len);
	if (!at)
		return true;
	e->n_attributes++;
	at = put(at, scheme);
	memcpy(at, "://", 3);
	at = put(at + 3, authority);
	(void)put(at, target->path);
	return true;
}

static void add_full_url(struct exchange *e, const struct http_target *target, struct slice authority,
			 struct slice scheme)
{
	uint32_t cap;
	struct http_text t = {NULL, 0, 0};

	if (add_plain_url(e, target, authority, scheme))
		return;
	t.p = block_take(BLOCK_SMALL, &cap);
	if (!t.p)
		return;
	t.cap = cap;
	append_url(&t, target, authority, scheme);
	span_string(e, ATTR_URL_FULL, slice(t.p, t.len));
	block_give(t.p);
}

/* ---- what both sides share ---- */

static void add_method(struct exchange *e, const struct http1_head *head, struct slice route)
{
	bool known = filter_knows_method(head->method);

	span_string(e, ATTR_HTTP_REQUEST_METHOD, known ? head->method : TEXT("_OTHER"));
	if (!known)
		span_string(e, ATTR_HTTP_REQUEST_METHOD_ORIGINAL, head->method);
	span_name(e, known ? head->method : TEXT("HTTP"), route);
}

void http_describe_peer(struct exchange *e, struct conn *c)
{
	const struct endpoint *peer = conn_peer(c);
	struct slice text = conn_peer_text(c);

	if (text.len > 0)
		span_string(e, ATTR_NETWORK_PEER_ADDRESS, text);
	if (peer->port)
		span_int(e, ATTR_NETWORK_PEER_PORT, peer->port);
	if (peer->family == 1)
		span_string(e, ATTR_NETWORK_TRANSPORT, TEXT("unix"));
}

static __attribute__((noinline)) void add_listed(struct exchange *e, const struct http1_head *head, bool request)
{
	struct slice name, value;
	size_t cursor = 0;

	while (http1_next_field(head, &cursor, &name, &value))
		if (filter_captures(request, name))
			span_named(e, request ? "http.request.header." : "http.response.header.", name, value);
}

static inline void add_captured(struct exchange *e, const struct http1_head *head, bool request)
{
	if (filter_captures_any(request))
		add_listed(e, head, request);
}

static struct slice scheme_of(const struct conn *c)
{
	return c->tls ? TEXT("https") : TEXT("http");
}

static void add_version(struct exchange *e, const struct conn *c, const struct http1_head *head)
{
	if (c->http_major == 2)
		span_string(e, ATTR_NETWORK_PROTOCOL_VERSION, TEXT("2"));
	else
		span_string(e, ATTR_NETWORK_PROTOCOL_VERSION, head->minor ? TEXT("1.1") : TEXT("1.0"));
}

/* Does nothing in the head change what the connection and the Host field say about who talks to whom? */
static bool is_plain(const struct http1_head *head, const struct http_target *target)
{
	return (head->n_kept[HTTP1_FORWARDED] | head->n_kept[HTTP1_X_FORWARDED_FOR] |
		head->n_kept[HTTP1_X_FORWARDED_PROTO] | head->n_kept[HTTP1_X_FORWARDED_HOST]) == 0 &&
	       !target->scheme.p && head->minor == 1;
}

/* ---- server ---- */

/* The value of one parameter in the first element of a Forwarded field (RFC 7239), quotes taken off. */
static struct slice forwarded(struct slice field, const char *name)
{
	size_t len = strlen(name);
	const uint8_t *comma = memchr(field.p, ',', field.len);

	if (comma)
		field = slice_before(field, comma);
	while (field.len > 0) {
		const uint8_t *semicolon = memchr(field.p, ';', field.len);
		struct slice pair = semicolon ? slice_before(field, semicolon) : field;

		field = semicolon ? slice_after(field, semicolon) : SLICE_NONE;
		while (pair.len > 0 && pair.p[0] == ' ')
			pair = slice_from(pair, 1);
		if (pair.len <= len + 1 || pair.p[len] != '=' || !slice_is_nocase(slice(pair.p, len), name, len))
			continue;
		pair = slice_from(pair, len + 1);
		if (pair.len >= 2 && pair.p[0] == '"' && pair.p[pair.len - 1] == '"')
			pair = slice(pair.p + 1, pair.len - 2);
		return pair;
	}
	return SLICE_NONE;
}

static struct slice first_of_list(struct slice list)
{
	const uint8_t *comma = list.p ? memchr(list.p, ',', list.len) : NULL;

	return comma ? slice_before(list, comma) : list;
}

/* By the Forwarded field if there is one, else by the older X-Forwarded-*. */
static struct slice forwarded_value(const struct http1_head *head, const char *name, enum http1_field older)
{
	struct slice value = SLICE_NONE;

	if (head->n_kept[HTTP1_FORWARDED])
		value = forwarded(http1_kept(head, HTTP1_FORWARDED), name);
	return value.p ? value : first_of_list(http1_kept(head, older));
}

/* Most requests have neither. */
static inline struct slice forwarded_or(const struct http1_head *head, const char *name, enum http1_field older)
{
	return head->n_kept[HTTP1_FORWARDED] | head->n_kept[older] ? forwarded_value(head, name, older) : SLICE_NONE;
}

static void add_client_address(struct exchange *e, struct conn *c, const struct http1_head *head)
{
	struct slice value = forwarded_or(head, "for", HTTP1_X_FORWARDED_FOR), host;
	struct endpoint parsed;
	char text[ENDPOINT_TEXT];
	uint16_t port = 0;

	if (value.p) {
		host = value;
		/* An address with colons and no brackets is a bare IPv6 address, not one with a port. */
		if (!endpoint_parse(&parsed, (const char *)value.p, value.len))
			http_split_host(value, &host, &port);
		span_string(e, ATTR_CLIENT_ADDRESS, host);
	} else {
		bool proxied = c->original.family != 0;

		host = proxied ? slice(text, endpoint_text(&c->original, text)) : conn_peer_text(c);
		port = proxied ? c->original.port : conn_peer(c)->port;
		if (host.len > 0)
			span_string(e, ATTR_CLIENT_ADDRESS, host);
	}
	if (port)
		span_int(e, ATTR_CLIENT_PORT, port);
}

static void add_server_address(struct exchange *e, struct conn *c, const struct http1_head *head,
			       const struct http_target *target)
{
	struct slice authority = forwarded_or(head, "host", HTTP1_X_FORWARDED_HOST), host;
	char text[ENDPOINT_TEXT];
	uint16_t port = 0;

	if (!authority.p)
		authority = target->authority.p ? target->authority : http1_kept(head, HTTP1_HOST);
	if (authority.p && authority.len > 0) {
		http_split_host(authority, &host, &port);
		span_string(e, ATTR_SERVER_ADDRESS, host);
		if (!port && !http1_kept(head, HTTP1_FORWARDED).p && !http1_kept(head, HTTP1_X_FORWARDED_HOST).p)
			port = conn_local(c)->port;
	} else {
		size_t n = endpoint_text(conn_local(c), text);

		span_string(e, ATTR_SERVER_ADDRESS, slice(text, n));
		port = conn_local(c)->port;
	}
	if (port)
		span_int(e, ATTR_SERVER_PORT, port);
}

static void add_ends_of_server(struct exchange *e, struct conn *c, const struct http1_head *head,
			       const struct http_target *target)
{
	struct slice scheme = forwarded_or(head, "proto", HTTP1_X_FORWARDED_PROTO);

	span_string(e, ATTR_URL_SCHEME, scheme.p ? scheme : target->scheme.p ? target->scheme : scheme_of(c));
	add_server_address(e, c, head, target);
	add_client_address(e, c, head);
	http_describe_peer(e, c);
	add_version(e, c, head);
}

static void add_usual_of_server(struct exchange *e, struct conn *c, const struct http1_head *head,
				const struct http_target *target)
{
	struct http_usual usual = http_usual_of(head, true);
	struct http_usual_mark mark;

	if (http_usual_add(e, c, &usual))
		return;
	mark = http_usual_mark(e);
	add_method(e, head, SLICE_NONE);
	mark.agent = e->record.at;
	span_string(e, ATTR_USER_AGENT_ORIGINAL, usual.agent);
	add_ends_of_server(e, c, head, target);
	http_usual_keep(e, c, &usual, &mark);
}

void http_describe_server(struct exchange *e, struct conn *c, const struct http1_head *head)
{
	struct slice route = filter_route(head->target);
	struct http_target target;

	http_split_target(head->target, &target);
	span_string(e, ATTR_URL_PATH, target.path);
	add_query(e, target.query);
	if (!route.p && is_plain(head, &target)) {
		add_usual_of_server(e, c, head, &target);
	} else {
		add_method(e, head, route);
		span_string(e, ATTR_HTTP_ROUTE, route);
		span_string(e, ATTR_USER_AGENT_ORIGINAL, http1_kept(head, HTTP1_USER_AGENT));
		add_ends_of_server(e, c, head, &target);
	}
	add_captured(e, head, true);
}

/* ---- client ---- */

/* An address as it stands in a URL (RFC 3986 section 3.2.2). */
static struct slice address_in_url(const struct endpoint *peer, char text[ENDPOINT_TEXT + 2])
{
	size_t n = endpoint_text(peer, text + 1);

	if (peer->family != 6)
		return slice(text + 1, n);
	text[0] = '[';
	text[n + 1] = ']';
	return slice(text, n + 2);
}

static void add_ends_of_client(struct exchange *e, struct conn *c, const struct http1_head *head,
			       struct slice authority)
{
	struct slice host;
	uint16_t port;

	http_split_host(authority, &host, &port);
	span_string(e, ATTR_SERVER_ADDRESS, host);
	if (!port)
		port = conn_peer(c)->family == 1 ? 0 : conn_peer(c)->port;
	if (port)
		span_int(e, ATTR_SERVER_PORT, port);
	http_describe_peer(e, c);
	add_version(e, c, head);
}

static void add_usual_of_client(struct exchange *e, struct conn *c, const struct http1_head *head,
				struct slice authority)
{
	struct http_usual usual = http_usual_of(head, false);
	struct http_usual_mark mark;

	if (http_usual_add(e, c, &usual))
		return;
	mark = http_usual_mark(e);
	add_method(e, head, SLICE_NONE);
	add_ends_of_client(e, c, head, authority);
	http_usual_keep(e, c, &usual, &mark);
}

void http_describe_client(struct exchange *e, struct conn *c, const struct http1_head *head)
{
	char text[ENDPOINT_TEXT + 2];
	struct slice authority;
	struct http_target target;

	http_split_target(head->target, &target);
	authority = e->method == METHOD_CONNECT	? head->target
		    : target.authority.p	? target.authority
						: http1_kept(head, HTTP1_HOST);
	if (!authority.p || authority.len == 0)
		authority = address_in_url(conn_peer(c), text);
	if (e->method != METHOD_CONNECT)
		add_full_url(e, &target, authority, scheme_of(c));
	if (!is_plain(head, &target) || e->method == METHOD_CONNECT) {
		add_method(e, head, SLICE_NONE);
		add_ends_of_client(e, c, head, authority);
	} else {
		add_usual_of_client(e, c, head, authority);
	}
	add_captured(e, head, true);
}

/* ---- the response ---- */

static __attribute__((noinline)) void describe_failure(struct exchange *e, const struct http1_head *head)
{
	char code[3];

	code[0] = (char)('0' + head->status / 100 % 10);
	code[1] = (char)('0' + head->status / 10 % 10);
	code[2] = (char)('0' + head->status % 10);
	e->record.record->status = STATUS_ERROR;
	e->error_status = true;
	error_stack_take(e);
	span_string(e, ATTR_ERROR_TYPE, slice(code, 3));
}

void http_describe_response(struct exchange *e, const struct http1_head *head)
{
	unsigned failing = e->role == EXCHANGE_SERVER ? 500 : 400;

	e->status = head->status;
	if (!e->recorded)
		return;
	span_int(e, ATTR_HTTP_RESPONSE_STATUS_CODE, head->status);
	add_captured(e, head, false);
	if (head->status >= failing)
		describe_failure(e, head);
}

void http_describe_sizes(struct exchange *e)
{
	if (!e->recorded || e->sizes_unknown)
		return;
	if (e->request_bytes > 0)
		span_int(e, ATTR_HTTP_REQUEST_BODY_SIZE, (int64_t)e->request_bytes);
	span_int(e, ATTR_HTTP_RESPONSE_BODY_SIZE, (int64_t)e->response_bytes);
}
