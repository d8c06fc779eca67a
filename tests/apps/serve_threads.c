/* SPDX-License-Identifier: Apache-2.0 */
/* A thread per connection. */
#include <pthread.h>
#include <stdint.h>
#include <sys/socket.h>

#include "tests/apps/net.h"
#include "tests/apps/serve.h"

static void *serve(void *fd)
{
	connection_serve((int)(intptr_t)fd);
	return NULL;
}

int main(int argc, char **argv)
{
	serve_parse(argc, argv);
	int listener = listen_on(serve_options.port, SOCK_CLOEXEC);

	say_ready();
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pthread_t thread;

		if (fd < 0)
			continue;
		if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) != 0)
			die("pthread_create");
		pthread_detach(thread);
	}
}
