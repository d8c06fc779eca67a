/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read, then fork (CGI, inetd): the parent reads the request and closes the connection, the child makes the calls and
 * answers. One request a connection.
 */
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/apps/net.h"
#include "tests/apps/serve.h"

static void serve(int fd)
{
	struct stream client = {.fd = fd};
	struct stream upstream = {.fd = -1};
	struct request request;

	if (!request_read(&client, &request))
		return;
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child > 0)
		return;
	request.closes = true;
	request_answer(fd, &request, call_all(&upstream, &request));
	_exit(0);
}

int main(int argc, char **argv)
{
	serve_parse(argc, argv);
	int listener = listen_on(serve_options.port, SOCK_CLOEXEC);

	signal(SIGCHLD, SIG_IGN);
	say_ready();
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		serve(fd);
		close(fd);
	}
}
