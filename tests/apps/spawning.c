/* SPDX-License-Identifier: Apache-2.0 */
/* Every way to start a process, with hooked calls between vfork and exec as CPython makes them. */
#include "app.h"

#include <spawn.h>

static char *const arguments[] = { "sh", "-c", "echo \"$0 $MARK\"; exit 7", NULL };

static void by_vfork(int keep, int drop)
{
	pid_t pid = vfork();

	if (pid == 0) {
		close(drop);
		dup2(keep, 20);
		fcntl(20, F_SETFD, 0);
		close_range(21, ~0u, 0);
		execve("/bin/sh", arguments, environ);
		_exit(90);
	}
	wait_child(pid);
}

static void by_failing_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		execv("/nonexistent", arguments);
		_exit(errno == ENOENT ? 3 : 4);
	}
	wait_child(pid);
}

static void by_fork(int (*start)(void))
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(start() == -1 ? 91 : 92);
	wait_child(pid);
}

static int by_execv(void)
{
	return execv("/bin/sh", arguments);
}

static int by_execvp(void)
{
	return execvp("sh", arguments);
}

static int by_execvpe(void)
{
	return execvpe("sh", arguments, environ);
}

static int by_execl(void)
{
	return execl("/bin/sh", "sh", "-c", "echo l $MARK $*; exit 8",
		     "0", "1", "2", "3", "4", "5", "6", "7", "8", NULL);
}

static int by_execlp(void)
{
	return execlp("sh", "sh", "-c", "echo lp $MARK; exit 9", NULL);
}

static int by_execle(void)
{
	char *envp[] = { "MARK=own", "PATH=/bin", NULL };

	return execle("/bin/sh", "sh", "-c", "echo le $MARK; exit 10", NULL, envp);
}

static int by_fexecve(void)
{
	return fexecve(open("/bin/sh", O_RDONLY | O_CLOEXEC), arguments, environ);
}

static int by_execveat(void)
{
	return execveat(AT_FDCWD, "/bin/sh", arguments, environ, 0);
}

static int by_number(void)
{
	return (int)syscall(SYS_execve, "/bin/sh", arguments, environ);
}

static int by_number_at(void)
{
	return (int)syscall(SYS_execveat, (long)AT_FDCWD, "/bin/sh", arguments, environ, 0L);
}

static int by_nothing(void)
{
	return execve("/nonexistent", arguments, NULL);
}

int main(void)
{
	int (*const starts[])(void) = { by_execv,   by_execvp,   by_execvpe, by_execl,     by_execlp, by_execle,
					by_fexecve, by_execveat, by_number,  by_number_at, by_nothing };
	int fds[2];
	pid_t pid;

	setenv("MARK", "marked", 1);
	tcp_pair(fds);
	by_vfork(fds[0], fds[1]);
	by_failing_vfork();
	/* What the vfork child closed is still open here, and still a working connection. */
	TRY(write(fds[0], "alive", 5));
	TRY(read(fds[1], (char[8]){ 0 }, 8));
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		by_fork(starts[i]);

	/* Said only when the child has gone, or the two would write at the same time. */
	int error = posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, environ);

	wait_child(pid);
	TRY(error);
	error = posix_spawnp(&pid, "sh", NULL, NULL, arguments, environ);
	wait_child(pid);
	TRY(error);
	TRY(posix_spawn(&pid, "/nonexistent", NULL, NULL, arguments, environ));
	TRY(WEXITSTATUS(system("exit 6")));

	FILE *stream = popen("echo from popen; exit 5", "r");
	char line[32] = "";

	printf("%s", fgets(line, sizeof(line), stream));
	TRY(WEXITSTATUS(pclose(stream)));
	list_descriptors();
	return 0;
}
