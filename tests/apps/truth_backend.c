/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server at the end of every chain of the exactness tests: an epoll HTTP/1.1 server with keep-alive that answers
 * each request with the truth id that its head carried (header X-Truth and first line of the body), after a random but
 * seeded delay, with bodies framed in every way, and failing when told to. It also stands in for a collector: it takes
 * any request with any body.
 *
 * One thread; a connection has at most one request at work, what else was pipelined waits in its buffer.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/apps/http.h"
#include "tests/apps/net.h"
#include "tests/apps/timers.h"

#define MAX_CONNECTIONS 4096
#define IN_MAX 32768
#define OUT_MAX 32768
#define FILLER_MAX 16384

enum failure { FAIL_NONE, FAIL_503, FAIL_RESET, FAIL_CLOSE, FAIL_CUT, FAIL_N };
enum bodies { BODIES_LENGTH, BODIES_CHUNKED, BODIES_SENDFILE, BODIES_N };

static struct {
	int port, delay_min_ms, delay_max_ms, fail_percent, fail_first, fail_kind, bodies, body_max, status;
	const char *header;
	uint64_t seed;
} options = {.delay_max_ms = 20, .fail_kind = -1, .bodies = -1, .body_max = 200, .status = 200, .header = "", .seed = 1};

struct connection {
	int fd; /* -1: free */
	uint32_t gen;
	bool busy;    /* a request waits for its delay or its answer is going out */
	bool in_body; /* the request's body is still to be read */
	bool closing; /* close when the answer is out */
	bool head_request;
	struct body body;
	char truth[TRUTH_MAX];
	enum failure failure;
	size_t in_len, out_len, out_sent;
	size_t file_left; /* bytes of filler to send with sendfile after out */
	char in[IN_MAX], out[OUT_MAX];
};

static struct connection connections[MAX_CONNECTIONS];
static struct timers timers;
static int epoll_fd, filler_fd;
static char filler[FILLER_MAX];
static uint64_t random_state;
static volatile sig_atomic_t stopping;
static struct {
	unsigned long requests, failed, body_bytes, connections;
} counts;

static void connection_close(struct connection *c, bool reset)
{
	struct linger hard = {.l_onoff = 1};

	if (reset)
		(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(c->fd);
	c->fd = -1;
	c->gen++;
}

static void watch(struct connection *c, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = c};

	(void)epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

static enum failure choose_failure(void)
{
	bool fails = counts.requests <= (unsigned long)options.fail_first ||
		     random_below_or_at(&random_state, 99) < (uint32_t)options.fail_percent;

	if (!fails)
		return FAIL_NONE;
	counts.failed++;
	return options.fail_kind >= 0 ? (enum failure)options.fail_kind : 1 + random_below_or_at(&random_state, FAIL_CLOSE - 1);
}

static size_t put(struct connection *c, const char *bytes, size_t len)
{
	memcpy(c->out + c->out_len, bytes, len);
	c->out_len += len;
	return len;
}

static void put_body(struct connection *c, enum bodies kind, size_t filler_len)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "%s\n", c->truth);

	if (c->head_request)
		return;
	if (kind == BODIES_CHUNKED) {
		char size[32];

		put(c, size, (size_t)snprintf(size, sizeof(size), "%x\r\n", n));
		put(c, line, (size_t)n);
		if (filler_len > 0) {
			put(c, size, (size_t)snprintf(size, sizeof(size), "\r\n%zx\r\n", filler_len));
			put(c, filler, filler_len);
		}
		put(c, "\r\n0\r\n\r\n", 7);
		return;
	}
	put(c, line, (size_t)n);
	if (kind == BODIES_SENDFILE)
		c->file_left = filler_len;
	else
		put(c, filler, filler_len);
}

static void put_answer(struct connection *c)
{
	bool fails = c->failure == FAIL_503;
	enum bodies kind = options.bodies >= 0 ? (enum bodies)options.bodies : random_below_or_at(&random_state, BODIES_N - 1);
	size_t filler_len = random_below_or_at(&random_state, (uint32_t)options.body_max);
	char framing[64] = "Transfer-Encoding: chunked";
	char head[1024];

	if (kind != BODIES_CHUNKED)
		snprintf(framing, sizeof(framing), "Content-Length: %zu", strlen(c->truth) + 1 + filler_len);
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\n%s\r\n%s: %s\r\n%s%s%s\r\n",
			 fails ? 503 : options.status, fails ? "Unavailable" : "OK", framing, TRUTH_HEADER, c->truth,
			 options.header, options.header[0] ? "\r\n" : "", c->closing ? "Connection: close\r\n" : "");
	put(c, head, (size_t)n);
	put_body(c, kind, filler_len);
	if (c->failure == FAIL_CUT) { /* close in the middle of the answer */
		c->out_len /= 2;
		c->file_left = 0;
		c->closing = true;
	}
}

/* Send what is left of the answer. The caller goes on with parse_more(). */
static void send_more(struct connection *c)
{
	while (c->out_sent < c->out_len || c->file_left > 0) {
		ssize_t n;
		off_t zero = 0;

		if (c->out_sent < c->out_len)
			n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, c->file_left ? MSG_MORE : 0);
		else
			n = sendfile(c->fd, filler_fd, &zero, c->file_left);
		if (n < 0 && errno == EAGAIN) {
			watch(c, EPOLLOUT);
			return;
		}
		if (n <= 0) {
			connection_close(c, false);
			return;
		}
		if (c->out_sent < c->out_len)
			c->out_sent += (size_t)n;
		else
			c->file_left -= (size_t)n;
	}
	if (c->closing) {
		connection_close(c, false);
		return;
	}
	c->busy = false;
	c->out_len = c->out_sent = 0;
	watch(c, EPOLLIN);
}

static void answer(struct connection *c)
{
	if (c->failure == FAIL_RESET || c->failure == FAIL_CLOSE) {
		connection_close(c, c->failure == FAIL_RESET);
		return;
	}
	put_answer(c);
	send_more(c);
}

static void request_complete(struct connection *c)
{
	uint32_t spread = (uint32_t)(options.delay_max_ms - options.delay_min_ms);
	uint64_t delay_us = (uint64_t)options.delay_min_ms * 1000 + random_below_or_at(&random_state, spread * 1000);

	counts.requests++;
	c->busy = true;
	c->failure = choose_failure();
	if (delay_us == 0)
		answer(c);
	else if (!timers_add(&timers, now_ns() + delay_us * 1000, (uint32_t)(c - connections), c->gen))
		die("too many timers");
}

static void consume(struct connection *c, size_t n)
{
	c->in_len -= n;
	memmove(c->in, c->in + n, c->in_len);
}

static void head_complete(struct connection *c, size_t head_len)
{
	char expectation[32];

	head_value(c->in, head_len, TRUTH_HEADER, c->truth, sizeof(c->truth));
	c->head_request = strncmp(c->in, "HEAD ", 5) == 0;
	c->closing = head_closes(c->in, head_len);
	body_begin_request(&c->body, c->in, head_len);
	c->in_body = true;
	if (head_value(c->in, head_len, "Expect", expectation, sizeof(expectation)))
		(void)send(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, 0);
	consume(c, head_len);
}

static void parse_more(struct connection *c)
{
	while (!c->busy && c->fd >= 0) {
		const char *data;
		size_t data_len;

		if (!c->in_body) {
			size_t head_len = head_length(c->in, c->in_len);

			if (head_len == 0)
				return;
			head_complete(c, head_len);
		}
		while (!c->body.done) {
			size_t n = body_take(&c->body, c->in, c->in_len, &data, &data_len);

			if (n == 0)
				return;
			counts.body_bytes += data_len;
			consume(c, n);
		}
		c->in_body = false;
		request_complete(c);
	}
}

static void receive(struct connection *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, IN_MAX - c->in_len, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		connection_close(c, false);
		return;
	}
	c->in_len += (size_t)n;
	parse_more(c);
	if (c->fd >= 0 && !c->busy && c->in_len == IN_MAX)
		connection_close(c, false); /* a head that does not fit */
}

static void accept_all(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct connection *c = connections;

		while (c < connections + MAX_CONNECTIONS && c->fd >= 0)
			c++;
		if (c == connections + MAX_CONNECTIONS)
			die("too many connections");
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

		c->fd = fd;
		c->in_len = c->out_len = c->out_sent = c->file_left = 0;
		c->busy = c->in_body = c->closing = false;
		counts.connections++;
		(void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
	}
}

static void run_timers(void)
{
	uint32_t id, gen;

	while (timers_due(&timers, now_ns(), &id, &gen)) {
		if (connections[id].fd < 0 || connections[id].gen != gen)
			continue;
		answer(&connections[id]);
		parse_more(&connections[id]);
	}
}

static void connection_ready(struct connection *c, uint32_t events)
{
	if (!c->busy) {
		receive(c);
	} else if (events & EPOLLOUT) {
		send_more(c);
		parse_more(c);
	} else if (events & (EPOLLERR | EPOLLHUP)) {
		connection_close(c, false);
	} else {
		watch(c, 0); /* pipelined bytes or a half close: they wait for the answer */
	}
}

static void loop(int listener)
{
	struct epoll_event events[256];
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	(void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
	while (!stopping) {
		int n = epoll_wait(epoll_fd, events, 256, timers_wait_ms(&timers, now_ns()));

		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;

			if (!c)
				accept_all(listener);
			else if (c->fd >= 0)
				connection_ready(c, events[i].events);
		}
		run_timers();
	}
}

static int choice(const char *name, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	fprintf(stderr, "truth_backend: unknown choice %s\n", name);
	exit(2);
}

static void parse_options(int argc, char **argv)
{
	static const char *const failures[] = {"none", "503", "reset", "close", "cut"};
	static const char *const bodies[] = {"length", "chunked", "sendfile"};
	static const struct option table[] = {
		{"port", 1, 0, 'p'},         {"delay-min", 1, 0, 'm'}, {"delay-max", 1, 0, 'd'},
		{"fail-percent", 1, 0, 'f'}, {"fail-kind", 1, 0, 'k'}, {"fail-first", 1, 0, '1'},
		{"bodies", 1, 0, 'b'},       {"body-max", 1, 0, 'n'},  {"status", 1, 0, 'c'},
		{"header", 1, 0, 'h'},       {"seed", 1, 0, 's'},      {0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (option) {
		case 'p': options.port = atoi(optarg); break;
		case 'm': options.delay_min_ms = atoi(optarg); break;
		case 'd': options.delay_max_ms = atoi(optarg); break;
		case 'f': options.fail_percent = atoi(optarg); break;
		case 'k': options.fail_kind = choice(optarg, failures, FAIL_N); break;
		case '1': options.fail_first = atoi(optarg); break;
		case 'b': options.bodies = choice(optarg, bodies, BODIES_N); break;
		case 'n': options.body_max = atoi(optarg); break;
		case 'c': options.status = atoi(optarg); break;
		case 'h': options.header = optarg; break;
		case 's': options.seed = strtoull(optarg, NULL, 10); break;
		default: exit(2);
		}
	}
	if (options.port == 0 || options.body_max > FILLER_MAX || options.seed == 0)
		exit(2);
	if (options.delay_max_ms < options.delay_min_ms)
		options.delay_max_ms = options.delay_min_ms;
}

static void on_stop(int signal_number)
{
	(void)signal_number;
	stopping = 1;
}

int main(int argc, char **argv)
{
	struct sigaction stop = {.sa_handler = on_stop};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	parse_options(argc, argv);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	random_state = options.seed;
	memset(filler, 'x', sizeof(filler));
	filler_fd = memfd_create("filler", MFD_CLOEXEC);
	if (filler_fd < 0 || write_all(filler_fd, filler, sizeof(filler)) != 0)
		die("memfd");
	for (int i = 0; i < MAX_CONNECTIONS; i++)
		connections[i].fd = -1;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	int listener = listen_on(options.port, SOCK_NONBLOCK | SOCK_CLOEXEC);

	say_ready();
	loop(listener);
	printf("{\"requests\": %lu, \"failed\": %lu, \"body_bytes\": %lu, \"connections\": %lu}\n", counts.requests,
	       counts.failed, counts.body_bytes, counts.connections);
	return 0;
}
