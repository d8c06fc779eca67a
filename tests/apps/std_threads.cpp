// SPDX-License-Identifier: Apache-2.0
// C++ threads: one for each connection, and each call of a request in a std::async or std::thread of its own, several at a time.
#include <future>
#include <memory>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

#define _Noreturn [[noreturn]]
extern "C" {
#include "tests/apps/net.h"
#include "tests/apps/serve.h"
}

static bool call_once(const request *r)
{
	stream upstream{};

	upstream.fd = -1;
	return call_upstream(&upstream, serve_options.upstream_port, r, "");
}

static bool call_by_async(const request *r)
{
	std::vector<std::future<bool>> calls;
	bool ok = true;

	for (int i = 0; i < r->calls; i++)
		calls.push_back(std::async(std::launch::async, call_once, r));
	for (auto &call : calls)
		ok = call.get() && ok;
	return ok;
}

static bool call_by_threads(const request *r)
{
	std::vector<std::thread> calls;
	std::vector<char> ok(static_cast<size_t>(r->calls));

	for (int i = 0; i < r->calls; i++)
		calls.emplace_back([r, &ok, i] { ok[static_cast<size_t>(i)] = call_once(r); });
	for (auto &call : calls)
		call.join();
	for (char one : ok)
		if (!one)
			return false;
	return true;
}

static void serve(int fd)
{
	auto client = std::make_unique<stream>();
	request r{};
	unsigned n = 0;

	client->fd = fd;
	while (request_read(client.get(), &r))
		if (!request_answer(fd, &r, n++ % 2 ? call_by_async(&r) : call_by_threads(&r)) || r.closes)
			break;
	close(fd);
}

int main(int argc, char **argv)
{
	serve_parse(argc, argv);
	int listener = listen_on(serve_options.port, SOCK_CLOEXEC);

	say_ready();
	for (;;) {
		int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);

		if (fd >= 0)
			std::thread(serve, fd).detach();
	}
}
