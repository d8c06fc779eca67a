/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that fail, and calls that succeed: what they return and what errno is afterwards. */
#include "app.h"

#include <grp.h>
#include <netdb.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

static char bytes[16];
static struct iovec iov = { bytes, sizeof(bytes) };
static struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
static struct mmsghdr mmsg = { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };
static struct sockaddr_in nowhere = { .sin_family = AF_INET };

static void probe(int fd)
{
	struct sockaddr *addr = (struct sockaddr *)&nowhere;
	struct pollfd polled = { .fd = fd, .events = POLLIN };
	socklen_t len = sizeof(nowhere);
	int fds[2];

	TRY(read(fd, bytes, sizeof(bytes)));
	TRY(readv(fd, &iov, 1));
	TRY(readv(fd, &iov, -1));
	TRY(recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT));
	TRY(recvfrom(fd, bytes, sizeof(bytes), MSG_DONTWAIT, NULL, NULL));
	TRY(recvmsg(fd, &msg, MSG_DONTWAIT));
	TRY(recvmmsg(fd, &mmsg, 1, MSG_DONTWAIT, NULL));
	TRY(write(fd, bytes, 0));
	TRY(writev(fd, &iov, 0));
	TRY(send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL));
	TRY(sendto(fd, bytes, sizeof(bytes), MSG_NOSIGNAL, addr, sizeof(nowhere)));
	TRY(sendmsg(fd, &msg, MSG_NOSIGNAL));
	TRY(sendmmsg(fd, &mmsg, 1, MSG_NOSIGNAL));
	TRY(sendmmsg(fd, &mmsg, 0, MSG_NOSIGNAL));
	TRY(sendfile(fd, fd, NULL, 1));
	TRY(splice(fd, NULL, fd, NULL, 1, 0));
	TRY(accept(fd, addr, &len));
	TRY(accept4(fd, NULL, NULL, 12345));
	TRY(listen(fd, 1));
	TRY(shutdown(fd, 77));
	TRY(epoll_ctl(fd, EPOLL_CTL_ADD, fd, &(struct epoll_event){ 0 }));
	TRY(epoll_wait(fd, &(struct epoll_event){ 0 }, 1, 0));
	TRY(epoll_pwait(fd, &(struct epoll_event){ 0 }, 0, 0, NULL));
	TRY(epoll_pwait2(fd, &(struct epoll_event){ 0 }, 1, &(struct timespec){ 0 }, NULL));
	TRY(poll(&polled, 1, 0));
	TRY(timerfd_settime(fd, 0, &(struct itimerspec){ 0 }, NULL));
	TRY(dup2(fd, -5));
	TRY(dup3(fd, fd, 0));
	TRY(fcntl(fd, F_DUPFD, -1));
	TRY(connect(fd, addr, 1));
	TRY(bind(fd, addr, 1));
	TRY(socketpair(AF_INET, SOCK_STREAM, 0, fds));
	TRY(close(fd));
	TRY(close(fd));
}

int main(void)
{
	int fds[2];
	struct addrinfo *list;

	signal(SIGPIPE, SIG_IGN);
	probe(-1);
	probe(500);
	probe(open("/dev/null", O_RDWR));
	probe(socket(AF_INET, SOCK_STREAM, 0));
	probe(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	probe(eventfd(0, EFD_NONBLOCK));
	probe(epoll_create1(0));
	probe(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	tcp_pair(fds);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	TRY(close(fds[1]));
	probe(fds[0]);
	TRY(socket(-1, -1, -1));
	TRY(epoll_create1(-1));
	TRY(epoll_create(0));
	TRY(eventfd(0, -1));
	TRY(timerfd_create(-1, 0));
	TRY(pipe2(fds, -1));
	TRY(select(-1, NULL, NULL, NULL, NULL));
	TRY(select(0, NULL, NULL, NULL, &(struct timeval){ 0 }));
	TRY(pselect(0, NULL, NULL, NULL, &(struct timespec){ 0 }, NULL));
	TRY(ppoll(NULL, 0, &(struct timespec){ 0 }, NULL));
	TRY(close_range(9, 3, 0));
	TRY(fclose(fmemopen(bytes, 4, "r")));
	TRY(freopen("/nonexistent", "r", stdin) != NULL);
	TRY(getaddrinfo("256.256.256.256", NULL, &(struct addrinfo){ .ai_flags = AI_NUMERICHOST }, &list));
	TRY(execv("/nonexistent", (char *[]){ "x", NULL }));
	TRY(execlp("/nonexistent", "x", NULL));
	TRY(setns(-1, 0));
	TRY(unshare(-1));
	TRY(chroot("/nonexistent"));
	TRY(setresuid(0, 0, 0) && errno != EPERM);
	list_descriptors();
	return 0;
}
