/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that end with their last thread, or behind the back of libc, after an HTTP exchange: by then the library has a
 * thread of its own, and spans to send.
 */
#include "app.h"

#include <sched.h>

static void exchange(void)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
	static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	char buf[4096];
	int fds[2];

	tcp_pair(fds);
	if (write(fds[0], request, sizeof(request) - 1) < 0 || read(fds[1], buf, sizeof(buf)) <= 0 ||
	    write(fds[1], response, sizeof(response) - 1) < 0 || read(fds[0], buf, sizeof(buf)) <= 0)
		_exit(97);
	close(fds[0]);
	close(fds[1]);
}

static void say_goodbye(void)
{
	(void)!write(1, "exit handler\n", 13);
}

static void alone(void)
{
	exchange();
	pthread_exit(NULL);
}

static pthread_t first;

static void *outlives_the_first(void *arg)
{
	pthread_join(first, NULL);
	exchange();
	return arg;
}

static void last_of_two(void)
{
	pthread_t thread;

	first = pthread_self();
	exchange();
	pthread_create(&thread, NULL, outlives_the_first, NULL);
	pthread_detach(thread);
	pthread_exit(NULL);
}

static void *forks(void *arg)
{
	pid_t pid = fork();

	if (pid == 0)
		alone(); /* the first thread of the child is not the first of its parent */
	wait_child(pid);
	return arg;
}

static void forked_by_another_thread(void)
{
	pthread_t thread;

	exchange();
	pthread_create(&thread, NULL, forks, NULL);
	pthread_join(thread, NULL);
	exit(4);
}

static void by_number(void)
{
	exchange();
	syscall(SYS_exit, 5L);
}

static pid_t fork_by_number(void)
{
	return (pid_t)syscall(SYS_fork);
}

/* Without pthread_atfork: what another thread holds at that moment is held for ever in the child. */
static void fork_quietly(pid_t (*fork_now)(void))
{
	exchange();

	pid_t pid = fork_now();

	if (pid == 0) {
		exchange();
		exit(6);
	}
	wait_child(pid);
	exit(7);
}

static void quiet_fork(void)
{
	fork_quietly(_Fork);
}

static void quiet_fork_by_number(void)
{
	fork_quietly(fork_by_number);
}

static int in_clone(void *arg)
{
	exchange();
	exit(arg ? 8 : 9);
}

static void quiet_clone(void)
{
	static char stack[65536] __attribute__((aligned(16)));

	exchange();
	wait_child(clone(in_clone, stack + sizeof(stack), SIGCHLD, stack));
	exit(7);
}

static int told[2];

/* Its parent is gone at once, and the child has no terminal; whoever waits reads of its end. */
static void as_daemon(void)
{
	exchange();
	if (daemon(1, 1) != 0)
		_exit(96);
	exchange();
	(void)!write(told[1], "daemon\n", 7);
	_exit(0);
}

static void listen_to_daemon(void)
{
	char text[16];
	ssize_t n;

	close(told[1]);
	while ((n = read(told[0], text, sizeof(text))) > 0)
		(void)!write(1, text, (size_t)n);
}

int main(void)
{
	void (*const ends[])(void) = { alone,	 last_of_two,	       forked_by_another_thread,
				       by_number,  quiet_fork, quiet_fork_by_number,	 quiet_clone,	as_daemon };

	if (pipe(told) != 0)
		return 1;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		pid_t pid = fork();

		if (pid == 0) {
			atexit(say_goodbye);
			ends[i]();
		}
		wait_child(pid);
	}
	listen_to_daemon();
	return 0;
}
