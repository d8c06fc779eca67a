/* SPDX-License-Identifier: Apache-2.0 */
/* A descriptor limit of 64, reached; and numbers beyond 1024 and beyond a leaf of the table. */
#include "app.h"

#include <poll.h>
#include <sys/resource.h>

static void talk(int from, int to)
{
	struct pollfd polled = { .fd = to, .events = POLLIN };

	TRY(write(from, "12345", 5));
	TRY(poll(&polled, 1, -1));
	TRY(read(to, (char[8]){ 0 }, 8));
}

int main(void)
{
	struct rlimit limit;
	int fds[2], count = 0;

	getrlimit(RLIMIT_NOFILE, &limit);
	TRY(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 64, limit.rlim_max }));
	tcp_pair(fds);
	while (socket(AF_INET, SOCK_STREAM, 0) >= 0)
		count++;
	printf("%d sockets, errno %d\n", count, errno);
	TRY(accept(fds[0], NULL, NULL));
	TRY(epoll_create1(0));
	TRY(dup(0));
	TRY(dup2(fds[0], 64));
	talk(fds[0], fds[1]);
	closefrom(6);
	TRY(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ limit.rlim_max, limit.rlim_max }));
	if (limit.rlim_max > 9000) {
		TRY(dup2(fds[0], 3000));
		TRY(dup2(fds[1], 8999));
		TRY(close(fds[0]));
		TRY(close(fds[1]));
		talk(3000, 8999);
		talk(8999, 3000);
		TRY(fcntl(3000, F_DUPFD, 5000));
		talk(5000, 8999);
	}
	list_descriptors();
	return 0;
}
