/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of workers that are handed the fd: one thread waits for readable connections (one-shot), a worker reads one
 * request, makes the calls, answers and gives the connection back to the waiting thread.
 */
#include "tests/apps/queue.h"
#include "tests/apps/ways.h"

static struct queue readable = QUEUE_INITIALIZER;

static void serve_one(struct stream *client, struct stream *upstream)
{
	struct request request;

	if (!request_read(client, &request) || !request_answer(client->fd, &request, call_all(upstream, &request)) ||
	    request.closes) {
		end_client(client);
		return;
	}
	watch_again(client);
}

static void *work(void *unused)
{
	struct stream upstream = {.fd = -1};

	(void)unused;
	for (;;)
		serve_one(queue_pop(&readable), &upstream);
	return NULL;
}

static void hand_over(struct stream *client)
{
	queue_push(&readable, client);
}

int main(int argc, char **argv)
{
	serve_parse(argc, argv);
	serve_by_workers(hand_over, work);
}
