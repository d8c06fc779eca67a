/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server with one epoll loop, whose handlers do what a loop's handlers must not: they block it. By path:
 *
 *   /sleep /burn /lock /poll   the handler sleeps, computes, waits for a mutex, waits in poll(), for --ms milliseconds; then it answers
 *   /wait                      it is answered when the next of the above is, or the next /free
 *   /fail                      it is answered at once, with status 500
 *   /free and all others       it is answered at once
 *
 * --port P [--ms N]. SIGTERM ends it with status 0. Two more threads, one in nanosleep and one in poll, count the
 * times that these return too early or fail; the count is printed at the end.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/apps/net.h"

#define CONNECTIONS 256

static int loop, waiting[CONNECTIONS], n_waiting;
static long stall_ms = 300;
static volatile sig_atomic_t stopping;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic unsigned disturbed, undisturbed;

void app_sleeps(void);
void app_burns(void);
void app_locks(void);
void app_polls(void);
void app_fails(int fd);
void app_dispatches(const char *path);

static void on_signal(int number)
{
	(void)number;
	stopping = 1;
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void note(bool is_right)
{
	if (is_right)
		undisturbed++;
	else
		disturbed++;
}

/* ---- handlers: not inlined, and not left by a jump, so that each has a frame of its own ---- */

__attribute__((noinline)) void app_sleeps(void)
{
	struct timespec t = {stall_ms / 1000, stall_ms % 1000 * 1000000};
	double begun = now_ms();

	note(nanosleep(&t, NULL) == 0 && now_ms() - begun >= (double)stall_ms);
}

__attribute__((noinline)) void app_burns(void)
{
	double end = now_ms() + (double)stall_ms;

	while (now_ms() < end)
		for (volatile int i = 0; i < 10000; i++)
			continue;
	note(true);
}

__attribute__((noinline)) void app_locks(void)
{
	note(pthread_mutex_lock(&mutex) == 0);
	pthread_mutex_unlock(&mutex);
}

__attribute__((noinline)) void app_polls(void)
{
	note(poll(NULL, 0, (int)stall_ms) == 0);
}

static void *hold_mutex(void *held)
{
	struct timespec t = {stall_ms / 1000, stall_ms % 1000 * 1000000};

	pthread_mutex_lock(&mutex);
	*(_Atomic bool *)held = true;
	nanosleep(&t, NULL);
	pthread_mutex_unlock(&mutex);
	return NULL;
}

static void lock_against_another(void)
{
	_Atomic bool held = false;
	pthread_t holder;

	if (pthread_create(&holder, NULL, hold_mutex, &held) != 0)
		return;
	while (!held)
		sched_yield();
	app_locks();
	pthread_join(holder, NULL);
}

__attribute__((noinline)) void app_dispatches(const char *path)
{
	if (strncmp(path, "/sleep", 6) == 0)
		app_sleeps();
	else if (strncmp(path, "/burn", 5) == 0)
		app_burns();
	else if (strncmp(path, "/lock", 5) == 0)
		lock_against_another();
	else if (strncmp(path, "/poll", 5) == 0)
		app_polls();
	__asm__ volatile("" ::: "memory");
}

/* ---- the loop ---- */

__attribute__((noinline)) void app_fails(int fd)
{
	static const char text[] = "HTTP/1.1 500 Not Today\r\nContent-Length: 2\r\n\r\nno";

	note(write(fd, text, sizeof(text) - 1) > 0);
}

static void answer(int fd)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

	(void)!write(fd, text, sizeof(text) - 1);
}

static void serve(int fd)
{
	char head[2048], path[64];
	ssize_t n = read(fd, head, sizeof(head) - 1);

	if (n <= 0) {
		close(fd);
		return;
	}
	head[n] = '\0';
	if (sscanf(head, "%*s %63s", path) != 1)
		return;
	if (strncmp(path, "/wait", 5) == 0 && n_waiting < CONNECTIONS) {
		waiting[n_waiting++] = fd;
		return;
	}
	if (strncmp(path, "/fail", 5) == 0) {
		app_fails(fd);
		return;
	}
	app_dispatches(path);
	answer(fd);
	while (n_waiting > 0 && path[1] != 'n')
		answer(waiting[--n_waiting]);
}

static void watch(int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
}

static void run(int listener)
{
	struct epoll_event events[16];

	while (!stopping) {
		int n = epoll_wait(loop, events, 16, 1000);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				watch(accept(listener, NULL, NULL));
			else
				serve(events[i].data.fd);
		}
	}
}

/* ---- the bystanders ---- */

static void *sleeper(void *unused)
{
	const struct timespec t = {0, 20000000};

	while (!stopping) {
		struct timespec left = {0, 0};
		double begun = now_ms();

		note(nanosleep(&t, &left) == 0 && left.tv_nsec == 0 && now_ms() - begun >= 20);
	}
	return unused;
}

static void *poller(void *unused)
{
	while (!stopping)
		note(poll(NULL, 0, 20) == 0);
	return unused;
}

int main(int argc, char **argv)
{
	static const struct option table[] = {{"port", 1, 0, 'p'}, {"ms", 1, 0, 'm'}, {0}};
	struct sigaction action = {.sa_handler = on_signal};
	pthread_t bystanders[2];
	sigset_t term;
	int port = 0, option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (option == 'p')
			port = atoi(optarg);
		else if (option == 'm')
			stall_ms = atol(optarg);
		else
			return 2;
	}
	sigaction(SIGTERM, &action, NULL);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &term, NULL); /* the loop's thread is the one to be told */
	pthread_create(&bystanders[0], NULL, sleeper, NULL);
	pthread_create(&bystanders[1], NULL, poller, NULL);
	pthread_sigmask(SIG_UNBLOCK, &term, NULL);
	loop = epoll_create1(0);
	int listener = listen_on(port, 0);
	watch(listener);
	run(listener);
	pthread_join(bystanders[0], NULL);
	pthread_join(bystanders[1], NULL);
	printf("disturbed %u undisturbed %u\n", disturbed, undisturbed);
	return 0;
}
