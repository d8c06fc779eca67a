/* SPDX-License-Identifier: Apache-2.0 */
/* The loops with which daemons, sshd and CPython close what they inherited; the program works on afterwards. */
#include "app.h"

static void check(const char *what)
{
	int fds[2];

	puts(what);
	list_descriptors();
	tcp_pair(fds);
	TRY(fds[0] * 100 + fds[1]);
	TRY(write(fds[0], "x", 1));
	TRY(read(fds[1], &(char){ 0 }, 1));
}

int main(void)
{
	check("at first");
	TRY(close_range(3, ~0u, 0));
	check("close_range");
	TRY(close_range(3, 4, 4)); /* CLOSE_RANGE_CLOEXEC: they stay open */
	list_descriptors();
	closefrom(3);
	check("closefrom");
	for (int fd = 3; fd < 256; fd++)
		close(fd);
	check("a loop");

	DIR *dir = opendir("/proc/self/fd");

	for (struct dirent *entry; (entry = readdir(dir));)
		if (atoi(entry->d_name) > 2 && atoi(entry->d_name) != dirfd(dir))
			close(atoi(entry->d_name));
	closedir(dir);
	check("/proc/self/fd");
	TRY(syscall(SYS_close_range, 3L, ~0L, 0L));
	check("system call");
	TRY(close_range(5, 3, 0));
	return 0;
}
