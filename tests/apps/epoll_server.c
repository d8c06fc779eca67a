/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP/1.1 server as people write them with epoll: one thread, one level-triggered loop, keep-alive, pipelining.
 *
 *   epoll_server PORT [UPSTREAM_PORT]     both on 127.0.0.1
 *
 * Any path is answered with a line of text; /call/PATH first asks the upstream for /PATH, on a connection of its own and without
 * blocking the loop. It knows nothing of tracing. SIGTERM ends it with status 0.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_EVENTS 64
#define IN_BYTES 8192
#define OUT_BYTES 2048
#define TARGET_BYTES 1024

struct connection {
	enum { LISTENER, CLIENT, UPSTREAM } role;
	int fd;                      /* -1: closed, freed when the current events are done */
	struct connection *partner;  /* the upstream that a client waits for, and back */
	struct connection *next_dead;
	char in[IN_BYTES];           /* client: requests not yet answered; upstream: the start of the response */
	size_t in_len;
	size_t body_left;            /* client: bytes of a request's body still to be skipped */
	char out[OUT_BYTES];
	size_t out_len, out_sent;
	bool keep_alive;
};

static int loop;
static in_port_t upstream_port;
static struct connection *dead;
static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
	(void)number;
	stopping = 1;
}

static struct connection *watch(int role, int fd, uint32_t events)
{
	struct connection *c = calloc(1, sizeof(*c));
	struct epoll_event event = { .events = events, .data.ptr = c };

	if (c && epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event) == 0) {
		c->role = role;
		c->fd = fd;
		return c;
	}
	free(c);
	close(fd);
	return NULL;
}

static void set_interest(struct connection *c, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = c };

	if (epoll_ctl(loop, EPOLL_CTL_MOD, c->fd, &event) < 0)
		perror("epoll_ctl");
}

/* An event for a closed connection may already be in the batch: the memory stays until the batch is done. */
static void drop(struct connection *c)
{
	if (!c || c->fd < 0)
		return;
	close(c->fd);
	c->fd = -1;
	c->next_dead = dead;
	dead = c;
	if (c->partner) {
		c->partner->partner = NULL;
		if (c->role == CLIENT)
			drop(c->partner);
	}
}

static void free_dead(void)
{
	while (dead) {
		struct connection *next = dead->next_dead;

		free(dead);
		dead = next;
	}
}

/* Send what is left of out. False: the connection was dropped. */
static bool flush_out(struct connection *c)
{
	while (c->out_sent < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			set_interest(c, EPOLLOUT);
			return true;
		}
		if (n < 0) {
			drop(c);
			return false;
		}
		c->out_sent += (size_t)n;
	}
	c->out_len = c->out_sent = 0;
	if (c->role == CLIENT && !c->keep_alive && !c->partner) {
		drop(c);
		return false;
	}
	set_interest(c, EPOLLIN);
	return true;
}

static bool answer(struct connection *c, int status, const char *reason, const char *text)
{
	int n = snprintf(c->out, sizeof(c->out),
			 "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%s\r\n%s", status, reason,
			 strlen(text), c->keep_alive ? "" : "Connection: close\r\n", text);

	c->out_len = (size_t)n;
	c->out_sent = 0;
	return flush_out(c);
}

/* Ask the upstream; the client is answered when it has. */
static bool call_upstream(struct connection *c, const char *target)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(upstream_port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct connection *up;

	if (fd < 0)
		return answer(c, 503, "Service Unavailable", "no socket\n");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS) {
		close(fd);
		return answer(c, 502, "Bad Gateway", "the upstream cannot be reached\n");
	}
	up = watch(UPSTREAM, fd, EPOLLOUT);
	if (!up)
		return answer(c, 503, "Service Unavailable", "no memory\n");
	up->out_len = (size_t)snprintf(up->out, sizeof(up->out), "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n\r\n",
				       target, upstream_port);
	up->partner = c;
	c->partner = up;
	set_interest(c, 0);
	return true;
}

static bool has_header(const char *head, const char *line)
{
	return strcasestr(head, line) != NULL;
}

/* One whole request head, ended by a NUL in place of its blank line. */
static bool serve(struct connection *c, const char *head)
{
	char method[16], target[TARGET_BYTES], text[TARGET_BYTES + 64];
	const char *length = strcasestr(head, "\r\ncontent-length:");
	int minor;

	if (sscanf(head, "%15s %1023s HTTP/1.%d", method, target, &minor) != 3 ||
	    has_header(head, "\r\ntransfer-encoding:")) {
		c->keep_alive = false;
		return answer(c, 400, "Bad Request", "not understood\n");
	}
	c->keep_alive = minor > 0 ? !has_header(head, "\r\nconnection: close") : has_header(head, "\r\nconnection: keep-alive");
	c->body_left = length ? strtoul(length + strlen("\r\ncontent-length:"), NULL, 10) : 0;
	if (upstream_port && !strncmp(target, "/call/", 6))
		return call_upstream(c, target + 5);
	snprintf(text, sizeof(text), "epoll_server: %s %s\n", method, target);
	return answer(c, 200, "OK", text);
}

static void consume(struct connection *c, size_t n)
{
	memmove(c->in, c->in + n, c->in_len - n);
	c->in_len -= n;
}

/* Answer the requests that have arrived, one after another. */
static void serve_all(struct connection *c)
{
	bool alive = true;

	while (alive && !c->partner && c->out_len == 0) {
		size_t skip = c->body_left < c->in_len ? c->body_left : c->in_len;

		consume(c, skip);
		c->body_left -= skip;
		char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);

		if (!end) {
			if (c->in_len == sizeof(c->in))
				drop(c);
			return;
		}
		size_t head_len = (size_t)(end - c->in) + 4;
		char head[IN_BYTES];

		memcpy(head, c->in, head_len);
		head[head_len - 4] = 0;
		consume(c, head_len);
		alive = serve(c, head);
	}
}

/* Read once. False: nothing more will come, or not now. */
static bool fill(struct connection *c, bool *ret_ended)
{
	ssize_t n = read(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len);

	*ret_ended = n == 0 || (n < 0 && errno != EAGAIN);
	if (n > 0)
		c->in_len += (size_t)n;
	return n > 0;
}

static void on_client(struct connection *c, uint32_t events)
{
	bool ended = (events & (EPOLLHUP | EPOLLERR)) != 0;

	if (!ended && (events & EPOLLOUT) && !flush_out(c))
		return;
	if (!ended && (events & EPOLLIN))
		(void)fill(c, &ended);
	if (ended)
		drop(c);
	else
		serve_all(c);
}

/* The response is read to its end; all that interests of it is the status. */
static void on_upstream(struct connection *up, uint32_t events)
{
	struct connection *c = up->partner;
	char text[64] = "the upstream failed\n";
	bool ended = false;
	int status = 0;

	if ((events & EPOLLOUT) && !(events & EPOLLERR) && flush_out(up))
		return;
	if (up->fd >= 0 && fill(up, &ended) && up->in_len == sizeof(up->in))
		up->in_len = sizeof(up->in) / 2;
	if (up->fd >= 0 && !ended)
		return;
	if (up->in_len > 12 && sscanf(up->in, "HTTP/1.%*d %3d", &status) == 1)
		snprintf(text, sizeof(text), "epoll_server: the upstream said %d\n", status);
	drop(up);
	if (!c)
		return;
	c->partner = NULL;
	if (status ? answer(c, 200, "OK", text) : answer(c, 502, "Bad Gateway", text))
		serve_all(c);
}

static void on_listener(const struct connection *listener)
{
	int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		(void)watch(CLIENT, fd, EPOLLIN);
}

static int listen_on(in_port_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 511) < 0) {
		perror("epoll_server");
		exit(1);
	}
	return fd;
}

static void run(const sigset_t *while_waiting)
{
	struct epoll_event events[MAX_EVENTS];

	while (!stopping) {
		int n = epoll_pwait(loop, events, MAX_EVENTS, -1, while_waiting);

		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;

			if (c->fd < 0)
				continue;
			if (c->role == LISTENER)
				on_listener(c);
			else if (c->role == CLIENT)
				on_client(c, events[i].events);
			else
				on_upstream(c, events[i].events);
		}
		free_dead();
	}
}

int main(int argc, char *argv[])
{
	sigset_t stop_signals, before;
	struct connection *listener;

	if (argc < 2) {
		fprintf(stderr, "usage: epoll_server PORT [UPSTREAM_PORT]\n");
		return 2;
	}
	upstream_port = argc > 2 ? (in_port_t)strtoul(argv[2], NULL, 10) : 0;
	/* SIGTERM arrives inside epoll_pwait and nowhere else. */
	sigemptyset(&stop_signals);
	sigaddset(&stop_signals, SIGTERM);
	sigaddset(&stop_signals, SIGINT);
	sigprocmask(SIG_BLOCK, &stop_signals, &before);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	loop = epoll_create1(EPOLL_CLOEXEC);
	if (loop < 0)
		return 1;
	listener = watch(LISTENER, listen_on((in_port_t)strtoul(argv[1], NULL, 10)), EPOLLIN);
	if (!listener)
		return 1;
	run(&before);
	return 0;
}
