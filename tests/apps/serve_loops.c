/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An epoll server with several loops (--workers), each a thread with a listener and a pool of upstream connections of
 * its own. A request's calls are made at once and without waiting, over idle connections first (the one used last) and
 * fresh ones where there is none; it is answered when the last call is.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/apps/net.h"
#include "tests/apps/serve.h"

struct loop;

/* One connection, of either side. */
struct connection {
	struct loop *loop;
	struct stream stream;
	bool is_client;          /* somebody asks us; otherwise we ask the backend */
	struct request request;  /* client: being served */
	int calls_left;          /* client: calls without an answer */
	bool all_ok;             /* client: no call failed so far */
	struct connection *asker;/* upstream: whose call is on it; NULL: idle */
	struct connection *next; /* upstream: in the loop's list of idle ones */
	bool connecting, in_body;
	struct body body;
};

struct loop {
	int epoll_fd, listener;
	struct connection *idle;
};

static struct connection *connection_new(struct loop *loop, int fd, bool is_client, uint32_t events)
{
	struct connection *c = calloc(1, sizeof(*c));
	struct epoll_event event = {.events = events, .data.ptr = c};

	if (!c)
		die("calloc");
	c->loop = loop;
	c->stream.fd = fd;
	c->is_client = is_client;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		die("epoll_ctl");
	return c;
}

static void watch(struct connection *c, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = c};

	if (epoll_ctl(c->loop->epoll_fd, EPOLL_CTL_MOD, c->stream.fd, &event) != 0)
		die("epoll_ctl");
}

static void connection_free(struct connection *c)
{
	close(c->stream.fd);
	free(c);
}

static void send_call(struct connection *upstream)
{
	char head[512];
	size_t len = call_head(head, sizeof(head), &upstream->asker->request, "");

	/* A fresh or idle connection has room for a head. */
	if (send(upstream->stream.fd, head, len, MSG_NOSIGNAL) != (ssize_t)len)
		die("send");
	watch(upstream, EPOLLIN);
}

static void call_start(struct connection *client)
{
	struct loop *loop = client->loop;
	struct connection *upstream = loop->idle;

	if (upstream) {
		loop->idle = upstream->next;
		upstream->asker = client;
		send_call(upstream);
		return;
	}
	int fd = connect_to(serve_options.upstream_port, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		die("connect");
	upstream = connection_new(loop, fd, false, EPOLLOUT);
	upstream->asker = client;
	upstream->connecting = true;
}

static void client_answer(struct connection *client)
{
	if (!request_answer(client->stream.fd, &client->request, client->all_ok) || client->request.closes)
		connection_free(client);
	else
		watch(client, EPOLLIN);
}

static void consume(struct stream *stream, size_t n)
{
	stream->len -= n;
	memmove(stream->buf, stream->buf + n, stream->len);
}

/* The request, when it is there whole. Requests without bodies, one at a time. */
static void client_readable(struct connection *client)
{
	struct stream *stream = &client->stream;
	ssize_t n = recv(stream->fd, stream->buf + stream->len, STREAM_MAX - stream->len, MSG_DONTWAIT);
	size_t head_len;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		connection_free(client);
		return;
	}
	stream->len += (size_t)n;
	head_len = head_length(stream->buf, stream->len);
	if (head_len == 0)
		return;
	request_parse(stream->buf, head_len, &client->request);
	consume(stream, head_len);
	client->calls_left = client->request.calls;
	client->all_ok = true;
	watch(client, 0);
	for (int i = 0; i < client->request.calls; i++)
		call_start(client);
	if (client->request.calls == 0)
		client_answer(client);
}

static void upstream_answered(struct connection *upstream)
{
	struct connection *client = upstream->asker;

	upstream->asker = NULL;
	upstream->in_body = false;
	if (serve_options.reuse) {
		upstream->next = upstream->loop->idle;
		upstream->loop->idle = upstream;
	} else {
		connection_free(upstream);
	}
	if (--client->calls_left == 0)
		client_answer(client);
}

static void upstream_head(struct connection *upstream)
{
	struct stream *stream = &upstream->stream;
	size_t head_len = head_length(stream->buf, stream->len);
	char truth[TRUTH_MAX];

	if (head_len == 0)
		return;
	head_value(stream->buf, head_len, TRUTH_HEADER, truth, sizeof(truth));
	if (head_status(stream->buf, head_len) != 200 || strcmp(truth, upstream->asker->request.truth) != 0)
		upstream->asker->all_ok = false;
	body_begin_response(&upstream->body, stream->buf, head_len, false);
	upstream->in_body = true;
	consume(stream, head_len);
}

static void upstream_readable(struct connection *upstream)
{
	struct stream *stream = &upstream->stream;
	ssize_t n = recv(stream->fd, stream->buf + stream->len, STREAM_MAX - stream->len, MSG_DONTWAIT);
	const char *data;
	size_t data_len, taken;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || !upstream->asker)
		die("the backend closed a connection");
	stream->len += (size_t)n;
	if (!upstream->in_body)
		upstream_head(upstream);
	if (!upstream->in_body)
		return;
	while (!upstream->body.done && (taken = body_take(&upstream->body, stream->buf, stream->len, &data, &data_len)) > 0)
		consume(stream, taken);
	if (upstream->body.done)
		upstream_answered(upstream);
}

static void accept_one(struct loop *loop)
{
	int fd = accept4(loop->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		(void)connection_new(loop, fd, true, EPOLLIN);
}

static void connection_ready(struct connection *c)
{
	if (c->is_client) {
		client_readable(c);
	} else if (c->connecting) {
		c->connecting = false;
		send_call(c);
	} else {
		upstream_readable(c);
	}
}

static void *run_loop(void *arg)
{
	struct loop *loop = arg;
	struct epoll_event events[64];

	for (;;) {
		int n = epoll_wait(loop->epoll_fd, events, 64, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				connection_ready(events[i].data.ptr);
			else
				accept_one(loop);
		}
	}
	return NULL;
}

static void loop_init(struct loop *loop)
{
	struct epoll_event event = {.events = EPOLLIN};

	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->listener = listen_shared(serve_options.port, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->listener, &event) != 0)
		die("epoll_ctl");
}

int main(int argc, char **argv)
{
	pthread_t thread;

	serve_parse(argc, argv);
	struct loop *loops = calloc((size_t)serve_options.workers, sizeof(*loops));

	if (!loops)
		die("calloc");
	for (int i = 0; i < serve_options.workers; i++)
		loop_init(&loops[i]);
	for (int i = 1; i < serve_options.workers; i++)
		if (pthread_create(&thread, NULL, run_loop, &loops[i]) != 0)
			die("pthread_create");
	run_loop(&loops[0]);
}
