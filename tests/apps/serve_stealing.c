/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The case that no rule can know: one thread reads requests and queues them as objects; workers make the calls. Every
 * fourth request is slow: its worker must wait for a ticket, and while waiting on the condition it steals another
 * request from the queue, serves that one whole, and only then makes the first one's own calls. Whatever the thread
 * last read, wrote or was given names the wrong request then.
 */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "tests/apps/net.h"
#include "tests/apps/queue.h"
#include "tests/apps/ways.h"

struct job {
	struct stream *client;
	struct request request;
	bool slow;
};

static struct queue jobs = QUEUE_INITIALIZER;
static pthread_mutex_t ticket_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ticket_ready = PTHREAD_COND_INITIALIZER;

static void finish(struct job *job, struct stream *upstream)
{
	bool ok = call_all(upstream, &job->request);

	pthread_cond_broadcast(&ticket_ready);
	if (!request_answer(job->client->fd, &job->request, ok) || job->request.closes) {
		end_client(job->client);
	} else {
		watch_again(job->client);
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
	end_client(client);
	free(job);
}

int main(int argc, char **argv)
{
	serve_parse(argc, argv);
	serve_by_workers(read_job, work);
}
