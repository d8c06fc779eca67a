/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that read requests, and workers that are handed them through a pipe or a pair of sockets.
 *
 *   pipes --port P --upstream P [--workers N] [--calls N] [--reuse] KIND
 *
 * KIND: pipe, pair (pointers to jobs; the workers call and answer), back (the workers call, and hand the jobs back to a loop of another
 * thread, which calls once more and answers), tokens (as pipe, but each call needs a token, taken from another pipe and
 * put back), or wake (one byte wakes a worker, which takes what is in a list).
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/apps/net.h"
#include "tests/apps/queue.h"
#include "tests/apps/serve.h"

#define READERS 4
#define TOKENS 3

struct client {
	struct stream stream;
	struct request request;
	int epoll_fd;
	bool ok;
};

static enum { PIPE, PAIR, BACK, TOKEN, WAKE } kind;
static const char *const kinds[] = {"pipe", "pair", "back", "tokens", "wake"};
static int jobs[2], done[2], tokens[2];
static struct queue list = QUEUE_INITIALIZER;

static void put_bytes(int fd, const void *bytes, size_t len)
{
	if (write(fd, bytes, len) != (ssize_t)len)
		die("write");
}

static void *read_pointer(int fd)
{
	void *pointer;

	if (read(fd, &pointer, sizeof(pointer)) != sizeof(pointer))
		die("read");
	return pointer;
}

static void hand_over(struct client *c)
{
	if (kind == WAKE) {
		queue_push(&list, c);
		put_bytes(jobs[1], "!", 1);
	} else {
		put_bytes(jobs[1], &c, sizeof(c));
	}
}

static struct client *take(void)
{
	char byte;

	if (kind != WAKE)
		return read_pointer(jobs[0]);
	if (read(jobs[0], &byte, 1) != 1)
		die("read");
	return queue_try_pop(&list);
}

static void wait_for(struct client *c, int op)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = c};

	epoll_ctl(c->epoll_fd, op, c->stream.fd, &event);
}

static void answer(struct client *c)
{
	if (request_answer(c->stream.fd, &c->request, c->ok) && !c->request.closes) {
		wait_for(c, EPOLL_CTL_MOD);
		return;
	}
	close(c->stream.fd);
	free(c);
}

static bool call(struct stream *upstream, const struct client *c)
{
	void *token = kind == TOKEN ? read_pointer(tokens[0]) : NULL;
	bool ok = call_all(upstream, &c->request);

	if (token)
		put_bytes(tokens[1], &token, sizeof(token));
	return ok;
}

static void *work(void *unused)
{
	struct stream upstream = {.fd = -1};

	(void)unused;
	for (;;) {
		struct client *c = take();

		if (!c)
			continue;
		c->ok = call(&upstream, c);
		if (kind == BACK)
			put_bytes(done[1], &c, sizeof(c));
		else
			answer(c);
	}
	return NULL;
}

static void *finish(void *unused)
{
	struct epoll_event event = {.events = EPOLLIN};
	int epfd = epoll_create1(EPOLL_CLOEXEC);

	(void)unused;
	epoll_ctl(epfd, EPOLL_CTL_ADD, done[0], &event);
	for (;;)
		if (epoll_wait(epfd, &event, 1, -1) == 1)
			answer(read_pointer(done[0]));
	return NULL;
}

static void *read_requests(void *arg)
{
	int epfd = *(int *)arg;
	struct epoll_event events[16];

	for (;;) {
		int n = epoll_wait(epfd, events, 16, -1);

		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;

			if (request_read(&c->stream, &c->request)) {
				hand_over(c);
			} else {
				close(c->stream.fd);
				free(c);
			}
		}
	}
	return NULL;
}

static void start(void *(*function)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, function, arg) != 0 || pthread_detach(thread) != 0)
		die("pthread_create");
}

static void make(int fds[2])
{
	if ((kind == PAIR ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) : pipe(fds)) != 0)
		die("pipe");
}

static void give_tokens(void)
{
	static char token[TOKENS];

	for (int i = 0; i < TOKENS; i++)
		put_bytes(tokens[1], &(void *){&token[i]}, sizeof(void *));
}

int main(int argc, char **argv)
{
	static int epfds[READERS];

	serve_parse(argc, argv);
	while (kind < WAKE && strcmp(argv[argc - 1], kinds[kind]) != 0)
		kind++;
	make(jobs);
	make(done);
	make(tokens);
	give_tokens();
	for (int i = 0; i < serve_options.workers; i++)
		start(work, NULL);
	start(finish, NULL);
	for (int i = 0; i < READERS; i++) {
		epfds[i] = epoll_create1(EPOLL_CLOEXEC);
		start(read_requests, &epfds[i]);
	}
	int listener = listen_on(serve_options.port, SOCK_CLOEXEC);

	say_ready();
	for (unsigned n = 0;; n++) {
		struct client *c = calloc(1, sizeof(*c));

		c->stream.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		c->epoll_fd = epfds[n % READERS];
		wait_for(c, EPOLL_CTL_ADD);
	}
}
