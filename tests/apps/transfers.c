/* SPDX-License-Identifier: Apache-2.0 */
/* Every way to move bytes, over TCP and UNIX stream sockets: the same bytes and counts arrive. */
#include "app.h"

#include <poll.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

static ssize_t take_all(int fd, size_t expected)
{
	char bytes[4096];
	size_t got = 0;
	unsigned sum = 0;

	while (got < expected) {
		ssize_t n = read(fd, bytes, sizeof(bytes));

		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			sum = sum * 31 + (unsigned char)bytes[i];
		got += (size_t)n;
	}
	printf("sum %u ", sum);
	return (ssize_t)got;
}

static void move(int out, int in)
{
	char a[] = "GET / HTTP/1.1\r\n", b[] = "Host: example\r\n\r\n", got[64];
	struct iovec iov[3] = { { a, sizeof(a) - 1 }, { NULL, 0 }, { b, sizeof(b) - 1 } };
	struct iovec into[2] = { { got, 10 }, { got + 10, 50 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 3 }, into_msg = { .msg_iov = into, .msg_iovlen = 2 };
	struct mmsghdr messages[2] = { { msg, 0 }, { msg, 0 } };
	struct mmsghdr into_messages[1] = { { into_msg, 0 } };
	int file = open("/proc/self/exe", O_RDONLY), pipe_fds[2];

	TRY(write(out, a, 16));
	TRY(recv(in, got, 16, MSG_PEEK));
	TRY(recv(in, got, 16, MSG_WAITALL));
	TRY(writev(out, iov, 3));
	TRY(take_all(in, 33));
	TRY(send(out, b, 17, MSG_NOSIGNAL));
	TRY(recvfrom(in, got, 17, MSG_WAITALL, NULL, NULL));
	TRY(sendto(out, b, 17, 0, NULL, 0));
	TRY(recvmsg(in, &into_msg, MSG_WAITALL & 0));
	TRY(memcmp(got, b, 17));
	TRY(sendmsg(out, &msg, 0));
	TRY(take_all(in, 33));
	TRY(sendmmsg(out, messages, 2, 0));
	TRY(messages[0].msg_len + messages[1].msg_len * 1000);
	TRY(take_all(in, 66));
	TRY(write(out, a, 16));
	TRY(recvmmsg(in, into_messages, 1, 0, NULL));
	TRY(into_messages[0].msg_len);
	TRY(sendfile(out, file, &(off_t){ 0 }, 3000));
	TRY(take_all(in, 3000));
	TRY(sendfile64(out, file, &(off64_t){ 100 }, 2000));
	TRY(take_all(in, 2000));
	TRY(pipe(pipe_fds));
	TRY(splice(file, &(off64_t){ 0 }, pipe_fds[1], NULL, 1000, 0));
	TRY(splice(pipe_fds[0], NULL, out, NULL, 1000, 0));
	TRY(take_all(in, 1000));
	TRY(syscall(SYS_write, out, a, 16L));
	TRY(syscall(SYS_read, in, got, 16L));
	TRY(syscall(SYS_sendto, out, a, 16L, 0L, NULL, 0L));
	TRY(syscall(SYS_recvfrom, in, got, 16L, (long)MSG_WAITALL, NULL, NULL));
	TRY(syscall(SYS_writev, out, iov, 3L));
	TRY(syscall(SYS_sendmsg, out, &msg, 0L));
	TRY(syscall(SYS_sendmmsg, out, messages, 2L, 0L));
	TRY(take_all(in, 132));
	TRY(pwritev2(out, iov, 3, -1, 0));
	TRY(pwritev2(out, iov, 3, 100, 0));
	TRY(syscall(SYS_pwritev2, out, iov, 3L, -1L, -1L, 0L));
	TRY(take_all(in, 66));
	TRY(write(out, a, 16));
	TRY(preadv2(in, into, 2, -1, 0));
	TRY(preadv2(in, into, 2, 100, 0));
	TRY(write(out, a, 16));
	TRY(syscall(SYS_preadv2, in, into, 2L, -1L, -1L, 0L));
	TRY(write(out, a, 16));
	TRY(syscall(SYS_recvmmsg, in, into_messages, 1L, 0L, NULL));
	TRY(syscall(SYS_sendfile, out, file, &(off_t){ 0 }, 3000L));
	TRY(take_all(in, 3000));
	TRY(syscall(SYS_splice, file, &(off64_t){ 0 }, pipe_fds[1], NULL, 1000L, 0L));
	TRY(syscall(SYS_splice, pipe_fds[0], NULL, out, NULL, 1000L, 0L));
	TRY(take_all(in, 1000));
	TRY(send(out, "!", 1, MSG_OOB) < 0 && errno != EOPNOTSUPP);
	TRY(recv(in, NULL, 0, MSG_DONTWAIT) > 0);
	TRY(shutdown(out, SHUT_WR));
	TRY(close(file) + close(pipe_fds[0]) + close(pipe_fds[1]));
}

static void wait_in_every_way(void)
{
	struct epoll_event event = { .events = EPOLLIN }, events[4];
	fd_set set;
	int fds[2], epoll_fd = epoll_create1(0);

	tcp_pair(fds);
	FD_ZERO(&set);
	FD_SET(fds[1], &set);
	TRY(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fds[1], &event));
	TRY(epoll_wait(epoll_fd, events, 4, 0));
	TRY(write(fds[0], "x", 1));
	TRY(epoll_wait(epoll_fd, events, 4, -1));
	TRY(epoll_pwait(epoll_fd, events, 4, -1, NULL));
	TRY(epoll_pwait2(epoll_fd, events, 4, NULL, NULL));
	TRY(poll(&(struct pollfd){ .fd = fds[1], .events = POLLIN }, 1, -1));
	TRY(ppoll(&(struct pollfd){ .fd = fds[1], .events = POLLIN }, 1, NULL, NULL));
	TRY(select(fds[1] + 1, &set, NULL, NULL, NULL));
	TRY(pselect(fds[1] + 1, &set, NULL, NULL, NULL, NULL));
	TRY(events[0].events);
	TRY(syscall(SYS_epoll_wait, epoll_fd, events, 4L, -1L));
	TRY(syscall(SYS_epoll_pwait, epoll_fd, events, 4L, -1L, NULL, 8L));
	TRY(syscall(SYS_epoll_pwait2, epoll_fd, events, 4L, NULL, NULL, 8L));
	TRY(syscall(SYS_poll, &(struct pollfd){ .fd = fds[1], .events = POLLIN }, 1L, -1L));
	TRY(syscall(SYS_ppoll, &(struct pollfd){ .fd = fds[1], .events = POLLIN }, 1L, NULL, NULL, 8L));
	TRY(syscall(SYS_select, fds[1] + 1L, &set, NULL, NULL, NULL));
	TRY(syscall(SYS_pselect6, fds[1] + 1L, &set, NULL, NULL, NULL, NULL));
	TRY(syscall(SYS_epoll_ctl, epoll_fd, (long)EPOLL_CTL_DEL, fds[1], NULL));
	close(fds[0]);
	close(fds[1]);
	close(epoll_fd);
}

int main(void)
{
	int fds[2];

	signal(SIGPIPE, SIG_IGN);
	tcp_pair(fds);
	move(fds[0], fds[1]);
	move(fds[1], fds[0]);
	TRY(close(fds[0]));
	TRY(close(fds[1]));
	TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	move(fds[0], fds[1]);
	wait_in_every_way();
	list_descriptors();
	return 0;
}
