/* SPDX-License-Identifier: Apache-2.0 */
/* Threads cancelled inside blocking calls unwind, and nothing of the shim stays behind in the process. */
#include "app.h"

#include <poll.h>
#include <sys/select.h>

static int fds[2], listener, epoll_fd;
static char bytes[64];

static void cleaned(void *what)
{
	printf("cleaned %s\n", (const char *)what);
}

#define BLOCKS(name, call)                                                                                             \
	static void *name(void *arg)                                                                                   \
	{                                                                                                              \
		(void)arg;                                                                                             \
		pthread_cleanup_push(cleaned, #name);                                                                  \
		(void)!(call);                                                                                         \
		pthread_cleanup_pop(0);                                                                                \
		return NULL;                                                                                           \
	}

BLOCKS(in_read, read(fds[1], bytes, sizeof(bytes)))
BLOCKS(in_recv, recv(fds[1], bytes, sizeof(bytes), 0))
BLOCKS(in_recvmsg, recvmsg(fds[1], &(struct msghdr){ .msg_iov = &(struct iovec){ bytes, 8 }, .msg_iovlen = 1 }, 0))
BLOCKS(in_accept, accept(listener, NULL, NULL))
BLOCKS(in_epoll_wait, epoll_wait(epoll_fd, &(struct epoll_event){ 0 }, 1, -1))
BLOCKS(in_poll, poll(&(struct pollfd){ .fd = fds[1], .events = POLLIN }, 1, -1))
BLOCKS(in_select, select(0, NULL, NULL, NULL, NULL))

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

static void unlock(void *arg)
{
	pthread_mutex_unlock(arg);
	printf("cleaned in_condition\n");
}

static void *in_condition(void *arg)
{
	pthread_mutex_lock(&mutex);
	pthread_cleanup_push(unlock, &mutex);
	for (;;)
		pthread_cond_wait(&condition, &mutex);
	pthread_cleanup_pop(0);
	return arg;
}

static void cancel(void *(*body)(void *))
{
	pthread_t thread;
	void *result;

	pthread_create(&thread, NULL, body, NULL);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	TRY(result == PTHREAD_CANCELED);
}

int main(void)
{
	void *(*const bodies[])(void *) = { in_read,	   in_recv, in_recvmsg, in_accept,
					    in_epoll_wait, in_poll, in_select,	in_condition };

	tcp_pair(fds);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	TRY(bind(listener, &(struct sockaddr){ .sa_family = AF_UNIX }, sizeof(sa_family_t)));
	TRY(listen(listener, 1));
	epoll_fd = epoll_create1(0);
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		cancel(bodies[i]);
	TRY(write(fds[0], "after", 5));
	TRY(read(fds[1], bytes, sizeof(bytes)));
	TRY(pthread_mutex_lock(&mutex));
	list_descriptors();
	return 0;
}
