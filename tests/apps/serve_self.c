/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that calls itself: a request from outside makes it call its own port over loopback, with ".s" added to the
 * truth id; that inner request calls the backend, with ".b" added. A thread per connection.
 */
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "tests/apps/ways.h"

static bool call(struct stream *own, struct stream *backend, const struct request *request)
{
	if (strchr(request->truth, '.'))
		return call_upstream(backend, serve_options.upstream_port, request, ".b");
	return call_upstream(own, serve_options.port, request, ".s");
}

static void *serve(void *fd)
{
	struct stream client = {.fd = (int)(intptr_t)fd};
	struct stream own = {.fd = -1}, backend = {.fd = -1};
	struct request request;

	while (request_read(&client, &request))
		if (!request_answer(client.fd, &request, call(&own, &backend, &request)) || request.closes)
			break;
	close(client.fd);
	if (own.fd >= 0)
		close(own.fd);
	if (backend.fd >= 0)
		close(backend.fd);
	return NULL;
}

int main(int argc, char **argv)
{
	serve_parse(argc, argv);
	serve_by_thread(serve);
}
