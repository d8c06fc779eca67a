/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fork then _exit with requests open: collects --workers requests (one a connection), forks a child that _exits at
 * once, and only when the child is gone answers them all, without calling anybody. Again and again.
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/apps/net.h"
#include "tests/apps/serve.h"

int main(int argc, char **argv)
{
	serve_parse(argc, argv);
	int listener = listen_on(serve_options.port, SOCK_CLOEXEC);
	struct stream *clients = calloc((size_t)serve_options.workers, sizeof(*clients));
	struct request *requests = calloc((size_t)serve_options.workers, sizeof(*requests));

	if (!clients || !requests)
		die("calloc");
	say_ready();
	for (;;) {
		for (int i = 0; i < serve_options.workers;) {
			clients[i] = (struct stream){.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)};
			if (clients[i].fd >= 0 && request_read(&clients[i], &requests[i]))
				i++;
			else
				close(clients[i].fd); /* somebody who only tried the port */
		}
		pid_t child = fork();

		if (child == 0)
			_exit(0);
		if (child < 0 || waitpid(child, NULL, 0) != child)
			die("fork or waitpid");
		for (int i = 0; i < serve_options.workers; i++) {
			requests[i].closes = true;
			request_answer(clients[i].fd, &requests[i], true);
			close(clients[i].fd);
		}
	}
}
