/* SPDX-License-Identifier: Apache-2.0 */
#include "export/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void close_all(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	if (syscall(SYS_close_range, 3u, ~0u, 0u) == 0)
		return;
	/* Kernels before 5.9. */
	for (int fd = 3; fd < (int)sysconf(_SC_OPEN_MAX); fd++)
		close(fd);
}

int agent_detach(void)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		return EXIT_FAILURE;
	if (child > 0) {
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
	}
	setsid();
	child = fork();
	if (child != 0)
		_exit(child < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
	close_all();
	return 0;
}
