/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server on GLib's main loop: it reads requests, hands the calls to others in one of GLib's ways, and answers in the loop.
 *
 *   glib_server --port P --upstream P [--calls N] [--reuse] KIND
 *
 * KIND: pool (a thread pool calls, an idle source answers), task (GTask), idle (an idle source of the loop's own calls and
 * answers), invoke (a thread has the loop call and answer), or pump (one idle source for whatever has come until it runs).
 */
#include <gio/gio.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/apps/net.h"
#include "tests/apps/serve.h"

struct client {
	struct stream in;
	struct request request;
	bool ok;
};

static enum { POOL, TASK, IDLE, INVOKE, PUMP } kind;
static const char *const kinds[] = {"pool", "task", "idle", "invoke", "pump"};
static GThreadPool *pool;

static void watch(struct client *c);

static gboolean answer(void *arg)
{
	struct client *c = arg;

	if (request_answer(c->in.fd, &c->request, c->ok) && !c->request.closes) {
		watch(c);
		return G_SOURCE_REMOVE;
	}
	close(c->in.fd);
	g_free(c);
	return G_SOURCE_REMOVE;
}

static void call(struct client *c)
{
	static __thread struct stream upstream = {.fd = -1};

	c->ok = call_all(&upstream, &c->request);
}

static gboolean call_and_answer(void *arg)
{
	call(arg);
	return answer(arg);
}

static void in_pool(void *arg, void *unused)
{
	(void)unused;
	if (kind == INVOKE) {
		g_main_context_invoke(NULL, call_and_answer, arg);
	} else {
		call(arg);
		g_idle_add(answer, arg);
	}
}

static void in_task(GTask *task, void *source, void *arg, GCancellable *cancellable)
{
	(void)source;
	(void)cancellable;
	call(arg);
	g_task_return_boolean(task, TRUE);
}

static void task_is_done(GObject *source, GAsyncResult *result, void *arg)
{
	(void)source;
	(void)result;
	answer(arg);
}

static GQueue waiting = G_QUEUE_INIT;
static guint pumping;

static gboolean pump(void *unused)
{
	struct client *c;

	(void)unused;
	pumping = 0;
	while ((c = g_queue_pop_head(&waiting)) != NULL)
		call_and_answer(c);
	return G_SOURCE_REMOVE;
}

static void start_task(struct client *c)
{
	GTask *task = g_task_new(NULL, NULL, task_is_done, c);

	g_task_set_task_data(task, c, NULL);
	g_task_run_in_thread(task, in_task);
	g_object_unref(task);
}

static void hand_over(struct client *c)
{
	if (kind == TASK) {
		start_task(c);
	} else if (kind == IDLE) {
		g_idle_add(call_and_answer, c);
	} else if (kind == PUMP) {
		g_queue_push_tail(&waiting, c);
		if (!pumping)
			pumping = g_idle_add(pump, NULL);
	} else {
		g_thread_pool_push(pool, c, NULL);
	}
}

static gboolean readable(int fd, GIOCondition condition, void *arg)
{
	struct client *c = arg;
	ssize_t n = recv(fd, c->in.buf + c->in.len, STREAM_MAX - c->in.len, 0);
	size_t head_len;

	(void)condition;
	if (n <= 0) {
		close(fd);
		g_free(c);
		return G_SOURCE_REMOVE;
	}
	c->in.len += (size_t)n;
	head_len = head_length(c->in.buf, c->in.len);
	if (head_len == 0)
		return G_SOURCE_CONTINUE;
	request_parse(c->in.buf, head_len, &c->request);
	c->in.len -= head_len;
	memmove(c->in.buf, c->in.buf + head_len, c->in.len);
	hand_over(c);
	return G_SOURCE_REMOVE;
}

static void add_source(int fd, GUnixFDSourceFunc function, void *arg)
{
	GSource *source = g_unix_fd_source_new(fd, G_IO_IN);

	g_source_set_callback(source, (GSourceFunc)(void *)function, arg, NULL);
	g_source_attach(source, NULL);
	g_source_unref(source);
}

static void watch(struct client *c)
{
	add_source(c->in.fd, readable, c);
}

static gboolean connected(int listener, GIOCondition condition, void *unused)
{
	struct client *c = g_new0(struct client, 1);

	(void)condition;
	(void)unused;
	c->in.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (c->in.fd < 0)
		die("accept");
	watch(c);
	return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv)
{
	serve_parse(argc, argv);
	while (kind <= PUMP && strcmp(argv[argc - 1], kinds[kind]) != 0)
		kind++;
	pool = g_thread_pool_new(in_pool, NULL, 16, FALSE, NULL);
	add_source(listen_on(serve_options.port, SOCK_CLOEXEC), connected, NULL);
	say_ready();
	g_main_loop_run(g_main_loop_new(NULL, FALSE));
	return 0;
}
