/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event loop that answers after a while: when a timer has fallen due it makes the calls.
 *
 *   timers --port P --upstream P [--calls N] [--reuse] KIND
 *
 * KIND: own (a timerfd for each request), wheel (one for all that wait), timeout (the loop's own wait ends), or thread (timer_create(), with
 * a thread when it expires).
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "tests/apps/net.h"
#include "tests/apps/serve.h"

#define DELAY_NS 2000000

struct client {
	struct stream stream;
	struct request request;
	int timer;
	struct client *next; /* of those that wait */
};

static enum { OWN, WHEEL, TIMEOUT, THREAD } kind;
static const char *const kinds[] = {"own", "wheel", "timeout", "thread"};
static int epfd, wheel;
static struct client *waiting;
static struct client of_wheel, of_listener;

static void watch(int fd, int op, uint32_t events, void *data)
{
	struct epoll_event event = {.events = events, .data.ptr = data};

	epoll_ctl(epfd, op, fd, &event);
}

static void finish(struct client *c)
{
	struct stream upstream = {.fd = -1};
	bool ok = call_all(&upstream, &c->request);

	if (upstream.fd >= 0)
		close(upstream.fd);
	if (request_answer(c->stream.fd, &c->request, ok) && !c->request.closes) {
		watch(c->stream.fd, EPOLL_CTL_MOD, EPOLLIN | EPOLLONESHOT, c);
		return;
	}
	close(c->stream.fd);
	free(c);
}

static void finish_all(void)
{
	while (waiting) {
		struct client *c = waiting;

		waiting = c->next;
		finish(c);
	}
}

static void expired(union sigval value)
{
	finish(value.sival_ptr);
}

static void arm(int fd)
{
	const struct itimerspec once = {.it_value.tv_nsec = DELAY_NS};

	if (timerfd_settime(fd, 0, &once, NULL) != 0)
		die("timerfd_settime");
}

static void start_thread_timer(struct client *c)
{
	const struct itimerspec once = {.it_value.tv_nsec = DELAY_NS};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = expired, .sigev_value.sival_ptr = c};
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime(timer, 0, &once, NULL) != 0)
		die("timer_create");
}

static void delay(struct client *c)
{
	if (kind == THREAD) {
		start_thread_timer(c);
	} else if (kind == OWN) {
		c->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
		watch(c->timer, EPOLL_CTL_ADD, EPOLLIN, c);
		arm(c->timer);
	} else {
		if (!waiting && kind == WHEEL)
			arm(wheel);
		c->next = waiting;
		waiting = c;
	}
}

static void ready(struct client *c)
{
	uint64_t times;

	if (c->timer > 0) {
		if (read(c->timer, &times, sizeof(times)) != sizeof(times))
			die("read");
		close(c->timer);
		c->timer = 0;
		finish(c);
	} else if (request_read(&c->stream, &c->request)) {
		delay(c);
	} else {
		close(c->stream.fd);
		free(c);
	}
}

static void on_event(struct client *c, int listener)
{
	uint64_t times;

	if (c == &of_listener) {
		c = calloc(1, sizeof(*c));
		c->stream.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		watch(c->stream.fd, EPOLL_CTL_ADD, EPOLLIN | EPOLLONESHOT, c);
	} else if (c == &of_wheel) {
		if (read(wheel, &times, sizeof(times)) == sizeof(times))
			finish_all();
	} else {
		ready(c);
	}
}

int main(int argc, char **argv)
{
	struct epoll_event events[16];

	serve_parse(argc, argv);
	while (kind < THREAD && strcmp(argv[argc - 1], kinds[kind]) != 0)
		kind++;
	int listener = listen_on(serve_options.port, SOCK_CLOEXEC);

	epfd = epoll_create1(EPOLL_CLOEXEC);
	wheel = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	watch(listener, EPOLL_CTL_ADD, EPOLLIN, &of_listener);
	watch(wheel, EPOLL_CTL_ADD, EPOLLIN, &of_wheel);
	say_ready();
	for (;;) {
		int n = epoll_wait(epfd, events, 16, kind == TIMEOUT && waiting ? 2 : -1);

		for (int i = 0; i < n; i++)
			on_event(events[i].data.ptr, listener);
		if (n == 0)
			finish_all();
	}
}
