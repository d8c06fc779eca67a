/* SPDX-License-Identifier: Apache-2.0 */
/*
 * I/O, waiting and exec on the smallest stacks there are: 16 KiB threads and a signal handler on a minimal
 * sigaltstack.
 */
#include "app.h"

#include <poll.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/uio.h>

static int fds[2];

static void exchange(void)
{
	char bytes[16];
	struct iovec iov = { bytes, 4 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct pollfd waited = { .fd = fds[1], .events = POLLIN };

	if (write(fds[0], "1234", 4) != 4 || poll(&waited, 1, -1) != 1 || read(fds[1], bytes, 4) != 4)
		_exit(90);
	if (send(fds[0], "1234", 4, 0) != 4 || recv(fds[1], bytes, 4, 0) != 4)
		_exit(91);
	if (sendmsg(fds[0], &msg, 0) != 4 || recvmsg(fds[1], &msg, 0) != 4)
		_exit(92);
	if (writev(fds[0], &iov, 1) != 4 || readv(fds[1], &iov, 1) != 4)
		_exit(93);
}

static void handle(int signal)
{
	(void)signal;
	exchange();
}

static void *in_thread(void *arg)
{
	exchange();
	return arg;
}

static void *exec_in_thread(void *arg)
{
	pid_t pid = vfork();

	if (pid == 0) {
		execl("/bin/true", "true", NULL);
		_exit(94);
	}
	wait_child(pid);
	return arg;
}

static void run(void *(*body)(void *), size_t stack_size)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	TRY(pthread_attr_setstacksize(&attr, stack_size));
	TRY(pthread_create(&thread, &attr, body, NULL));
	TRY(pthread_join(thread, NULL));
	pthread_attr_destroy(&attr);
}

int main(void)
{
	/*
	 * What the kernel needs for its frame, and 2 KiB for the handler; a guard page below turns too much into a
	 * fault.
	 */
	size_t size = (getauxval(AT_MINSIGSTKSZ) + 2048 + 4095) & ~4095ul;
	char *guarded = mmap(NULL, size + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(guarded + 4096, size, PROT_READ | PROT_WRITE);

	stack_t stack = { .ss_sp = guarded + 4096, .ss_size = size };
	struct sigaction action = { .sa_handler = handle, .sa_flags = SA_ONSTACK };

	tcp_pair(fds);
	TRY(sigaltstack(&stack, NULL));
	TRY(sigaction(SIGUSR1, &action, NULL));
	TRY(raise(SIGUSR1));
	run(in_thread, 16384);
	run(exec_in_thread, 16384);
	return 0;
}
