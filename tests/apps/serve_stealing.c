/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The case that no rule can know: one thread reads requests and queues them as objects; workers make the calls. Every
 * fourth request is slow: its worker must wait for a ticket, and while waiting on the condition it steals another
 * request from the queue, serves that one whole, and only then makes the first one's own calls. Whatever the thread
 * last read, wrote or was given names the wrong request then.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/apps/net.h"
#include "tests/apps/queue.h"
#include "tests/apps/serve.h"

struct job {
	struct stream *client;
	struct request request;
	bool slow;
};

static struct queue jobs = QUEUE_INITIALIZER;
static pthread_mutex_t ticket_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ticket_ready = PTHREAD_COND_INITIALIZER;
static int epoll_fd;

static void wait_for(struct stream *client, int op)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = client};

	if (epoll_ctl(epoll_fd, op, client->fd, &event) != 0)
		die("epoll_ctl");
}

static void finish(struct job *job, struct stream *upstream)
{
	bool ok = call_all(upstream, &job->request);

	pthread_cond_broadcast(&ticket_ready);
	if (!request_answer(job->client->fd, &job->request, ok) || job->request.closes) {
		close(job->client->fd);
		free(job->client);
	} else {
		wait_for(job->client, EPOLL_CTL_MOD);
	}
	free(job);
}

/* Wait for the ticket: until somebody finishes a request, 2 ms at the longest. */
static void wait_for_ticket(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 2000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&ticket_mutex);
	(void)pthread_cond_timedwait(&ticket_ready, &ticket_mutex, &until);
	pthread_mutex_unlock(&ticket_mutex);
}

static void *work(void *unused)
{
	struct stream upstream = {.fd = -1};

	(void)unused;
	for (;;) {
		struct job *job = queue_pop(&jobs);

		if (job->slow) {
			wait_for_ticket();
			struct job *stolen = queue_try_pop(&jobs);

			if (stolen)
				finish(stolen, &upstream);
		}
		finish(job, &upstream);
	}
	return NULL;
}

static void read_job(struct stream *client)
{
	static unsigned int n_read;
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		die("calloc");
	job->client = client;
	job->slow = n_read++ % 4 == 0;
	if (request_read(client, &job->request)) {
		queue_push(&jobs, job);
		return;
	}
	close(client->fd);
	free(client);
	free(job);
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
				read_job(events[i].data.ptr);
			else
				accept_one(listener);
		}
	}
}
