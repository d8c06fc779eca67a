/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors: how they begin and end. */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "tests/double/fake_real.h"

static void only_stream_sockets_of_known_families_are_opened(void **state)
{
	(void)state;
	FAKE(socket);
	CALL(OTHER, 0, socket(AF_INET, SOCK_STREAM, 0));
	CALL(OTHER, 0, socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
	CALL(OTHER, 0, socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
	CALL(OTHER, 0, socket(AF_INET, SOCK_DGRAM, 0));
	CALL(OTHER, 0, socket(AF_UNIX, SOCK_SEQPACKET, 0));
	CALL(OTHER, 0, socket(AF_NETLINK, SOCK_STREAM, 0));
	CALL(-1, EMFILE, socket(AF_INET, SOCK_STREAM, 0));
	TOLD("opened 701 1\nopened 701 1\nopened 701 1\n");
	/* A number that still has a meaning loses it. */
	CALL(FD, 0, socket(AF_INET, SOCK_DGRAM, 0));
	TOLD("opened 701 1\nopened 701 1\nopened 701 1\nopened 700 0\n");
}

static int fill_pair(int domain, int type, int protocol, int fds[2])
{
	(void)domain, (void)type, (void)protocol;
	fds[0] = 710;
	fds[1] = 711;
	return (int)fake.result;
}

static int fill_pipe(int fds[2])
{
	return fill_pair(0, 0, 0, fds);
}

static int fill_pipe2(int fds[2], int flags)
{
	return fill_pair(0, flags, 0, fds);
}

static void pairs_and_wakers_are_opened(void **state)
{
	int fds[2];

	(void)state;
	real.socketpair = fill_pair;
	real.pipe = fill_pipe;
	real.pipe2 = fill_pipe2;
	FAKE(eventfd), FAKE(timerfd_create), FAKE(epoll_create), FAKE(epoll_create1);
	CALL(0, 0, socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	CALL(0, 0, pipe(fds));
	CALL(0, 0, pipe2(fds, O_CLOEXEC));
	CALL(-1, 0, pipe(fds));
	CALL(OTHER, 0, eventfd(0, 0));
	CALL(OTHER, 0, timerfd_create(CLOCK_MONOTONIC, 0));
	FAKE(timerfd_settime);
	CALL(0, 0, timerfd_settime(FD, 0, &(struct itimerspec){.it_value.tv_nsec = 1}, NULL));
	CALL(-1, EINVAL, timerfd_settime(FD, 0, &(struct itimerspec){.it_interval.tv_nsec = 1}, NULL)); /* disarmed */
	CALL(OTHER, 0, epoll_create(1));
	CALL(OTHER, 0, epoll_create1(0));
	CALL(-1, EMFILE, epoll_create1(0));
	TOLD("paired 710 711\npaired 710 711\npaired 710 711\n"
	     "opened 701 5\nopened 701 6\ntimer arming 700\nopened 701 4\nopened 701 4\n");
}

static int accept_long_address(int fd, __SOCKADDR_ARG addr, socklen_t *restrict len)
{
	(void)fd;
	if (addr.__sockaddr__)
		*len = 110;
	return OTHER;
}

static void what_servers_ask_of_a_connection_is_told(void **state)
{
	socklen_t len = sizeof(int);
	int value;

	(void)state;
	FAKE(getpeername), FAKE(getsockopt);
	CALL(0, 0, getpeername(FD, peer_addr, &len));
	TOLD("peer asked 700\n");
	CALL(0, 0, getsockopt(FD, IPPROTO_TCP, TCP_INFO, &value, &len));
	CALL(-1, EBADF, getsockopt(FD, SOL_SOCKET, SO_ERROR, &value, &len));
	CALL(0, 0, getsockopt(FD, IPPROTO_TCP, TCP_NODELAY, &value, &len));
	TOLD("peer asked 700\nstate asked 700\n");
}

static void connections_begin(void **state)
{
	socklen_t len = 16;

	(void)state;
	real.accept = accept_long_address;
	FAKE(accept4), FAKE(connect), FAKE(listen), FAKE(bind), FAKE(shutdown);
	assert_int_equal(accept(FD, peer_addr, &len), OTHER);
	assert_int_equal(len, 110);
	assert_int_equal(accept(FD, NULL, NULL), OTHER);
	len = 28;
	CALL(OTHER, 0, accept4(FD, peer_addr, &len, SOCK_NONBLOCK));
	assert_int_equal(fake.arg[3], SOCK_NONBLOCK);
	CALL(-1, EAGAIN, accept4(FD, peer_addr, &len, 0));
	answers.accept_must_wait = true;
	fake.calls = 0;
	assert_int_equal(accept(FD, peer_addr, &len), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(accept4(FD, peer_addr, &len, 0), -1);
	assert_int_equal(fake.calls, 0);
	answers.accept_must_wait = false;
	/* An inherited listener is not known, its connections are told nevertheless. */
	CALL(OTHER, 0, accept4(OTHER, NULL, NULL, 0));
	CALL(0, 0, bind(FD, peer_addr, 16));
	CALL(0, 0, bind(OTHER, peer_addr, 16));
	CALL(-1, EADDRINUSE, bind(FD, peer_addr, 16));
	CALL(0, 0, listen(OTHER, 5));
	CALL(-1, EADDRINUSE, listen(FD, 5));
	CALL(-1, EINPROGRESS, connect(FD, peer_addr, 16));
	CALL(0, 0, connect(FD, peer_addr, 16));
	CALL(0, 0, shutdown(FD, SHUT_WR));
	CALL(-1, ENOTCONN, shutdown(FD, SHUT_WR));
	TOLD("accepted 700 701 family 2 len 16\n"
	     "accepted 700 701 family -1 len 0\n"
	     "accepted 700 701 family 2 len 28\n"
	     "accepted 701 701 family -1 len 0\n"
	     "bound 700\n"
	     "listening 701\n"
	     "connecting 700 family 2 len 16 = -1 error 115\n"
	     "connecting 700 family 2 len 16 = 0 error 0\n"
	     "shutdown 700 1\n");
}

static int close_after_told(int fd)
{
	assert_string_equal(recording(), "closing 700\n");
	return (int)answer(fd, 0, 0, 0, 0, 0, 0);
}

static void ends_are_told_before_they_happen(void **state)
{
	(void)state;
	real.close = close_after_told;
	FAKE(close_range), FAKE(closefrom);
	CALL(-1, EIO, close(FD));
	CALL(0, 0, close_range(3, UINT32_MAX, 0));
	CALL(0, 0, close_range(3, 9, 1 << 1));
	CALL(0, 0, close_range(3, 9, 1 << 2)); /* CLOSE_RANGE_CLOEXEC closes nothing now */
	CALL(-1, EINVAL, close_range(9, 3, 0));
	closefrom(5);
	closefrom(-1);
	assert_int_equal((int)fake.arg[0], -1);
	TOLD("closing 700\nclosing 3 to 4294967295\nclosing 3 to 9\n"
	     "closing 5 to 4294967295\nclosing 0 to 4294967295\n");
}

static void copies_are_told(void **state)
{
	(void)state;
	FAKE(dup), FAKE(dup2), FAKE(dup3), FAKE(fcntl), FAKE(fcntl64);
	CALL(710, 0, dup(FD));
	CALL(711, 0, dup2(FD, 711));
	CALL(FD, 0, dup2(FD, FD));   /* changes nothing */
	CALL(FD, 0, dup2(OTHER, FD)); /* ends what FD was */
	CALL(712, 0, dup3(FD, 712, O_CLOEXEC));
	CALL(-1, EBADF, dup2(FD, 9999));
	CALL(713, 0, dup(OTHER));
	CALL(714, 0, fcntl(FD, F_DUPFD, 10));
	assert_int_equal(fake.arg[2], 10);
	CALL(715, 0, fcntl64(FD, F_DUPFD_CLOEXEC, 10));
	CALL(2, 0, fcntl(FD, F_GETFL));
	CALL(0, 0, fcntl(FD, F_SETLK, buf));
	assert_ptr_equal(fake.arg[2], buf);
	TOLD("duplicated 700 710\nduplicated 700 711\nduplicated 701 700\nduplicated 700 712\n"
	     "duplicated 700 714\nduplicated 700 715\n");
}

static void a_stream_ends_its_descriptor(void **state)
{
	int fd = fileno(stdin);
	FILE *memory = fmemopen(buf, sizeof(buf), "r"), *same_memory = memory;
	fd_word before = fdtable_word(fd);

	(void)state;
	__asm__("" : "+r"(same_memory)); /* the double closes nothing, which the compiler cannot know */
	fdtable_set(fd, FD_CONNECTION, 1);
	FAKE(fclose), FAKE(freopen), FAKE(freopen64);
	CALL(0, 0, fclose(stdin));
	CALL(0, 0, freopen("/dev/null", "r", stdin));
	CALL(0, 0, freopen64("/dev/null", "r", stdin));
	CALL(0, 0, fclose(memory)); /* has no descriptor, and that leaves no trace in errno */
	TOLD("closing 0\nclosing 0\nclosing 0\n");
	fdtable_set(fd, (enum fd_kind)(before & 0xff), 0);
	teardown(NULL);
	fclose(same_memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(only_stream_sockets_of_known_families_are_opened),
		T(pairs_and_wakers_are_opened),
		T(connections_begin),
		T(what_servers_ask_of_a_connection_is_told),
		T(ends_are_told_before_they_happen),
		T(copies_are_told),
		T(a_stream_ends_its_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
