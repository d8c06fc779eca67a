// SPDX-License-Identifier: Apache-2.0
// Exceptions pass over hooked calls and out of thread starts' callees; a cancelled C++ thread runs its destructors.
#include <cerrno>
#include <cstdio>
#include <stdexcept>
#include <thread>

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

struct announced {
	const char *name;
	~announced()
	{
		std::printf("destroyed %s\n", name);
	}
};

static int fds[2];

static void *blocked(void *)
{
	announced object{"blocked"};
	char byte;

	while (read(fds[0], &byte, 1) >= 0)
		;
	return nullptr;
}

static void fail(int depth)
{
	announced object{"frame"};
	char byte = 'x';

	if (write(fds[1], &byte, 1) != 1 || read(fds[0], &byte, 1) != 1 || depth == 0)
		throw std::runtime_error("thrown");
	fail(depth - 1);
}

int main()
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
		return 1;
	try {
		fail(3);
	} catch (const std::exception &error) {
		std::puts(error.what());
	}
	std::thread([] {
		try {
			fail(2);
		} catch (const std::exception &error) {
			std::puts(error.what());
		}
	}).join();

	pthread_t thread;
	void *result;

	pthread_create(&thread, nullptr, blocked, nullptr);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	std::printf("cancelled %d\n", result == PTHREAD_CANCELED);
	return 0;
}
