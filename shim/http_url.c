/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/http_url.h"

#define TEXT(s) slice(s, sizeof(s) - 1)

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

static inline void split_path(struct slice s, struct http_target *ret)
{
	const uint8_t *mark = memchr(s.p, '#', s.len);

	if (__builtin_expect(mark != NULL, 0))
		s = slice_before(s, mark);
	mark = memchr(s.p, '?', s.len);
	ret->path = mark ? slice_before(s, mark) : s;
	ret->query = mark ? slice_after(s, mark) : SLICE_NONE;
}

/* absolute-form or asterisk-form */
static __attribute__((noinline)) void split_odd_target(struct slice s, struct http_target *ret)
{
	const uint8_t *colon = memchr(s.p, ':', s.len < 16 ? s.len : 16);
	size_t end = 0;

	if (!colon || (size_t)(s.p + s.len - colon) < 3 || colon[1] != '/' || colon[2] != '/') {
		ret->path = s; /* "*" */
		return;
	}
	ret->scheme = slice_before(s, colon);
	s = slice(colon + 3, (size_t)(s.p + s.len - colon) - 3);
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
	if (s.len > 0)
		split_path(s, ret);
}

void http_split_target(struct slice s, struct http_target *ret)
{
	ret->scheme = ret->authority = SLICE_NONE;
	if (__builtin_expect(s.len > 0 && s.p[0] == '/', 1)) {
		split_path(s, ret);
		return;
	}
	ret->path = TEXT("/");
	ret->query = SLICE_NONE;
	if (s.len > 0)
		split_odd_target(s, ret);
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

	return equals ? slice_before(pair, equals) : SLICE_NONE;
}

static struct slice next_pair(struct slice *query)
{
	const uint8_t *amp = memchr(query->p, '&', query->len);
	struct slice pair = amp ? slice_before(*query, amp) : *query;

	*query = amp ? slice_after(*query, amp) : SLICE_NONE;
	return pair;
}

bool http_holds_secret(struct slice query)
{
	while (query.len > 0) {
		struct slice key = key_of(next_pair(&query));

		if (key.p && is_secret_key(key))
			return true;
	}
	return false;
}

void http_append(struct http_text *t, struct slice s)
{
	size_t n = s.len < t->cap - t->len ? s.len : t->cap - t->len;

	if (n > 0)
		memcpy(t->p + t->len, s.p, n);
	t->len += n;
}

void http_append_redacted(struct http_text *t, struct slice query)
{
	bool first = true;

	while (query.len > 0) {
		struct slice pair = next_pair(&query), key = key_of(pair);

		if (!first)
			http_append(t, TEXT("&"));
		first = false;
		if (key.p && is_secret_key(key)) {
			http_append(t, key);
			http_append(t, TEXT("=REDACTED"));
		} else {
			http_append(t, pair);
		}
	}
}
