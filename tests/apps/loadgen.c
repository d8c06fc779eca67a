/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client of the exactness tests: N keep-alive connections to 127.0.0.1, M requests in all, each with a truth id of
 * its own (X-Truth: <connection>-<sequence>) that the answer must name again. Prints one line of JSON. Exit status: 0
 * when every request got an answer with the right truth, 1 when not, 2 for bad usage.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/apps/http.h"
#include "tests/apps/net.h"
#include "tests/apps/timers.h"

#define MAX_CONNECTIONS 2000
#define MAX_PIPELINE 16
#define IN_MAX 16384
#define OUT_MAX 65536

enum traceparent { TRACE_NONE, TRACE_ALL, TRACE_MIXED, TRACE_SHARED, TRACE_N };

static struct {
	int port, connections, requests, pipeline, think_max_ms, post_max, timeout_s, distinct, echo, prefix;
	const char *target, *header;
	enum traceparent traceparent;
	uint64_t seed;
} options = {.connections = 100, .requests = 1000, .pipeline = 1, .timeout_s = 300, .echo = 1, .target = "/same",
	     .header = "", .seed = 1};

struct request {
	int sequence;
	uint64_t sent_ns;
};

struct connection {
	int fd;       /* -1: none open */
	uint32_t gen; /* of the socket, so that old timers are known */
	bool connecting, thinking, in_body, close_after, body_checked;
	struct body body;
	struct request queue[MAX_PIPELINE]; /* unanswered, oldest first */
	int queued;
	size_t in_len, out_len, out_sent;
	char body_start[TRUTH_MAX + 1]; /* the first line of the answer's body */
	size_t body_start_len;
	char truth[TRUTH_MAX]; /* of the answer being read, from its head */
	int status;
	char in[IN_MAX], out[OUT_MAX];
};

static struct connection connections[MAX_CONNECTIONS];
static struct timers timers;
static int epoll_fd;
static uint64_t random_state;
static int next_sequence; /* requests handed out so far */
static uint32_t *latency_us;
static struct {
	int answered, mismatched, not_2xx, broken, refused, reconnected;
} counts;

static void connection_open(struct connection *c)
{
	c->fd = connect_to(options.port, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (c->fd < 0) {
		errno = -c->fd;
		die("connect");
	}
	c->gen++;
	c->connecting = true;
	c->in_body = c->close_after = false;
	c->in_len = c->out_len = c->out_sent = 0;
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};

	(void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

static void watch(struct connection *c, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = c};

	(void)epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

static bool all_done(void)
{
	return counts.answered + counts.broken >= options.requests;
}

/* The peer ended the connection. What was asked and not answered is lost; go on with a fresh connection. */
static void connection_lost(struct connection *c)
{
	close(c->fd);
	c->fd = -1;
	c->gen++;
	counts.broken += c->queued;
	c->queued = 0;
	c->thinking = false;
	if (next_sequence < options.requests) {
		counts.reconnected++;
		connection_open(c);
	}
}

static void truth_of(const struct connection *c, int sequence, char out[TRUTH_MAX])
{
	snprintf(out, TRUTH_MAX, "%02d-%06d", (int)(c - connections), sequence + options.prefix);
}

static size_t put_traceparent(char *out, size_t cap, int sequence)
{
	int n = options.traceparent == TRACE_SHARED ? 0 : sequence + 1;

	if (options.traceparent == TRACE_NONE || (options.traceparent == TRACE_MIXED && sequence % 2 == 1))
		return 0;
	return (size_t)snprintf(out, cap, "traceparent: 00-%016x%016x-%016x-01\r\n", 0x10adce, n, n + 1);
}

static void put_request(struct connection *c, int sequence)
{
	char truth[TRUTH_MAX], trace[128] = "";
	uint32_t body_len = options.post_max > 0 ? random_below_or_at(&random_state, (uint32_t)options.post_max) : 0;
	char length[64] = "";
	char *out = c->out + c->out_len;
	size_t room = OUT_MAX - c->out_len;

	truth_of(c, sequence, truth);
	put_traceparent(trace, sizeof(trace), sequence);
	if (options.post_max > 0)
		snprintf(length, sizeof(length), "Content-Length: %u\r\n", body_len);
	int n = snprintf(out, room, "%s %s%s%s HTTP/1.1\r\nHost: truth.test\r\nUser-Agent: loadgen\r\n%s: %s\r\n%s%s%s%s\r\n",
			 options.post_max > 0 ? "POST" : "GET", options.target, options.distinct ? "/" : "",
			 options.distinct ? truth : "", TRUTH_HEADER, truth, trace, length, options.header,
			 options.header[0] ? "\r\n" : "");

	if ((size_t)n + body_len > room)
		die("request too large");
	memset(out + n, 'b', body_len);
	c->out_len += (size_t)n + body_len;
	c->queue[c->queued++] = (struct request){sequence, now_ns()};
}

static void send_more(struct connection *c)
{
	while (c->out_sent < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			watch(c, EPOLLIN | EPOLLOUT);
			return;
		}
		if (n < 0)
			return; /* the read side will say what happened */
		c->out_sent += (size_t)n;
	}
	c->out_len = c->out_sent = 0;
	watch(c, EPOLLIN);
}

/* Ask the next burst of requests, when the last is answered and sent. */
static void ask_more(struct connection *c)
{
	if (c->fd < 0 || c->connecting || c->thinking || c->queued > 0 || c->out_len > 0)
		return;
	while (c->queued < options.pipeline && next_sequence < options.requests)
		put_request(c, next_sequence++);
	if (c->out_len > 0)
		send_more(c);
}

static void think(struct connection *c)
{
	uint64_t pause_us;

	if (options.think_max_ms == 0)
		return;
	pause_us = random_below_or_at(&random_state, (uint32_t)options.think_max_ms * 1000);
	c->thinking = true;
	if (!timers_add(&timers, now_ns() + pause_us * 1000, (uint32_t)(c - connections), c->gen))
		die("too many timers");
}

static void answer_complete(struct connection *c)
{
	struct request request = c->queue[0];
	char truth[TRUTH_MAX];
	char *line_end = memchr(c->body_start, '\n', c->body_start_len);

	memmove(c->queue, c->queue + 1, (size_t)--c->queued * sizeof(c->queue[0]));
	latency_us[counts.answered++] = (uint32_t)((now_ns() - request.sent_ns) / 1000);
	truth_of(c, request.sequence, truth);
	if (c->status < 200 || c->status > 299) {
		counts.not_2xx++;
	} else if (options.echo) {
		if (line_end)
			*line_end = '\0';
		if (strcmp(c->truth, truth) != 0 || !line_end || strcmp(c->body_start, truth) != 0)
			counts.mismatched++;
	}
	c->in_body = false;
	if (c->close_after)
		connection_lost(c);
	else if (c->queued == 0)
		think(c);
}

static void consume(struct connection *c, size_t n)
{
	c->in_len -= n;
	memmove(c->in, c->in + n, c->in_len);
}

static bool read_head(struct connection *c)
{
	size_t head_len = head_length(c->in, c->in_len);

	if (head_len == 0)
		return false;
	c->status = head_status(c->in, head_len);
	if (c->status >= 100 && c->status < 200) {
		consume(c, head_len);
		return true;
	}
	if (c->queued == 0 || c->status < 0)
		die("an answer that nobody asked for");
	head_value(c->in, head_len, TRUTH_HEADER, c->truth, sizeof(c->truth));
	c->close_after = head_closes(c->in, head_len);
	body_begin_response(&c->body, c->in, head_len, c->status == 204 || c->status == 304);
	c->in_body = true;
	c->body_start_len = 0;
	consume(c, head_len);
	return true;
}

static void keep_body_start(struct connection *c, const char *data, size_t len)
{
	size_t room = sizeof(c->body_start) - 1 - c->body_start_len;

	if (len > room)
		len = room;
	memcpy(c->body_start + c->body_start_len, data, len);
	c->body_start_len += len;
}

static void parse_more(struct connection *c)
{
	for (;;) {
		if (!c->in_body && !read_head(c))
			return;
		while (c->in_body && !c->body.done) {
			const char *data;
			size_t data_len, n = body_take(&c->body, c->in, c->in_len, &data, &data_len);

			if (n == 0)
				return;
			keep_body_start(c, data, data_len);
			consume(c, n);
		}
		if (c->in_body)
			answer_complete(c);
		if (c->fd < 0 || c->connecting)
			return;
	}
}

static void receive(struct connection *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, IN_MAX - c->in_len, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		if (n == 0 && c->in_body && c->body.framing == BODY_UNTIL_CLOSE) {
			c->close_after = true;
			answer_complete(c);
			return;
		}
		connection_lost(c);
		return;
	}
	c->in_len += (size_t)n;
	parse_more(c);
}

static void connection_ready(struct connection *c, uint32_t events)
{
	if (c->connecting && (events & (EPOLLERR | EPOLLHUP))) {
		counts.refused++;
		if (counts.refused > options.connections)
			die("connections are refused");
	}
	if (events & EPOLLOUT) {
		c->connecting = false;
		send_more(c);
	}
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		receive(c);
	ask_more(c);
}

static void run_timers(void)
{
	uint32_t id, gen;

	while (timers_due(&timers, now_ns(), &id, &gen)) {
		struct connection *c = &connections[id];

		if (c->gen != gen)
			continue;
		c->thinking = false;
		ask_more(c);
	}
}

static void loop(uint64_t deadline_ns)
{
	struct epoll_event events[256];

	while (!all_done() && now_ns() < deadline_ns) {
		int wait = timers_wait_ms(&timers, now_ns());
		int n = epoll_wait(epoll_fd, events, 256, wait < 0 || wait > 1000 ? 1000 : wait);

		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;

			if (c->fd >= 0)
				connection_ready(c, events[i].events);
		}
		run_timers();
	}
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double percentile_ms(double p)
{
	int n = counts.answered;

	return n == 0 ? 0 : latency_us[(int)((n - 1) * p)] / 1000.0;
}

static void report(double seconds)
{
	qsort(latency_us, (size_t)counts.answered, sizeof(latency_us[0]), compare_u32);
	printf("{\"requests\": %d, \"answered\": %d, \"broken\": %d, \"mismatched\": %d, \"not_2xx\": %d, "
	       "\"reconnected\": %d, \"seconds\": %.3f, \"rps\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": %.3f}\n",
	       options.requests, counts.answered, counts.broken, counts.mismatched, counts.not_2xx, counts.reconnected,
	       seconds, counts.answered / seconds, percentile_ms(0.5), percentile_ms(0.99));
}

static enum traceparent traceparent_choice(const char *name)
{
	static const char *const names[] = {"none", "all", "mixed", "shared"};

	for (int i = 0; i < TRACE_N; i++)
		if (strcmp(name, names[i]) == 0)
			return (enum traceparent)i;
	exit(2);
}

static void parse_options(int argc, char **argv)
{
	static const struct option table[] = {
		{"port", 1, 0, 'p'},     {"connections", 1, 0, 'c'}, {"requests", 1, 0, 'n'}, {"pipeline", 1, 0, 'l'},
		{"think-max", 1, 0, 't'}, {"post-max", 1, 0, 'b'},   {"timeout", 1, 0, 'T'},  {"distinct", 0, 0, 'd'},
		{"no-echo", 0, 0, 'e'},  {"target", 1, 0, 'u'},      {"header", 1, 0, 'h'},   {"traceparent", 1, 0, 'w'},
		{"seed", 1, 0, 's'},     {"first", 1, 0, 'f'},       {0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (option) {
		case 'p': options.port = atoi(optarg); break;
		case 'c': options.connections = atoi(optarg); break;
		case 'n': options.requests = atoi(optarg); break;
		case 'l': options.pipeline = atoi(optarg); break;
		case 't': options.think_max_ms = atoi(optarg); break;
		case 'b': options.post_max = atoi(optarg); break;
		case 'T': options.timeout_s = atoi(optarg); break;
		case 'd': options.distinct = 1; break;
		case 'e': options.echo = 0; break;
		case 'u': options.target = optarg; break;
		case 'h': options.header = optarg; break;
		case 'w': options.traceparent = traceparent_choice(optarg); break;
		case 's': options.seed = strtoull(optarg, NULL, 10); break;
		case 'f': options.prefix = atoi(optarg); break; /* number of the first request */
		default: exit(2);
		}
	}
	if (options.port == 0 || options.connections < 1 || options.connections > MAX_CONNECTIONS || options.requests < 1 ||
	    options.pipeline < 1 || options.pipeline > MAX_PIPELINE || options.seed == 0)
		exit(2);
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	random_state = options.seed;
	latency_us = calloc((size_t)options.requests, sizeof(latency_us[0]));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!latency_us || epoll_fd < 0)
		die("start");
	for (int i = 0; i < options.connections; i++)
		connection_open(&connections[i]);
	uint64_t start = now_ns();

	loop(start + (uint64_t)options.timeout_s * 1000000000u);
	report((double)(now_ns() - start) / 1e9);
	free(latency_us);
	return counts.answered == options.requests && counts.mismatched == 0 && counts.not_2xx == 0 ? 0 : 1;
}
