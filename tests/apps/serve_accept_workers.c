/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread accepts and hands connections to a pool; a worker serves a connection to its end. --workers must be at
 * least the number of connections that are open at a time.
 */
#include <pthread.h>
#include <stdint.h>
#include <sys/socket.h>

#include "tests/apps/net.h"
#include "tests/apps/queue.h"
#include "tests/apps/serve.h"

static struct queue accepted = QUEUE_INITIALIZER;

static void *work(void *unused)
{
	(void)unused;
	for (;;)
		connection_serve((int)(intptr_t)queue_pop(&accepted));
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	serve_parse(argc, argv);
	int listener = listen_on(serve_options.port, SOCK_CLOEXEC);

	for (int i = 0; i < serve_options.workers; i++)
		if (pthread_create(&thread, NULL, work, NULL) != 0)
			die("pthread_create");
	say_ready();
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			queue_push(&accepted, (void *)(intptr_t)fd);
	}
}
