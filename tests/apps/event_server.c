/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server on libevent: the loop reads requests; what it defers with event_base_once() makes the calls and answers.
 *
 *   event_server --port P --upstream P [--calls N] [--reuse] KIND
 *
 * KIND: once (in the loop itself, at once), later (after a while), or threads (a thread for each request has the loop do it).
 */
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/apps/net.h"
#include "tests/apps/serve.h"

struct client {
	struct stream in;
	struct request request;
	struct event *readable;
};

static struct event_base *base;
static enum { ONCE, LATER, THREADS } kind;
static const char *const kinds[] = {"once", "later", "threads"};

static void call_and_answer(evutil_socket_t unused, short events, void *arg)
{
	static struct stream upstream = {.fd = -1};
	struct client *c = arg;
	bool ok = call_all(&upstream, &c->request);

	(void)unused;
	(void)events;
	if (request_answer(c->in.fd, &c->request, ok) && !c->request.closes) {
		event_add(c->readable, NULL);
		return;
	}
	event_free(c->readable);
	close(c->in.fd);
	free(c);
}

static void *hand_back(void *c)
{
	event_base_once(base, -1, EV_TIMEOUT, call_and_answer, c, NULL);
	return NULL;
}

static void hand_over(struct client *c)
{
	struct timeval later = {.tv_usec = 1000};
	pthread_t thread;

	if (kind != THREADS)
		event_base_once(base, -1, EV_TIMEOUT, call_and_answer, c, kind == LATER ? &later : NULL);
	else if (pthread_create(&thread, NULL, hand_back, c) != 0 || pthread_detach(thread) != 0)
		die("pthread_create");
}

static void readable(evutil_socket_t fd, short events, void *arg)
{
	struct client *c = arg;
	ssize_t n = recv(fd, c->in.buf + c->in.len, STREAM_MAX - c->in.len, 0);
	size_t head_len;

	(void)events;
	if (n <= 0) {
		event_free(c->readable);
		close(fd);
		free(c);
		return;
	}
	c->in.len += (size_t)n;
	head_len = head_length(c->in.buf, c->in.len);
	if (head_len == 0)
		return;
	request_parse(c->in.buf, head_len, &c->request);
	c->in.len -= head_len;
	memmove(c->in.buf, c->in.buf + head_len, c->in.len);
	event_del(c->readable);
	hand_over(c);
}

static void connected(evutil_socket_t listener, short events, void *unused)
{
	struct client *c = calloc(1, sizeof(*c));

	(void)events;
	(void)unused;
	if (!c || (c->in.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
		die("accept");
	c->readable = event_new(base, c->in.fd, EV_READ | EV_PERSIST, readable, c);
	event_add(c->readable, NULL);
}

int main(int argc, char **argv)
{
	serve_parse(argc, argv);
	while (kind < THREADS && strcmp(argv[argc - 1], kinds[kind]) != 0)
		kind++;
	evthread_use_pthreads();
	base = event_base_new();
	event_add(event_new(base, listen_on(serve_options.port, SOCK_CLOEXEC), EV_READ | EV_PERSIST, connected, NULL), NULL);
	say_ready();
	return event_base_dispatch(base);
}
