/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/apps/coroutines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/apps/net.h"
#include "tests/apps/serve.h"

#define COROUTINES 64
#define UPSTREAMS 256

static struct coroutine coroutines[COROUTINES], *idle;
static int epoll_fd;
static int waiting[COROUTINES], n_waiting; /* connections without a coroutine */
static struct stream upstreams[UPSTREAMS]; /* idle ones, shared by all */
static size_t n_upstreams;

/* Give way until fd is ready. */
static void wait_for(struct coroutine *c, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events | EPOLLONESHOT, .data.ptr = c};

	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0 &&
	    (errno != ENOENT || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0))
		die("epoll_ctl");
	coroutine_suspend(c);
}

static ssize_t read_some(struct coroutine *c, struct stream *s)
{
	ssize_t n;

	while ((n = recv(s->fd, s->buf + s->len, STREAM_MAX - s->len, 0)) < 0 && errno == EAGAIN)
		wait_for(c, s->fd, EPOLLIN);
	if (n > 0)
		s->len += (size_t)n;
	return n;
}

static bool send_all(struct coroutine *c, int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			wait_for(c, fd, EPOLLOUT);
			continue;
		}
		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

static size_t read_head(struct coroutine *c, struct stream *s)
{
	size_t head_len;

	while ((head_len = head_length(s->buf, s->len)) == 0)
		if (read_some(c, s) <= 0)
			return 0;
	return head_len;
}

static void consume(struct stream *s, size_t n)
{
	s->len -= n;
	memmove(s->buf, s->buf + n, s->len);
}

static bool skip_body(struct coroutine *c, struct stream *s, struct body *body)
{
	const char *data;
	size_t data_len;

	while (!body->done) {
		size_t taken = body_take(body, s->buf, s->len, &data, &data_len);

		consume(s, taken);
		if (!body->done && taken == 0 && read_some(c, s) <= 0)
			return body->framing == BODY_UNTIL_CLOSE;
	}
	return true;
}

/* An idle connection, or a new one. */
static bool take_upstream(struct coroutine *c, struct stream *s)
{
	if (n_upstreams > 0) {
		*s = upstreams[--n_upstreams];
		return true;
	}
	s->len = 0;
	s->fd = connect_to(serve_options.upstream_port, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (s->fd < 0)
		return false;
	wait_for(c, s->fd, EPOLLOUT);
	return true;
}

static void give_upstream(struct stream *s)
{
	if (serve_options.reuse && n_upstreams < UPSTREAMS)
		upstreams[n_upstreams++] = *s;
	else
		close(s->fd);
}

static bool call_once(struct coroutine *c, const struct request *request)
{
	char head[512], answered[TRUTH_MAX];
	struct stream upstream;
	struct body body;
	size_t head_len;
	bool ok;

	if (!take_upstream(c, &upstream))
		return false;
	ok = send_all(c, upstream.fd, head, call_head(head, sizeof(head), request, "")) &&
	     (head_len = read_head(c, &upstream)) > 0;
	if (!ok) {
		close(upstream.fd);
		return false;
	}
	head_value(upstream.buf, head_len, TRUTH_HEADER, answered, sizeof(answered));
	body_begin_response(&body, upstream.buf, head_len, false);
	consume(&upstream, head_len);
	ok = skip_body(c, &upstream, &body) && strcmp(answered, request->truth) == 0;
	give_upstream(&upstream);
	return ok;
}

static void serve(struct coroutine *c)
{
	struct stream client = {.fd = c->client};
	struct request request;
	struct body body;
	size_t head_len;

	while ((head_len = read_head(c, &client)) > 0) {
		bool ok = true;

		request_parse(client.buf, head_len, &request);
		body_begin_request(&body, client.buf, head_len);
		consume(&client, head_len);
		if (!skip_body(c, &client, &body))
			break;
		for (int i = 0; i < request.calls; i++)
			ok = call_once(c, &request) && ok;
		if (!request_answer(client.fd, &request, ok) || request.closes)
			break;
	}
	close(client.fd);
}

void coroutine_body(struct coroutine *c)
{
	for (;;) {
		serve(c);
		if (n_waiting > 0) {
			c->client = waiting[--n_waiting];
			continue;
		}
		c->next_idle = idle;
		idle = c;
		coroutine_suspend(c);
	}
}

static void accept_all(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct coroutine *c = idle;

		if (!c && n_waiting < COROUTINES) {
			waiting[n_waiting++] = fd;
			continue;
		}
		if (!c)
			die("too many connections");
		idle = c->next_idle;
		c->client = fd;
		coroutine_resume(c);
	}
}

int coroutines_main(int argc, char **argv)
{
	serve_parse(argc, argv);
	int listener = listen_on(serve_options.port, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct epoll_event events[64], event = {.events = EPOLLIN};

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) != 0)
		die("epoll_ctl");
	for (int i = 0; i < COROUTINES; i++) {
		coroutine_create(&coroutines[i]);
		coroutines[i].next_idle = idle;
		idle = &coroutines[i];
	}
	say_ready();
	for (;;) {
		int n = epoll_wait(epoll_fd, events, 64, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				coroutine_resume(events[i].data.ptr);
			else
				accept_all(listener);
		}
	}
}
