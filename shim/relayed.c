/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/relayed.h"

#include "shim/client.h"
#include "shim/conn.h"
#include "shim/http_attributes.h"
#include "shim/propagation.h"
#include "shim/server.h"
#include "shim/stream.h"

/* ---- their connections ---- */

/* The addresses of the socket below. */
static void borrow_addresses(struct conn *c, int fd)
{
	fd_word word;
	struct conn *below = fd >= 0 ? conn_enter_any(fd, &word) : NULL;

	if (!below)
		return;
	c->peer = *conn_peer(below);
	c->local = *conn_local(below);
	c->original = below->original;
	conn_leave(below);
}

static struct conn *open_entered(const struct relayed_through *through, enum conn_role role)
{
	uint32_t slot = conn_new();
	struct conn *c = slot ? conn_enter_named(conn_handle(conn_at(slot))) : NULL;

	if (!c)
		return NULL;
	c->role = (uint8_t)role;
	c->fd = -1;
	c->local_known = c->peer_known = true;
	c->tls = through->tls;
	c->http_major = through->http_major;
	stream_start(c);
	borrow_addresses(c, through->fd);
	return c;
}

/* Left and closed; what is open on it ends. */
static void close_entered(struct conn *c)
{
	uint32_t slot = conn_slot(c);

	conn_leave(c);
	conn_drop_descriptor(slot);
}

/* ---- requests ---- */

struct handle relayed_server(const struct relayed_through *through, struct slice text, struct context *ret)
{
	struct http1_head head;
	struct conn *c;
	struct exchange *e;
	struct handle name;

	if (http1_parse_head(text, HTTP1_REQUEST, NULL, &head) <= 0)
		return HANDLE_NONE;
	c = open_entered(through, CONN_SERVER);
	if (!c)
		return HANDLE_NONE;
	e = server_request(c, &head);
	if (!e) {
		close_entered(c);
		return HANDLE_NONE;
	}
	e->sizes_unknown = e->handed_over = true;
	*ret = e->context;
	name = conn_handle(c);
	conn_leave(c);
	return name;
}

/* head with the edits made, to out. Returns its length, 0: it does not fit. */
static size_t edit(const struct http1_head *head, const struct edit *edits, unsigned n, uint8_t *out, size_t cap)
{
	size_t at = 0, len = 0;

	for (unsigned i = 0; i <= n; i++) {
		size_t until = i < n ? edits[i].pos : head->whole.len;

		if (len + (until - at) + (i < n ? edits[i].len : 0) > cap)
			return 0;
		memcpy(out + len, head->whole.p + at, until - at);
		len += until - at;
		if (i == n)
			break;
		memcpy(out + len, edits[i].text, edits[i].len);
		len += edits[i].len;
		at = until + edits[i].del;
	}
	return len;
}

struct handle relayed_client(const struct relayed_through *through, struct slice text, uint8_t *out, size_t cap,
			     size_t *ret_len)
{
	uint8_t edit_text[EDIT_TEXT_MAX];
	struct edit edits[EDITS_MAX];
	struct http1_head head;
	struct conn *c;
	struct exchange *e;
	enum head_edit what;
	struct handle name;

	*ret_len = 0;
	if (http1_parse_head(text, HTTP1_REQUEST, NULL, &head) <= 0)
		return HANDLE_NONE;
	c = open_entered(through, CONN_CLIENT);
	if (!c)
		return HANDLE_NONE;
	e = client_request(c, &head, &what);
	if (!e) {
		close_entered(c);
		return HANDLE_NONE;
	}
	e->sizes_unknown = true;
	if (what == HEAD_EDITED)
		*ret_len = edit(&head, edits, propagation_edits(e, &head, edits, edit_text), out, cap);
	name = conn_handle(c);
	conn_leave(c);
	return name;
}

/* ---- the rest ---- */

static void learn_peer(struct conn *c, int fd)
{
	struct exchange *e = conn_oldest(c);

	if (c->peer.family != 0 || fd < 0)
		return;
	borrow_addresses(c, fd);
	if (e && c->peer.family != 0)
		http_describe_peer(e, c);
}

void relayed_response(struct handle name, int fd, struct slice text)
{
	struct conn *c = conn_enter_named(name);
	struct http1_head head;

	if (!c)
		return;
	learn_peer(c, fd);
	if (!c->opaque && conn_oldest(c) && !conn_oldest(c)->answered_head &&
	    http1_parse_head(text, HTTP1_RESPONSE, NULL, &head) > 0) {
		if (c->role == CONN_SERVER)
			server_response(c, &head);
		else
			client_response(c, &head);
	}
	conn_leave(c);
}

void relayed_end(struct handle name, int fd, const char *error)
{
	struct conn *c = conn_enter_named(name);
	struct exchange *e;

	if (!c)
		return;
	learn_peer(c, fd);
	e = c->opaque ? NULL : conn_oldest(c);
	if (e && !error && e->answered_head) {
		e->request_done = true;
		if (c->role == CONN_SERVER)
			server_response_done(c, 0);
		else
			client_response_done(c, 0);
	} else if (e) {
		conn_end_exchanges(c, error);
	}
	close_entered(c);
}
