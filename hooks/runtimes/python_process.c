/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Python's pools of processes. They are started by whoever first needs them and then work for all, who hand them what to do through
 * pipes. So a child works for whom it was started until it reads from a pipe; from then on, for anybody.
 *
 * Forked ones (multiprocessing's "fork") keep what they were; those that begin anew ("spawn") find it in TRACEPARENT, and the pipes among
 * what they inherited. Behind a fork server nobody knows who asked for a child.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "hooks/runtimes/python_api.h"
#include "hooks/runtimes/python_threads.h"
#include "shim/fdtable.h"
#include "shim/process.h"
#include "shim/runtime.h"
#include "shim/sys.h"

#define ARGUMENTS 32
#define DESCRIPTORS 256

static bool is_pools; /* a process of a pool, most likely: written before main() or after a fork */

/* ---- those that begin anew ---- */

static bool is_unix_stream(int fd)
{
	int domain = 0, listens = 1;
	socklen_t size = sizeof(domain);

	return sys_call6(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, (long)&domain, (long)&size, 0) == 0 &&
	       domain == AF_UNIX &&
	       sys_call6(SYS_getsockopt, fd, SOL_SOCKET, SO_ACCEPTCONN, (long)&listens, (long)&size, 0) == 0 && !listens;
}

static bool is_pipe(int fd)
{
	struct stat st;

	if (sys_call3(SYS_fstat, fd, (long)&st, 0) != 0)
		return false;
	return S_ISFIFO(st.st_mode) || (S_ISSOCK(st.st_mode) && is_unix_stream(fd));
}

/* own: what the child is to do comes through this one. */
static void watch_pipes(int own)
{
	for (int fd = 3; fd < DESCRIPTORS; fd++)
		if (fd != own && is_pipe(fd))
			(void)fdtable_set(fd, FD_PIPE, 0);
}

static void look_at(char *const argv[])
{
	const char *pipe = NULL;
	bool spawned = false;

	for (unsigned i = 1; i < ARGUMENTS && argv[i]; i++) {
		const char *found = strstr(argv[i], "pipe_handle=");

		pipe = found ? found + strlen("pipe_handle=") : pipe;
		spawned = spawned || strcmp(argv[i], "--multiprocessing-fork") == 0;
		if (strncmp(argv[i], "from multiprocessing.forkserver ", 32) == 0 || strstr(argv[i], "popen_loky"))
			process_takes_work();
	}
	if (!spawned)
		return;
	is_pools = true;
	if (pipe)
		watch_pipes(atoi(pipe));
	else
		process_takes_work();
}

void python_process_look(void)
{
	static bool done;
	char *const *argv = process_arguments();

	if (!done && argv && argv[0])
		look_at(argv);
	done = true;
}

/* ---- those that are forked ---- */

/* The module that forks them is imported just before. */
void python_process_forked(void)
{
	if (cpython_is_ready() && cpython_holds_gil() && !python_error() && python_of_module("multiprocessing.popen_fork", "Popen"))
		is_pools = true;
}

bool python_process_was_handed(void)
{
	if (is_pools)
		process_takes_work();
	return is_pools;
}
