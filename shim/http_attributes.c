/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/http_attributes.h"
#include "shim/error_stack.h"

#include "shim/blocks.h"
#include "shim/filter.h"
#include "shim/span.h"

#define TEXT(s) slice(s, sizeof(s) - 1)

enum exchange_method http_method_of(struct slice method)
{
	if (slice_equal(method, TEXT("HEAD")))
		return METHOD_HEAD;
	return slice_equal(method, TEXT("CONNECT")) ? METHOD_CONNECT : METHOD_OTHER;
}

/* ---- pieces of URLs ---- */

void http_split_host(struct slice authority, struct slice *ret_host, uint16_t *ret_port)
{
	size_t end = authority.len;
	unsigned port = 0, scale = 1;

	*ret_host = authority;
	*ret_port = 0;
	while (end > 0 && authority.p[end - 1] >= '0' && authority.p[end - 1] <= '9' && scale < 100000) {
		port += (unsigned)(authority.p[--end] - '0') * scale;
		scale *= 10;
	}
	if (end > 0 && end < authority.len && authority.p[end - 1] == ':' && port <= 65535) {
		*ret_host = slice(authority.p, end - 1);
		*ret_port = (uint16_t)port;
	}
	if (ret_host->len > 2 && ret_host->p[0] == '[' && ret_host->p[ret_host->len - 1] == ']')
		*ret_host = slice(ret_host->p + 1, ret_host->len - 2);
}

struct target {
	struct slice scheme, authority, path, query; /* .p NULL: absent */
};

static struct slice before(struct slice s, const uint8_t *at)
{
	return slice(s.p, (size_t)(at - s.p));
}

static struct slice after(struct slice s, const uint8_t *at)
{
	return slice(at + 1, s.len - (size_t)(at - s.p) - 1);
}

static void split_path(struct slice s, struct target *ret)
{
	const uint8_t *mark = memchr(s.p, '#', s.len);

	if (mark)
		s = before(s, mark);
	mark = memchr(s.p, '?', s.len);
	ret->path = mark ? before(s, mark) : s;
	ret->query = mark ? after(s, mark) : SLICE_NONE;
}

/* origin-form, absolute-form or asterisk-form (RFC 9112 section 3.2); user information is left out. */
static void split_target(struct slice s, struct target *ret)
{
	*ret = (struct target){.path = TEXT("/")};
	if (s.len > 0 && s.p[0] != '/') {
		const uint8_t *colon = memchr(s.p, ':', s.len < 16 ? s.len : 16);

		if (!colon || (size_t)(s.p + s.len - colon) < 3 || colon[1] != '/' || colon[2] != '/') {
			ret->path = s; /* "*" */
			return;
		}
		ret->scheme = before(s, colon);
		s = slice(colon + 3, (size_t)(s.p + s.len - colon) - 3);

		size_t end = 0;

		while (end < s.len && s.p[end] != '/' && s.p[end] != '?')
			end++;
		ret->authority = slice(s.p, end);
		for (size_t i = end; i > 0; i--) {
			if (s.p[i - 1] == '@') {
				ret->authority = slice(s.p + i, end - i);
				break;
			}
		}
		s = slice_from(s, end);
		if (s.len == 0)
			return;
	}
	split_path(s, ret);
}

/* ---- redaction ---- */

static bool is_secret_key(struct slice key)
{
	static const char *const keys[] = {
		"x-amz-signature", "x-amz-credential", "x-amz-security-token", "sig", "x-goog-signature",
		"awsaccesskeyid", "signature", "password", "passwd", "pwd", "secret", "client_secret", "token",
		"access_token", "refresh_token", "id_token", "api_key", "apikey", "api-key", "auth", "authorization",
		"credential", "credentials", "session", "sessionid", "session_id", "jwt",
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (slice_is_nocase(key, keys[i], strlen(keys[i])))
			return true;
	return false;
}

static struct slice key_of(struct slice pair)
{
	const uint8_t *equals = memchr(pair.p, '=', pair.len);

	return equals ? before(pair, equals) : SLICE_NONE;
}

static struct slice next_pair(struct slice *query)
{
	const uint8_t *amp = memchr(query->p, '&', query->len);
	struct slice pair = amp ? before(*query, amp) : *query;

	*query = amp ? after(*query, amp) : SLICE_NONE;
	return pair;
}

static bool holds_secret(struct slice query)
{
	while (query.len > 0) {
		struct slice key = key_of(next_pair(&query));

		if (key.p && is_secret_key(key))
			return true;
	}
	return false;
}

struct text {
	uint8_t *p;
	size_t len, cap;
};

static void append(struct text *t, struct slice s)
{
	size_t n = s.len < t->cap - t->len ? s.len : t->cap - t->len;

	if (n > 0)
		memcpy(t->p + t->len, s.p, n);
	t->len += n;
}

static void append_redacted(struct text *t, struct slice query)
{
	bool first = true;

	while (query.len > 0) {
		struct slice pair = next_pair(&query), key = key_of(pair);

		if (!first)
			append(t, TEXT("&"));
		first = false;
		if (key.p && is_secret_key(key)) {
			append(t, key);
			append(t, TEXT("=REDACTED"));
		} else {
			append(t, pair);
		}
	}
}

static void add_query(struct exchange *e, struct slice query)
{
	uint32_t cap;
	struct text t;

	if (!query.p || query.len == 0)
		return;
	if (!holds_secret(query)) {
		span_string(e, ATTR_URL_QUERY, query);
		return;
	}
	t = (struct text){block_take(query.len + 1, &cap), 0, 0};
	if (!t.p)
		return;
	t.cap = cap;
	append_redacted(&t, query);
	span_string(e, ATTR_URL_QUERY, slice(t.p, t.len));
	block_give(t.p);
}

static void add_full_url(struct exchange *e, const struct target *target, struct slice authority)
{
	uint32_t cap;
	struct text t = {block_take(BLOCK_SMALL, &cap), 0, 0};

	if (!t.p)
		return;
	t.cap = cap;
	append(&t, target->scheme.p ? target->scheme : TEXT("http"));
	append(&t, TEXT("://"));
	append(&t, authority);
	append(&t, target->path);
	if (target->query.p) {
		append(&t, TEXT("?"));
		append_redacted(&t, target->query);
	}
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

static void add_peer(struct exchange *e, struct conn *c)
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

static void add_captured(struct exchange *e, const struct http1_head *head, bool request)
{
	struct slice name, value;
	size_t cursor = 0;

	if (!e->recorded || !filter_captures_any(request))
		return;
	while (http1_next_field(head, &cursor, &name, &value))
		if (filter_captures(request, name))
			span_named(e, request ? "http.request.header." : "http.response.header.", name, value);
}

static void add_version(struct exchange *e, const struct http1_head *head)
{
	span_string(e, ATTR_NETWORK_PROTOCOL_VERSION, head->minor ? TEXT("1.1") : TEXT("1.0"));
}

/* ---- server ---- */

/* The value of one parameter in the first element of a Forwarded field (RFC 7239), quotes taken off. */
static struct slice forwarded(struct slice field, const char *name)
{
	size_t len = strlen(name);
	const uint8_t *comma = memchr(field.p, ',', field.len);

	if (comma)
		field = before(field, comma);
	while (field.len > 0) {
		const uint8_t *semicolon = memchr(field.p, ';', field.len);
		struct slice pair = semicolon ? before(field, semicolon) : field;

		field = semicolon ? after(field, semicolon) : SLICE_NONE;
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

	return comma ? before(list, comma) : list;
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
			       const struct target *target)
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

void http_describe_server(struct exchange *e, struct conn *c, const struct http1_head *head)
{
	struct slice route = filter_route(head->target), scheme;
	struct target target;

	if (!e->recorded)
		return;
	split_target(head->target, &target);
	scheme = forwarded_or(head, "proto", HTTP1_X_FORWARDED_PROTO);
	add_method(e, head, route);
	span_string(e, ATTR_URL_SCHEME, scheme.p ? scheme : target.scheme.p ? target.scheme : TEXT("http"));
	span_string(e, ATTR_URL_PATH, target.path);
	add_query(e, target.query);
	span_string(e, ATTR_HTTP_ROUTE, route);
	add_server_address(e, c, head, &target);
	add_client_address(e, c, head);
	add_peer(e, c);
	add_version(e, head);
	span_string(e, ATTR_USER_AGENT_ORIGINAL, http1_kept(head, HTTP1_USER_AGENT));
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

void http_describe_client(struct exchange *e, struct conn *c, const struct http1_head *head)
{
	char text[ENDPOINT_TEXT + 2];
	struct slice authority, host;
	struct target target;
	uint16_t port = 0;

	if (!e->recorded)
		return;
	split_target(head->target, &target);
	add_method(e, head, SLICE_NONE);
	authority = e->method == METHOD_CONNECT ? head->target
		    : target.authority.p	? target.authority
						: http1_kept(head, HTTP1_HOST);
	if (!authority.p || authority.len == 0)
		authority = address_in_url(conn_peer(c), text);
	http_split_host(authority, &host, &port);
	if (e->method != METHOD_CONNECT)
		add_full_url(e, &target, authority);
	span_string(e, ATTR_SERVER_ADDRESS, host);
	if (!port)
		port = conn_peer(c)->family == 1 ? 0 : conn_peer(c)->port;
	if (port)
		span_int(e, ATTR_SERVER_PORT, port);
	add_peer(e, c);
	add_version(e, head);
	add_captured(e, head, true);
}

/* ---- the response ---- */

void http_describe_response(struct exchange *e, const struct http1_head *head)
{
	unsigned failing = e->role == EXCHANGE_SERVER ? 500 : 400;
	char code[3];

	e->status = head->status;
	if (!e->recorded)
		return;
	span_int(e, ATTR_HTTP_RESPONSE_STATUS_CODE, head->status);
	add_captured(e, head, false);
	if (head->status < failing)
		return;
	code[0] = (char)('0' + head->status / 100 % 10);
	code[1] = (char)('0' + head->status / 10 % 10);
	code[2] = (char)('0' + head->status % 10);
	e->record.record->status = STATUS_ERROR;
	e->error_status = true;
	error_stack_take(e);
	span_string(e, ATTR_ERROR_TYPE, slice(code, 3));
}

void http_describe_sizes(struct exchange *e)
{
	if (e->request_bytes > 0)
		span_int(e, ATTR_HTTP_REQUEST_BODY_SIZE, (int64_t)e->request_bytes);
	span_int(e, ATTR_HTTP_RESPONSE_BODY_SIZE, (int64_t)e->response_bytes);
}
