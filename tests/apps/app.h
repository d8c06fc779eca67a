/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * For programs that are run with and without the shim and must print the same both times: results, errno, descriptors;
 * no addresses, times or process numbers. errno is cleared first, so a success that touches it shows too.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRY(call)                                                                                                      \
	({                                                                                                             \
		errno = 0;                                                                                             \
		long tried_result = (long)(call);                                                                      \
		int tried_errno = errno;                                                                               \
		printf("%s = %ld errno %d\n", #call, tried_result, tried_errno);                                       \
		fflush(stdout);                                                                                        \
		tried_result;                                                                                          \
	})

static inline __attribute__((unused)) void list_descriptors(void)
{
	int open_fds[256], count = 0;
	DIR *dir = opendir("/proc/self/fd");

	for (struct dirent *entry; dir && (entry = readdir(dir));)
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(dir) && count < 256)
			open_fds[count++] = atoi(entry->d_name);
	if (dir)
		closedir(dir);
	printf("descriptors:");
	for (int i = 0; i < count; i++)
		printf(" %d", open_fds[i]);
	printf("\n");
	fflush(stdout);
}

/* A connected pair of TCP sockets over loopback; the listener is closed. */
static inline __attribute__((unused)) void tcp_pair(int fds[2])
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 5) ||
	    getsockname(listener, (struct sockaddr *)&addr, &len))
		exit(99);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fds[0], (struct sockaddr *)&addr, sizeof(addr)))
		exit(98);
	fds[1] = accept(listener, NULL, NULL);
	close(listener);
}

static inline __attribute__((unused)) void wait_child(pid_t pid)
{
	int status = 0;

	if (waitpid(pid, &status, 0) != pid)
		printf("no child\n");
	printf("child: exited %d status %d signal %d\n", WIFEXITED(status), WIFEXITED(status) ? WEXITSTATUS(status) : 0,
	       WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	fflush(stdout);
}
