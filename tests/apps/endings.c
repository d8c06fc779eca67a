/* SPDX-License-Identifier: Apache-2.0 */
/* Every way to end a process: what runs and what the parent sees. */
#include "app.h"

static void at_exit(void)
{
	puts("atexit");
	fflush(stdout);
}

static void at_quick_exit_handler(void)
{
	puts("at_quick_exit");
	fflush(stdout);
}

static void by_exit(void)
{
	exit(21);
}

static void by_underscore_exit(void)
{
	_exit(22);
}

static void by_Exit(void)
{
	_Exit(23);
}

static void by_quick_exit(void)
{
	quick_exit(24);
}

static void by_exit_group(void)
{
	syscall(SYS_exit_group, 25L);
}

static void by_signal(void)
{
	raise(SIGTERM);
}

static void by_abort(void)
{
	abort();
}

static void by_pthread_exit(void)
{
	pthread_exit(NULL);
}

int main(void)
{
	void (*const ways[])(void) = { by_exit,	      by_underscore_exit, by_Exit,  by_quick_exit,
				       by_exit_group, by_signal,	  by_abort, by_pthread_exit };

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		pid_t pid = fork();

		if (pid == 0) {
			int fds[2];

			atexit(at_exit);
			at_quick_exit(at_quick_exit_handler);
			tcp_pair(fds);
			ways[i]();
		}
		wait_child(pid);
	}
	return 3;
}
