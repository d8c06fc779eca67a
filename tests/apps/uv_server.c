/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server on libuv: the loop reads requests, its thread pool makes the calls, the loop answers when they are
 * done. Every 16th item is queued twice, and the second one cancelled or run for nothing.
 */
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "tests/apps/net.h"
#include "tests/apps/serve.h"

struct client {
	uv_tcp_t tcp;
	uv_work_t work;
	struct stream in;
	struct request request;
	bool ok;
};

static uv_loop_t *loop;

static void closed(uv_handle_t *handle)
{
	free(handle);
}

static void make_calls(uv_work_t *work)
{
	static __thread struct stream upstream = {.fd = -1};
	struct client *c = work->data;

	c->ok = call_all(&upstream, &c->request);
}

static void next_request(struct client *c);

static void answer(uv_work_t *work, int status)
{
	struct client *c = work->data;
	uv_os_fd_t fd;

	if (status != 0 || uv_fileno((uv_handle_t *)&c->tcp, &fd) != 0 ||
	    !request_answer(fd, &c->request, c->ok) || c->request.closes)
		uv_close((uv_handle_t *)&c->tcp, closed);
	else
		next_request(c);
}

static void do_nothing(uv_work_t *work)
{
	(void)work;
}

static void forget(uv_work_t *work, int status)
{
	(void)status;
	free(work);
}

static void queue_for_nothing(void)
{
	static unsigned n;
	uv_work_t *work = n++ % 16 == 0 ? calloc(1, sizeof(*work)) : NULL;

	if (work && uv_queue_work(loop, work, do_nothing, forget) == 0 && n % 32 == 1)
		(void)uv_cancel((uv_req_t *)work);
}

static void next_request(struct client *c)
{
	size_t head_len = head_length(c->in.buf, c->in.len);

	if (head_len == 0)
		return;
	request_parse(c->in.buf, head_len, &c->request);
	c->in.len -= head_len;
	memmove(c->in.buf, c->in.buf + head_len, c->in.len);
	queue_for_nothing();
	c->work.data = c;
	if (uv_queue_work(loop, &c->work, make_calls, answer) != 0)
		die("uv_queue_work");
}

static void give_room(uv_handle_t *handle, size_t wanted, uv_buf_t *ret)
{
	struct client *c = (struct client *)handle;

	(void)wanted;
	*ret = uv_buf_init(c->in.buf + c->in.len, (unsigned)(STREAM_MAX - c->in.len));
}

static void was_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct client *c = (struct client *)stream;

	(void)buf;
	if (n < 0) {
		uv_close((uv_handle_t *)stream, closed);
		return;
	}
	c->in.len += (size_t)n;
	if (n > 0)
		next_request(c);
}

static void connected(uv_stream_t *listener, int status)
{
	struct client *c = calloc(1, sizeof(*c));

	if (status != 0 || !c || uv_tcp_init(loop, &c->tcp) != 0 || uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 ||
	    uv_read_start((uv_stream_t *)&c->tcp, give_room, was_read) != 0)
		die("accept");
}

int main(int argc, char **argv)
{
	struct sockaddr_in address;
	uv_tcp_t listener;

	serve_parse(argc, argv);
	loop = uv_default_loop();
	uv_ip4_addr("127.0.0.1", serve_options.port, &address);
	uv_tcp_init(loop, &listener);
	if (uv_tcp_bind(&listener, (struct sockaddr *)&address, 0) != 0 ||
	    uv_listen((uv_stream_t *)&listener, 128, connected) != 0)
		die("listen");
	say_ready();
	return uv_run(loop, UV_RUN_DEFAULT);
}
