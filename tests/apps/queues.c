/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that read requests, and workers that are handed them through a queue of jobs, make the calls and answer.
 *
 *   queues --port P --upstream P [--workers N] [--calls N] [--reuse] KIND
 *
 * KIND is how the queue works: fifo, lifo or priority (mutex and condition variable), semaphore (a mutex, and a
 * semaphore that counts), gate (a list of its own lock, and a mutex and condition before it), pool (fifo, and
 * workers take their upstream connection from a pool for which they wait on a condition of its own).
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/apps/net.h"
#include "tests/apps/serve.h"

#define PRODUCERS 4
#define JOBS_MAX 4096
#define POOL 3

struct client {
	struct stream stream;
	int epoll_fd;
};

struct job {
	struct client *client;
	struct request request;
	unsigned priority;
};

static enum { FIFO, LIFO, PRIORITY, SEMAPHORE, GATE, POOLED } kind;
static const char *const kinds[] = {"fifo", "lifo", "priority", "semaphore", "gate", "pool"};

/* ---- the queue ---- */

static struct job *jobs[JOBS_MAX];
static size_t n_jobs;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, gate_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;
static sem_t count;
static size_t gate_count;

static void put(struct job *job)
{
	if (n_jobs == JOBS_MAX)
		die("too many jobs");
	jobs[n_jobs++] = job;
}

static struct job *take(void)
{
	size_t at = kind == LIFO ? n_jobs - 1 : 0;

	for (size_t i = 1; kind == PRIORITY && i < n_jobs; i++)
		if (jobs[i]->priority > jobs[at]->priority)
			at = i;
	struct job *job = jobs[at];

	n_jobs--;
	memmove(&jobs[at], &jobs[at + 1], (n_jobs - at) * sizeof(jobs[0]));
	return job;
}

static void push(struct job *job)
{
	pthread_mutex_lock(&mutex);
	put(job);
	if (kind != GATE && kind != SEMAPHORE)
		pthread_cond_signal(&filled);
	pthread_mutex_unlock(&mutex);
	if (kind == SEMAPHORE)
		sem_post(&count);
	if (kind == GATE) {
		pthread_mutex_lock(&gate_mutex);
		gate_count++;
		pthread_cond_signal(&filled);
		pthread_mutex_unlock(&gate_mutex);
	}
}

static void pass_gate(void)
{
	pthread_mutex_lock(&gate_mutex);
	while (gate_count == 0)
		pthread_cond_wait(&filled, &gate_mutex);
	gate_count--;
	pthread_mutex_unlock(&gate_mutex);
}

static struct job *pop(void)
{
	if (kind == SEMAPHORE)
		while (sem_wait(&count) != 0)
			;
	if (kind == GATE)
		pass_gate();
	pthread_mutex_lock(&mutex);
	while (n_jobs == 0)
		pthread_cond_wait(&filled, &mutex);
	struct job *job = take();

	pthread_mutex_unlock(&mutex);
	return job;
}

/* ---- a pool of connections ---- */

static struct stream pool[POOL] = {{.fd = -1}, {.fd = -1}, {.fd = -1}};
static bool in_use[POOL];
static pthread_mutex_t pool_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t pool_freed = PTHREAD_COND_INITIALIZER;

static int free_connection(void)
{
	for (int i = 0; i < POOL; i++)
		if (!in_use[i])
			return i;
	return -1;
}

static bool call_over_pool(const struct request *request)
{
	int i;

	pthread_mutex_lock(&pool_mutex);
	while ((i = free_connection()) < 0)
		pthread_cond_wait(&pool_freed, &pool_mutex);
	in_use[i] = true;
	pthread_mutex_unlock(&pool_mutex);
	bool ok = call_all(&pool[i], request);

	pthread_mutex_lock(&pool_mutex);
	in_use[i] = false;
	pthread_cond_signal(&pool_freed);
	pthread_mutex_unlock(&pool_mutex);
	return ok;
}

/* ---- threads ---- */

static void wait_for(struct client *client, int op)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = client};

	if (epoll_ctl(client->epoll_fd, op, client->stream.fd, &event) != 0)
		die("epoll_ctl");
}

static void *work(void *unused)
{
	struct stream upstream = {.fd = -1};

	(void)unused;
	for (;;) {
		struct job *job = pop();
		struct client *client = job->client;
		bool ok = kind == POOLED ? call_over_pool(&job->request) : call_all(&upstream, &job->request);

		if (!request_answer(client->stream.fd, &job->request, ok) || job->request.closes) {
			close(client->stream.fd);
			free(client);
		} else {
			wait_for(client, EPOLL_CTL_MOD);
		}
		free(job);
	}
	return NULL;
}

static void read_job(struct client *client)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		die("calloc");
	job->client = client;
	if (request_read(&client->stream, &job->request)) {
		job->priority = (unsigned)atoi(job->request.truth) * 2654435761u;
		push(job);
		return;
	}
	close(client->stream.fd);
	free(client);
	free(job);
}

static void *produce(void *epoll_fd)
{
	struct epoll_event event;

	for (;;)
		if (epoll_wait((int)(long)epoll_fd, &event, 1, -1) == 1)
			read_job(event.data.ptr);
	return NULL;
}

static void start(void *(*run)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, arg) != 0)
		die("pthread_create");
}

static void parse_kind(const char *name)
{
	for (int i = 0; i <= POOLED; i++)
		if (strcmp(name, kinds[i]) == 0)
			kind = i;
}

int main(int argc, char **argv)
{
	int epoll_fds[PRODUCERS];

	serve_parse(argc, argv);
	if (optind >= argc)
		return 2;
	parse_kind(argv[optind]);
	sem_init(&count, 0, 0);
	int listener = listen_on(serve_options.port, SOCK_CLOEXEC);

	for (int i = 0; i < serve_options.workers; i++)
		start(work, NULL);
	for (int i = 0; i < PRODUCERS; i++) {
		epoll_fds[i] = epoll_create1(EPOLL_CLOEXEC);
		start(produce, (void *)(long)epoll_fds[i]);
	}
	say_ready();
	for (unsigned n = 0;; n++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		struct client *client = fd < 0 ? NULL : calloc(1, sizeof(*client));

		if (!client)
			continue;
		client->stream.fd = fd;
		client->epoll_fd = epoll_fds[n % PRODUCERS];
		wait_for(client, EPOLL_CTL_ADD);
	}
}
