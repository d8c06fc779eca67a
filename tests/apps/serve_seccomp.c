/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that locks itself in after it listens: from then on a filter kills the process for every system call that
 * its own loop does not need. One thread, one connection at a time, a call to the backend for each request.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/apps/net.h"
#include "tests/apps/serve.h"

static const unsigned int allowed[] = {
	__NR_accept4, __NR_socket, __NR_connect, __NR_setsockopt, __NR_recvfrom, __NR_write, __NR_close,
	__NR_rt_sigreturn, __NR_exit, __NR_exit_group, __NR_restart_syscall, __NR_futex, __NR_clock_gettime,
};
#define N_ALLOWED (sizeof(allowed) / sizeof(allowed[0]))

static void lock_in(void)
{
	struct sock_filter filter[N_ALLOWED + 3];
	struct sock_fprog program = {.len = N_ALLOWED + 3, .filter = filter};
	unsigned char n = N_ALLOWED;

	filter[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned char i = 0; i < n; i++)
		filter[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], (unsigned char)(n - i), 0);
	filter[1 + n] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	filter[2 + n] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		die("prctl");
}

int main(int argc, char **argv)
{
	serve_parse(argc, argv);
	int listener = listen_on(serve_options.port, SOCK_CLOEXEC);

	say_ready();
	lock_in();
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			connection_serve(fd);
	}
}
