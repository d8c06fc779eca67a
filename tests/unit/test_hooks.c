/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes: what each hook tells, hands on and returns. */
#include "tests/double/fake_real.h"

static void a_read_of_any_form_is_told(void **state)
{
	struct msghdr msg = { .msg_iov = two, .msg_iovlen = 2 };
	socklen_t len = sizeof(peer);

	(void)state;
	FAKE(read), FAKE(readv), FAKE(recv), FAKE(recvfrom), FAKE(recvmsg);
	FAKE(__read_chk), FAKE(__recv_chk), FAKE(__recvfrom_chk);
	CALL(5, 0, read(FD, buf, 32));
	CALL(6, 0, readv(FD, two, 2));
	CALL(7, 0, recv(FD, buf, 33, MSG_PEEK));
	CALL(8, 0, recvfrom(FD, buf, 34, MSG_WAITALL, peer_addr, &len));
	CALL(9, 0, recvmsg(FD, &msg, MSG_TRUNC));
	CALL(10, 0, __read_chk(FD, buf, 35, 64));
	CALL(11, 0, __recv_chk(FD, buf, 36, 64, MSG_PEEK));
	CALL(12, 0, __recvfrom_chk(FD, buf, 37, 64, 0, peer_addr, &len));
	CALL(0, 0, read(FD, buf, 32));
	TOLD("received 700 [32] flags 0 = 5\n"
	     "received 700 [8 16] flags 0 = 6\n"
	     "received 700 [33] flags 2 = 7\n"
	     "received 700 [34] flags 256 = 8\n"
	     "received 700 [8 16] flags 32 = 9\n"
	     "received 700 [35] flags 0 = 10\n"
	     "received 700 [36] flags 2 = 11\n"
	     "received 700 [37] flags 0 = 12\n"
	     "received 700 [32] flags 0 = 0\n");
}

static void a_failed_read_is_told_and_keeps_errno(void **state)
{
	(void)state;
	FAKE(read), FAKE(recvmsg), FAKE(recvmmsg);
	CALL(-1, EINTR, read(FD, buf, 32));
	/* The kernel refused the pointer: it must not be followed. */
	CALL(-1, EFAULT, recvmsg(FD, (struct msghdr *)8, 0));
	CALL(-1, EFAULT, recvmmsg(FD, (struct mmsghdr *)8, 2, 0, NULL));
	TOLD("received 700 [32] flags 0 = -1\n"
	     "received 700 [] flags 0 = -1\n"
	     "received 700 [] flags 0 = -1\n");
}

static void the_engine_decides_what_a_read_returns(void **state)
{
	struct mmsghdr messages[2] = { { { .msg_iov = two, .msg_iovlen = 2 }, 3 },
				       { { .msg_iov = two, .msg_iovlen = 1 }, 4 } };

	(void)state;
	FAKE(read), FAKE(recvmmsg);
	answers.received_extra = 10;
	fake.result = 5;
	assert_int_equal(read(FD, buf, 32), 15);
	CALL(2, 0, recvmmsg(FD, messages, 2, MSG_DONTWAIT, NULL));
	assert_int_equal(messages[0].msg_len, 13);
	assert_int_equal(messages[1].msg_len, 14);
	TOLD("received 700 [32] flags 0 = 5\n"
	     "received 700 [8 16] flags 64 = 3\n"
	     "received 700 [8] flags 64 = 4\n");
}

static void a_vector_at_the_position_is_a_read_or_a_write(void **state)
{
	(void)state;
	FAKE(preadv2), FAKE(pwritev2);
	CALL(5, 0, preadv2(FD, two, 2, -1, RWF_NOWAIT));
	assert_int_equal(fake.arg[3], -1);
	assert_int_equal(fake.arg[4], RWF_NOWAIT);
	CALL(6, 0, preadv64v2(FD, two, 1, -1, 0));
	CALL(7, 0, pwritev2(FD, two, 2, -1, RWF_NOWAIT));
	assert_int_equal(fake.arg[3], -1);
	assert_int_equal(fake.arg[4], RWF_NOWAIT);
	CALL(7, 0, pwritev64v2(FD, two, 1, -1, 0));
	/* Sockets have no other position: such a call fails, and is none of the connection's business. */
	CALL(-1, ESPIPE, preadv2(FD, two, 2, 4096, 0));
	CALL(-1, ESPIPE, pwritev2(FD, two, 2, 4096, 0));
	answers.send_edited = true;
	CALL(8, 0, pwritev2(FD, two, 2, -1, RWF_NOWAIT));
	assert_int_equal(fake.arg[2], 3);
	assert_int_equal(fake.arg[3], -1);
	assert_int_equal(fake.arg[4], RWF_NOWAIT);
	TOLD("received 700 [8 16] flags 0 = 5\nreceived 700 [8] flags 0 = 6\n"
	     "send 700 [8 16] flags 0\nsend 700 [8] flags 0\nsend 700 [8 16] flags 0\n");
}

static void other_names_of_a_function_are_hooked_too(void **state)
{
	fd_set set;

	(void)state;
	FD_ZERO(&set);
	FAKE(read), FAKE(write), FAKE(send), FAKE(close), FAKE(connect), FAKE(dup2), FAKE(fcntl), FAKE(poll), FAKE(select);
	CALL(5, 0, __read(FD, buf, 32));
	CALL(5, 0, __write(FD, buf, 32));
	CALL(5, 0, __send(FD, buf, 32, MSG_MORE));
	CALL(0, 0, __connect(FD, peer_addr, 16));
	CALL(710, 0, __dup2(FD, 710));
	CALL(710, 0, __fcntl(FD, F_DUPFD, 0));
	CALL(1, 0, __poll(&(struct pollfd){ .fd = FD }, 1, 7));
	CALL(1, 0, __select(3, &set, NULL, NULL, NULL));
	CALL(0, 0, __close(FD));
	TOLD("received 700 [32] flags 0 = 5\nsend 700 [32] flags 0\nsend 700 [32] flags 32768\n"
	     "connecting 700 family 2 len 16 = 0 error 0\nduplicated 700 710\nduplicated 700 710\n"
	     "poll begin 1\npoll end = 1\nselect begin 3 readable\npoll end = 1\nclosing 700\n");
}

static void an_unwatched_descriptor_passes_untold(void **state)
{
	struct msghdr msg = { .msg_iov = two, .msg_iovlen = 2 };
	struct mmsghdr messages[1] = { { msg, 0 } };

	(void)state;
	FAKE(read), FAKE(readv), FAKE(recv), FAKE(recvfrom), FAKE(recvmsg), FAKE(recvmmsg);
	FAKE(__read_chk), FAKE(__recv_chk), FAKE(__recvfrom_chk);
	FAKE(write), FAKE(writev), FAKE(send), FAKE(sendto), FAKE(sendmsg), FAKE(sendmmsg);
	FAKE(sendfile), FAKE(sendfile64), FAKE(splice), FAKE(close), FAKE(connect), FAKE(shutdown), FAKE(syscall);
	CALL(1, 0, read(OTHER, buf, 32));
	CALL(1, 0, readv(OTHER, two, 2));
	CALL(1, 0, recv(OTHER, buf, 32, 0));
	CALL(1, 0, recvfrom(OTHER, buf, 32, 0, NULL, NULL));
	CALL(1, 0, recvmsg(OTHER, &msg, 0));
	CALL(1, 0, recvmmsg(OTHER, messages, 1, 0, NULL));
	CALL(1, 0, __read_chk(OTHER, buf, 32, 64));
	CALL(1, 0, __recv_chk(OTHER, buf, 32, 64, 0));
	CALL(1, 0, __recvfrom_chk(OTHER, buf, 32, 64, 0, NULL, NULL));
	CALL(-1, EPIPE, write(OTHER, buf, 32));
	CALL(1, 0, writev(OTHER, two, 2));
	CALL(1, 0, send(OTHER, buf, 32, 0));
	CALL(1, 0, sendto(OTHER, buf, 32, 0, NULL, 0));
	CALL(1, 0, sendmsg(OTHER, &msg, 0));
	CALL(1, 0, sendmmsg(OTHER, messages, 1, 0));
	CALL(1, 0, sendfile(OTHER, OTHER, NULL, 1));
	CALL(1, 0, sendfile64(OTHER, OTHER, NULL, 1));
	CALL(1, 0, splice(OTHER, NULL, OTHER, NULL, 1, 0));
	CALL(0, 0, close(OTHER));
	CALL(0, 0, connect(OTHER, peer_addr, sizeof(peer)));
	CALL(0, 0, shutdown(OTHER, SHUT_WR));
	CALL(1, 0, syscall(SYS_read, OTHER, buf, 32L));
	CALL(1, 0, syscall(SYS_write, OTHER, buf, 32L));
	CALL(0, 0, syscall(SYS_close, OTHER));
	CALL(-1, EBADF, read(-1, buf, 32));
	assert_int_equal(fake.calls, 25);
	TOLD("");
}

static void a_send_of_any_form_is_handed_over(void **state)
{
	struct msghdr msg = { .msg_iov = two, .msg_iovlen = 2, .msg_control = buf, .msg_controllen = 16 };

	(void)state;
	FAKE(write), FAKE(writev), FAKE(send), FAKE(sendto), FAKE(sendmsg);
	CALL(5, 0, write(FD, buf, 32));
	assert_int_equal(fake.arg[2], 32);
	CALL(6, 0, writev(FD, two, 2));
	assert_ptr_equal(fake.arg[1], two);
	CALL(7, 0, send(FD, buf, 33, MSG_MORE));
	assert_int_equal(fake.arg[3], MSG_MORE);
	CALL(8, 0, sendto(FD, buf, 34, MSG_NOSIGNAL, peer_addr, sizeof(peer)));
	assert_ptr_equal(fake.arg[4], peer_addr);
	assert_int_equal(fake.arg[5], sizeof(peer));
	CALL(9, 0, sendmsg(FD, &msg, MSG_DONTWAIT));
	assert_ptr_equal(fake.arg[1], &msg);
	CALL(-1, EAGAIN, write(FD, buf, 32));
	TOLD("send 700 [32] flags 0\n"
	     "send 700 [8 16] flags 0\n"
	     "send 700 [33] flags 32768\n"
	     "send 700 [34] flags 16384\n"
	     "send 700 [8 16] flags 64\n"
	     "send 700 [32] flags 0\n");
}

static struct msghdr edited_msg;
static int edited_flags;

static ssize_t take_message(int fd, const struct msghdr *msg, int flags)
{
	(void)fd;
	edited_msg = *msg;
	edited_flags = flags;
	return 99;
}

static void an_edited_send_keeps_flags_address_and_control(void **state)
{
	struct msghdr msg = { .msg_iov = two, .msg_iovlen = 2, .msg_control = buf, .msg_controllen = 16 };

	(void)state;
	answers.send_edited = true;
	real.sendmsg = take_message;
	FAKE(writev);
	CALL(6, 0, write(FD, buf, 32));
	assert_int_equal(fake.arg[2], 2);
	CALL(7, 0, writev(FD, two, 2));
	assert_int_equal(fake.arg[2], 3);
	assert_int_equal(send(FD, buf, 32, MSG_MORE), 99);
	assert_int_equal(edited_msg.msg_iovlen, 2);
	assert_int_equal(edited_flags, MSG_MORE);
	assert_null(edited_msg.msg_name);
	assert_int_equal(sendto(FD, buf, 32, MSG_NOSIGNAL, peer_addr, sizeof(peer)), 99);
	assert_ptr_equal(edited_msg.msg_name, peer_addr);
	assert_int_equal(edited_msg.msg_namelen, sizeof(peer));
	assert_int_equal(edited_flags, MSG_NOSIGNAL);
	assert_int_equal(sendmsg(FD, &msg, MSG_DONTWAIT), 99);
	assert_int_equal(edited_msg.msg_iovlen, 3);
	assert_ptr_equal(edited_msg.msg_control, buf);
	assert_int_equal(edited_msg.msg_controllen, 16);
	/* The program's own header is left as it was. */
	assert_ptr_equal(msg.msg_iov, two);
}

static void sendmmsg_stops_at_the_first_short_message(void **state)
{
	struct mmsghdr messages[3] = { { { .msg_iov = two, .msg_iovlen = 1 }, 0 },
				       { { .msg_iov = two, .msg_iovlen = 2 }, 0 },
				       { { .msg_iov = two, .msg_iovlen = 1 }, 0 } };

	(void)state;
	FAKE(sendmsg), FAKE(sendmmsg);
	fake.result = 8; /* whole for the first, short for the second */
	assert_int_equal(sendmmsg(FD, messages, 3, MSG_NOSIGNAL), 2);
	assert_int_equal(messages[0].msg_len, 8);
	assert_int_equal(messages[1].msg_len, 8);
	assert_int_equal(messages[2].msg_len, 0);
	TOLD("send 700 [8] flags 16384\nsend 700 [8 16] flags 16384\n");
	CALL(-1, EPIPE, sendmmsg(FD, messages, 3, 0));
	CALL(0, 0, sendmmsg(FD, messages, 0, 0));
}

static ssize_t fail_second_message(int fd, const struct msghdr *msg, int flags)
{
	(void)fd, (void)msg, (void)flags;
	if (fake.calls++ == 0)
		return 8;
	errno = EPIPE;
	return -1;
}

static void sendmmsg_tells_an_error_only_when_nothing_went_out(void **state)
{
	struct mmsghdr messages[2] = { { { .msg_iov = two, .msg_iovlen = 1 }, 0 },
				       { { .msg_iov = two, .msg_iovlen = 1 }, 0 } };

	(void)state;
	real.sendmsg = fail_second_message;
	assert_int_equal(sendmmsg(FD, messages, 2, 0), 1);
}

static void bytes_moved_in_the_kernel_are_counted(void **state)
{
	(void)state;
	FAKE(sendfile), FAKE(sendfile64), FAKE(splice);
	CALL(100, 0, sendfile(FD, OTHER, NULL, 200));
	CALL(101, 0, sendfile64(FD, OTHER, NULL, 200));
	CALL(102, 0, splice(FD, NULL, OTHER, NULL, 200, 0));
	CALL(103, 0, splice(OTHER, NULL, FD, NULL, 200, 0));
	CALL(-1, EAGAIN, sendfile(FD, OTHER, NULL, 200));
	TOLD("sent unseen 700 = 100\n"
	     "sent unseen 700 = 101\n"
	     "received unseen 700 = 102\n"
	     "sent unseen 700 = 103\n"
	     "sent unseen 700 = -1\n");
}

static long fill_from_kernel(long nr, ...)
{
	va_list args;

	va_start(args, nr);
	long arg[4];
	for (int i = 0; i < 4; i++)
		arg[i] = va_arg(args, long);
	va_end(args);

	int *fds = (int *)(nr == SYS_socketpair ? arg[3] : arg[0]);

	fds[0] = 710;
	fds[1] = 711;
	return 0;
}

static void system_calls_that_make_descriptors_are_told(void **state)
{
	int fds[2];

	(void)state;
	real.syscall = fill_from_kernel;
	assert_int_equal(syscall(SYS_socketpair, (long)AF_UNIX, (long)SOCK_STREAM, 0L, fds), 0);
	assert_int_equal(syscall(SYS_pipe, fds), 0);
	assert_int_equal(syscall(SYS_pipe2, fds, 0L), 0);
	FAKE(syscall);
	CALL(-1, EMFILE, syscall(SYS_pipe, fds));
	CALL(OTHER, 0, syscall(SYS_eventfd, 0L));
	CALL(OTHER, 0, syscall(SYS_eventfd2, 0L, 0L));
	CALL(OTHER, 0, syscall(SYS_timerfd_create, (long)CLOCK_MONOTONIC, 0L));
	CALL(OTHER, 0, syscall(SYS_epoll_create, 1L));
	CALL(OTHER, 0, syscall(SYS_epoll_create1, 0L));
	CALL(-1, EMFILE, syscall(SYS_epoll_create1, 0L));
	TOLD("paired 710 711\npaired 710 711\npaired 710 711\n"
	     "opened 701 5\nopened 701 5\nopened 701 6\nopened 701 4\nopened 701 4\n");
}

static void system_calls_that_wait_are_framed(void **state)
{
	struct epoll_event events[4];
	struct timespec zero = { 0 };
	struct timeval none = { 0 };
	struct pollfd poll_fds[2] = { { .fd = FD }, { .fd = OTHER } };
	fd_set set;

	(void)state;
	FD_ZERO(&set);
	FAKE(syscall);
	answers.wait_max_events = 1;
	CALL(1, 0, syscall(SYS_epoll_wait, (long)FD, events, 4L, 1000L));
	assert_int_equal(fake.arg[3], 1);
	assert_int_equal(fake.arg[4], 1000);
	CALL(1, 0, syscall(SYS_epoll_pwait, (long)FD, events, 4L, 1000L, NULL, 8L));
	assert_int_equal(fake.arg[6], 8);
	CALL(-1, EINTR, syscall(SYS_epoll_pwait2, (long)FD, events, 4L, &zero, NULL, 8L));
	CALL(1, 0, syscall(SYS_poll, poll_fds, 2L, 7L));
	CALL(0, 0, syscall(SYS_ppoll, poll_fds, 2L, &zero, NULL, 8L));
	CALL(1, 0, syscall(SYS_select, 3L, &set, NULL, NULL, &none));
	CALL(1, 0, syscall(SYS_pselect6, 3L, NULL, &set, NULL, &zero, NULL));
	CALL(0, 0, syscall(SYS_epoll_ctl, (long)FD, (long)EPOLL_CTL_ADD, (long)OTHER, events));
	CALL(-1, EEXIST, syscall(SYS_epoll_ctl, (long)FD, (long)EPOLL_CTL_ADD, (long)OTHER, events));
	TOLD("wait begin 700 max 4\nwait end 700 = 1\nwait begin 700 max 4\nwait end 700 = 1\n"
	     "wait begin 700 max 4\nwait end 700 = -1\n"
	     "poll begin 2\npoll end = 1\npoll begin 2\npoll end = 0\n"
	     "select begin 3 readable\npoll end = 1\nselect begin 3 -\npoll end = 1\nepoll changed 700 1 701\n");
}

static void system_calls_that_move_many_bytes_are_told(void **state)
{
	struct mmsghdr messages[2] = { { { .msg_iov = two, .msg_iovlen = 2 }, 3 },
				       { { .msg_iov = two, .msg_iovlen = 1 }, 4 } };

	(void)state;
	FAKE(syscall);
	CALL(2, 0, syscall(SYS_recvmmsg, (long)FD, messages, 2L, (long)MSG_DONTWAIT, NULL));
	CALL(-1, EFAULT, syscall(SYS_recvmmsg, (long)FD, 8L, 2L, 0L, NULL));
	CALL(8, 0, syscall(SYS_preadv2, (long)FD, two, 2L, -1L, -1L, 0L));
	CALL(-1, ESPIPE, syscall(SYS_preadv2, (long)FD, two, 2L, 0L, 0L, 0L));
	fake.result = 24; /* the first whole, the second too */
	assert_int_equal(syscall(SYS_sendmmsg, (long)FD, messages, 2L, (long)MSG_NOSIGNAL), 2);
	assert_int_equal(fake.arg[0], SYS_sendmsg);
	CALL(0, 0, syscall(SYS_sendmmsg, (long)FD, messages, 0L, 0L));
	CALL(8, 0, syscall(SYS_pwritev2, (long)FD, two, 2L, -1L, -1L, (long)RWF_NOWAIT));
	assert_int_equal(fake.arg[0], SYS_pwritev2);
	assert_int_equal(fake.arg[6], RWF_NOWAIT);
	CALL(-1, ESPIPE, syscall(SYS_pwritev2, (long)FD, two, 2L, 0L, 0L, 0L));
	CALL(100, 0, syscall(SYS_sendfile, (long)FD, (long)OTHER, NULL, 200L));
	CALL(101, 0, syscall(SYS_splice, (long)FD, NULL, (long)OTHER, NULL, 200L, 0L));
	TOLD("received 700 [8 16] flags 64 = 3\nreceived 700 [8] flags 64 = 4\nreceived 700 [] flags 0 = -1\n"
	     "received 700 [8 16] flags 0 = 8\n"
	     "send 700 [8 16] flags 16384\nsend 700 [8] flags 16384\nsend 700 [8 16] flags 0\n"
	     "sent unseen 700 = 100\nreceived unseen 700 = 101\n");
}

static void system_calls_are_told_by_number(void **state)
{
	struct msghdr msg = { .msg_iov = two, .msg_iovlen = 2 };
	socklen_t len = 16;

	(void)state;
	FAKE(syscall);
	CALL(5, 0, syscall(SYS_read, FD, buf, 32L));
	CALL(6, 0, syscall(SYS_readv, FD, two, 2L));
	CALL(7, 0, syscall(SYS_recvfrom, FD, buf, 33L, (long)MSG_PEEK, NULL, NULL));
	CALL(8, 0, syscall(SYS_recvmsg, FD, &msg, 0L));
	CALL(-1, EAGAIN, syscall(SYS_read, FD, buf, 32L));
	CALL(5, 0, syscall(SYS_write, FD, buf, 32L));
	CALL(5, 0, syscall(SYS_writev, FD, two, 2L));
	CALL(5, 0, syscall(SYS_sendto, FD, buf, 34L, (long)MSG_NOSIGNAL, peer_addr, 16L));
	assert_int_equal(fake.arg[0], SYS_sendto);
	assert_int_equal(fake.arg[4], MSG_NOSIGNAL);
	assert_ptr_equal(fake.arg[5], peer_addr);
	assert_int_equal(fake.arg[6], 16);
	CALL(5, 0, syscall(SYS_sendmsg, FD, &msg, 0L));
	CALL(OTHER, 0, syscall(SYS_socket, (long)AF_INET, (long)SOCK_STREAM, 0L));
	CALL(OTHER, 0, syscall(SYS_accept4, (long)FD, peer_addr, &len, 0L));
	CALL(-1, EINPROGRESS, syscall(SYS_connect, (long)FD, peer_addr, 16L));
	CALL(0, 0, syscall(SYS_listen, (long)FD, 5L));
	CALL(0, 0, syscall(SYS_bind, (long)FD, peer_addr, 16L));
	CALL(0, 0, syscall(SYS_shutdown, (long)FD, (long)SHUT_WR));
	CALL(710, 0, syscall(SYS_dup, (long)FD));
	CALL(711, 0, syscall(SYS_dup2, (long)FD, 711L));
	CALL(712, 0, syscall(SYS_dup3, (long)FD, 712L, 0L));
	CALL(710, 0, syscall(SYS_fcntl, (long)FD, (long)F_DUPFD, 0L));
	CALL(0, 0, syscall(SYS_close, (long)FD));
	CALL(0, 0, syscall(SYS_close_range, 3L, ~0L, 0L));
	CALL(3, 0, syscall(SYS_io_uring_setup, 8L, buf));
	TOLD("received 700 [32] flags 0 = 5\nreceived 700 [8 16] flags 0 = 6\nreceived 700 [33] flags 2 = 7\n"
	     "received 700 [8 16] flags 0 = 8\nreceived 700 [] flags 0 = -1\n"
	     "send 700 [32] flags 0\nsend 700 [8 16] flags 0\nsend 700 [34] flags 16384\nsend 700 [8 16] flags 0\n"
	     "opened 701 1\naccepted 700 701 family 2 len 16\nconnecting 700 family 2 len 16 = -1 error 115\n"
	     "listening 700\nbound 700\nshutdown 700 1\nduplicated 700 710\nduplicated 700 711\nduplicated 700 712\n"
	     "duplicated 700 710\nclosing 700\nclosing 3 to 4294967295\nuring\n");
}

static void an_edited_system_call_sends_a_message(void **state)
{
	(void)state;
	FAKE(syscall);
	answers.send_edited = true;
	CALL(5, 0, syscall(SYS_write, FD, buf, 32L));
	assert_int_equal(fake.arg[0], SYS_sendmsg);
}

static void any_other_system_call_passes_with_all_its_arguments(void **state)
{
	(void)state;
	FAKE(syscall);
	CALL(77, 0, syscall(999999L, 1L, 2L, 3L, 4L, 5L, 6L));
	assert_memory_equal(fake.arg, ((long[]){ 999999, 1, 2, 3, 4, 5, 6 }), sizeof(fake.arg));
	CALL(-1, ENOSYS, syscall(999999L));
	TOLD("");
}

static void a_missing_function_answers_enosys(void **state)
{
	(void)state;
	/* Nothing resolves while the table pretends that all is known but this. */
	real.epoll_pwait2 = (__typeof__(real.epoll_pwait2))(void (*)(void))real_missing;
	errno = 0;
	assert_int_equal(epoll_pwait2(FD, &(struct epoll_event){ 0 }, 1, NULL, NULL), -1);
	assert_int_equal(errno, ENOSYS);
}

/* Before our constructor: no pointer is known yet, nothing is watched. */
static void an_early_call_resolves_on_the_way(void **state)
{
	char got[4] = "";
	int fds[2];

	(void)state;
	real = (struct real){ 0 };
	assert_int_equal(pipe(fds), 0);
	real = (struct real){ 0 };
	assert_int_equal(write(fds[1], "abc", 4), 4);
	real = (struct real){ 0 };
	assert_int_equal(read(fds[0], got, 4), 4);
	assert_string_equal(got, "abc");
	real = (struct real){ 0 };
	assert_int_equal(syscall(SYS_close, fds[0]), 0);
	real = (struct real){ 0 };
	assert_int_equal(close(fds[1]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_read_of_any_form_is_told),
		T(a_failed_read_is_told_and_keeps_errno),
		T(the_engine_decides_what_a_read_returns),
		T(a_vector_at_the_position_is_a_read_or_a_write),
		T(other_names_of_a_function_are_hooked_too),
		T(an_unwatched_descriptor_passes_untold),
		T(a_send_of_any_form_is_handed_over),
		T(an_edited_send_keeps_flags_address_and_control),
		T(sendmmsg_stops_at_the_first_short_message),
		T(sendmmsg_tells_an_error_only_when_nothing_went_out),
		T(bytes_moved_in_the_kernel_are_counted),
		T(system_calls_that_make_descriptors_are_told),
		T(system_calls_that_wait_are_framed),
		T(system_calls_that_move_many_bytes_are_told),
		T(system_calls_are_told_by_number),
		T(an_edited_system_call_sends_a_message),
		T(any_other_system_call_passes_with_all_its_arguments),
		T(a_missing_function_answers_enosys),
		T(an_early_call_resolves_on_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
