/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/apps/serve.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/apps/net.h"

struct serve_options serve_options = {.calls = 3, .workers = 8, .header = ""};

void serve_parse(int argc, char **argv)
{
	static const struct option table[] = {
		{"port", 1, 0, 'p'},    {"upstream", 1, 0, 'u'}, {"calls", 1, 0, 'c'},
		{"workers", 1, 0, 'w'}, {"reuse", 0, 0, 'r'},    {"header", 1, 0, 'h'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (option) {
		case 'p': serve_options.port = atoi(optarg); break;
		case 'u': serve_options.upstream_port = atoi(optarg); break;
		case 'c': serve_options.calls = atoi(optarg); break;
		case 'w': serve_options.workers = atoi(optarg); break;
		case 'r': serve_options.reuse = true; break;
		case 'h': serve_options.header = optarg; break;
		default: exit(2);
		}
	}
	if (serve_options.port == 0)
		exit(2);
	exit_on_sigterm();
}

/* Read until a whole head is there. Returns its length, 0 at the end of the stream. */
static size_t read_head(struct stream *stream)
{
	size_t head_len;

	while ((head_len = head_length(stream->buf, stream->len)) == 0) {
		ssize_t n = recv(stream->fd, stream->buf + stream->len, STREAM_MAX - stream->len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 0;
		stream->len += (size_t)n;
	}
	return head_len;
}

static void consume(struct stream *stream, size_t n)
{
	stream->len -= n;
	memmove(stream->buf, stream->buf + n, stream->len);
}

static bool skip_body(struct stream *stream, struct body *body)
{
	const char *data;
	size_t data_len;

	while (!body->done) {
		size_t taken = body_take(body, stream->buf, stream->len, &data, &data_len);

		consume(stream, taken);
		if (body->done || taken > 0)
			continue;
		ssize_t n = recv(stream->fd, stream->buf, STREAM_MAX, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 && body->framing == BODY_UNTIL_CLOSE;
		stream->len = (size_t)n;
	}
	return true;
}

void request_parse(const char *head, size_t head_len, struct request *ret_request)
{
	const char *dash;

	head_value(head, head_len, TRUTH_HEADER, ret_request->truth, sizeof(ret_request->truth));
	ret_request->closes = head_closes(head, head_len);
	dash = strchr(ret_request->truth, '-');
	ret_request->calls = serve_options.calls > 0 ? 1 + (dash ? atoi(dash + 1) : 0) % serve_options.calls : 0;
}

bool request_read(struct stream *stream, struct request *ret_request)
{
	size_t head_len = read_head(stream);
	struct body body;

	if (head_len == 0)
		return false;
	request_parse(stream->buf, head_len, ret_request);
	body_begin_request(&body, stream->buf, head_len);
	consume(stream, head_len);
	return skip_body(stream, &body);
}

size_t call_head(char *out, size_t cap, const struct request *request, const char *suffix)
{
	return (size_t)snprintf(out, cap, "GET /backend HTTP/1.1\r\nHost: backend.test\r\n%s: %s%s\r\n%s\r\n", TRUTH_HEADER,
				request->truth, suffix, serve_options.reuse ? "" : "Connection: close\r\n");
}

static void stream_close(struct stream *stream)
{
	if (stream->fd >= 0)
		close(stream->fd);
	stream->fd = -1;
	stream->len = 0;
}

enum outcome { CALL_ANSWERED, CALL_WRONG, CALL_DEAD };

static enum outcome call_once(struct stream *upstream, const char *head, size_t head_len, const char *truth)
{
	char answered[TRUTH_MAX];
	struct body body;
	size_t answer_len;
	int status;

	if (write_all(upstream->fd, head, head_len) != 0 || (answer_len = read_head(upstream)) == 0)
		return CALL_DEAD;
	head_value(upstream->buf, answer_len, TRUTH_HEADER, answered, sizeof(answered));
	status = head_status(upstream->buf, answer_len);
	body_begin_response(&body, upstream->buf, answer_len, status == 204 || status == 304);
	consume(upstream, answer_len);
	if (!skip_body(upstream, &body))
		return CALL_WRONG;
	return status == 200 && strcmp(answered, truth) == 0 ? CALL_ANSWERED : CALL_WRONG;
}

bool call_upstream(struct stream *upstream, int port, const struct request *request, const char *suffix)
{
	char head[512], truth[2 * TRUTH_MAX];
	size_t head_len = call_head(head, sizeof(head), request, suffix);
	enum outcome outcome = CALL_DEAD;

	snprintf(truth, sizeof(truth), "%s%s", request->truth, suffix);
	for (int attempt = 0; attempt < 2 && outcome == CALL_DEAD; attempt++) {
		bool fresh = upstream->fd < 0;

		if (fresh && (upstream->fd = connect_to(port, SOCK_CLOEXEC)) < 0)
			return false;
		outcome = call_once(upstream, head, head_len, truth);
		if (outcome != CALL_ANSWERED || !serve_options.reuse)
			stream_close(upstream);
		if (fresh)
			break;
	}
	return outcome == CALL_ANSWERED;
}

bool call_all(struct stream *upstream, const struct request *request)
{
	bool ok = true;

	for (int i = 0; i < request->calls; i++)
		ok = call_upstream(upstream, serve_options.upstream_port, request, "") && ok;
	return ok;
}

bool request_answer(int fd, const struct request *request, bool ok)
{
	char answer[512];
	int n = snprintf(answer, sizeof(answer), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s: %s\r\n%s%s%s\r\n%s\n",
			 ok ? "200 OK" : "502 Bad Gateway", strlen(request->truth) + 1, TRUTH_HEADER, request->truth,
			 serve_options.header, serve_options.header[0] ? "\r\n" : "",
			 request->closes ? "Connection: close\r\n" : "", request->truth);

	if (n < 0 || (size_t)n >= sizeof(answer))
		return false;
	return write_all(fd, answer, (size_t)n) == 0;
}

void connection_serve(int fd)
{
	struct stream client = {.fd = fd};
	struct stream upstream = {.fd = -1};
	struct request request;

	while (request_read(&client, &request)) {
		bool ok = call_all(&upstream, &request);

		if (!request_answer(fd, &request, ok) || request.closes)
			break;
	}
	stream_close(&upstream);
	stream_close(&client);
}
