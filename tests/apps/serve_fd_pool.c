/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of workers that are handed the fd: one thread waits for readable connections (one-shot), a worker reads one
 * request, makes the calls, answers and gives the connection back to the waiting thread.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/apps/net.h"
#include "tests/apps/queue.h"
#include "tests/apps/serve.h"

static struct queue readable = QUEUE_INITIALIZER;
static int epoll_fd;

static void wait_for(struct stream *client, int op)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = client};

	if (epoll_ctl(epoll_fd, op, client->fd, &event) != 0)
		die("epoll_ctl");
}

static void serve_one(struct stream *client, struct stream *upstream)
{
	struct request request;

	if (!request_read(client, &request) || !request_answer(client->fd, &request, call_all(upstream, &request)) ||
	    request.closes) {
		close(client->fd);
		free(client);
		return;
	}
	wait_for(client, EPOLL_CTL_MOD);
}

static void *work(void *unused)
{
	struct stream upstream = {.fd = -1};

	(void)unused;
	for (;;)
		serve_one(queue_pop(&readable), &upstream);
	return NULL;
}

static void accept_one(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct stream *client;

	if (fd < 0)
		return;
	client = calloc(1, sizeof(*client));
	if (!client)
		die("calloc");
	client->fd = fd;
	wait_for(client, EPOLL_CTL_ADD);
}

int main(int argc, char **argv)
{
	pthread_t thread;

	serve_parse(argc, argv);
	int listener = listen_on(serve_options.port, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct epoll_event events[64], event = {.events = EPOLLIN};

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) != 0)
		die("epoll_ctl");
	for (int i = 0; i < serve_options.workers; i++)
		if (pthread_create(&thread, NULL, work, NULL) != 0)
			die("pthread_create");
	say_ready();
	for (;;) {
		int n = epoll_wait(epoll_fd, events, 64, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				queue_push(&readable, events[i].data.ptr);
			else
				accept_one(listener);
		}
	}
}
