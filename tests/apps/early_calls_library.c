/* SPDX-License-Identifier: Apache-2.0 */
/* A dependency whose constructor runs before a preload's. */
#include "app.h"

static void *work(void *arg)
{
	return arg;
}

static __attribute__((constructor)) void early(void)
{
	char got[4] = "";
	int fds[2];
	pthread_t thread;

	TRY(socket(AF_INET, SOCK_STREAM, 0));
	TRY(pipe(fds));
	TRY(write(fds[1], "abc", 4));
	TRY(read(fds[0], got, 4));
	TRY(strcmp(got, "abc"));
	TRY(pthread_create(&thread, NULL, work, NULL));
	TRY(pthread_join(thread, NULL));
	TRY(syscall(SYS_close, fds[0]));
	TRY(close(fds[1]));
	TRY(close(3));
	TRY(close_range(3, ~0u, 0));
	TRY(epoll_create1(0));
	TRY(close(3));
}

int early_calls(void);

int early_calls(void)
{
	return 0;
}
