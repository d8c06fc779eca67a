/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/apps/ways.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/apps/net.h"

static int epoll_fd;

static void start(void *(*run)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, arg) != 0)
		die("pthread_create");
	pthread_detach(thread);
}

void serve_by_thread(void *(*serve)(void *fd))
{
	int listener = listen_on(serve_options.port, SOCK_CLOEXEC);

	say_ready();
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			start(serve, (void *)(intptr_t)fd);
	}
}

static void watch(int op, int fd, struct stream *client)
{
	struct epoll_event event = {.events = EPOLLIN | (client ? EPOLLONESHOT : 0), .data.ptr = client};

	if (epoll_ctl(epoll_fd, op, fd, &event) != 0)
		die("epoll_ctl");
}

void watch_again(struct stream *client)
{
	watch(EPOLL_CTL_MOD, client->fd, client);
}

void end_client(struct stream *client)
{
	close(client->fd);
	free(client);
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
	watch(EPOLL_CTL_ADD, fd, client);
}

void serve_by_workers(void (*readable)(struct stream *client), void *(*work)(void *unused))
{
	int listener = listen_on(serve_options.port, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct epoll_event events[64];

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	watch(EPOLL_CTL_ADD, listener, NULL);
	for (int i = 0; i < serve_options.workers; i++)
		start(work, NULL);
	say_ready();
	for (;;) {
		int n = epoll_wait(epoll_fd, events, 64, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				readable(events[i].data.ptr);
			else
				accept_one(listener);
		}
	}
}
