/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of user, root, namespace and sandbox, each in a child of its own. */
#include "app.h"

#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

static void users(void)
{
	gid_t group = 65534;

	TRY(setgroups(1, &group));
	TRY(setfsgid(65534));
	TRY(setfsuid(65534));
	TRY(setresgid(65534, 65534, 65534));
	TRY(setresuid(65534, 65534, 65534));
	TRY(getuid() + getegid());
	TRY(setuid(0));
	TRY(setreuid(0, 0));
	TRY(setegid(0));
}

static void roots(void)
{
	TRY(chroot("/proc"));
	TRY(chdir("/"));
	TRY(access("/self", F_OK));
	TRY(syscall(SYS_chroot, "/nonexistent"));
}

static void namespaces(void)
{
	TRY(unshare(CLONE_FILES | CLONE_FS));
	TRY(unshare(0));
	TRY(unshare(CLONE_NEWUTS));
	TRY(unshare(CLONE_VM)); /* refused in a process with threads, ours included */
	TRY(setns(0, 0));
}

static void sandboxes(void)
{
	/* Everything is allowed but getppid, which is told so. */
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTTY),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(rules) / sizeof(rules[0]), rules };
	int fds[2];

	TRY(prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L));
	TRY(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
	TRY(syscall(SYS_getppid));
	TRY(syscall(SYS_seccomp, (long)SECCOMP_SET_MODE_FILTER, 0L, &program));
	tcp_pair(fds);
	TRY(write(fds[0], "x", 1));
	TRY(read(fds[1], &(char){ 0 }, 1));
}

/* After which only read, write and exit are allowed: one system call too many is a kill, and so is a look at the clock. */
static void strict(void)
{
	char buf[64];
	int fds[2];

	tcp_pair(fds);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0) {
		(void)!write(fds[0], "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 27);
		(void)!write(1, buf, (size_t)read(fds[1], buf, sizeof(buf)));
	}
	syscall(SYS_exit, 12L);
}

int main(void)
{
	void (*const changes[])(void) = { users, roots, namespaces, sandboxes, strict };

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		pid_t pid = fork();

		if (pid == 0) {
			changes[i]();
			fflush(stdout);
			_exit(11);
		}
		wait_child(pid);
	}
	return 0;
}
