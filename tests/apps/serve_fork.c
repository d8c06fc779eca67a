/* SPDX-License-Identifier: Apache-2.0 */
/* A process per connection. */
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/apps/net.h"
#include "tests/apps/serve.h"

int main(int argc, char **argv)
{
	serve_parse(argc, argv);
	int listener = listen_on(serve_options.port, SOCK_CLOEXEC);

	signal(SIGCHLD, SIG_IGN); /* children are reaped by the kernel */
	say_ready();
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		pid_t child = fork();

		if (child < 0)
			die("fork");
		if (child == 0) {
			close(listener);
			connection_serve(fd);
			_exit(0);
		}
		close(fd);
	}
}
