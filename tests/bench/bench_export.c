/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one exporter thread manages: a writer keeps a segment full (or writes at a rate), the drain loop sends to a
 * receiver in another process that counts spans.
 *
 *   bench_export [SPANS [SPANS_PER_SECOND]]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "export/consumer.h"
#include "export/plugin.h"
#include "shim/clock.h"
#include "shim/config.h"

#define REQUEST_MAX (8u << 20)

static struct segment segment;
static _Atomic uint32_t stop;
static _Atomic uint64_t *received; /* shared with the receiver */

/* ---- the receiver ---- */

static const uint8_t *read_varint(const uint8_t *p, const uint8_t *end, uint64_t *ret)
{
	*ret = 0;
	for (unsigned shift = 0; p < end && shift < 64; shift += 7) {
		*ret |= (uint64_t)(*p & 0x7f) << shift;
		if (!(*p++ & 0x80))
			return p;
	}
	return end;
}

/* Count the length-delimited fields of this number; go into them where there are more levels. */
static uint64_t count_spans(const uint8_t *p, const uint8_t *end, const unsigned *path, unsigned levels)
{
	uint64_t key, len, n = 0;

	while (p < end) {
		p = read_varint(p, end, &key);
		p = read_varint(p, end, &len);
		if ((key & 7) != 2 || len > (uint64_t)(end - p))
			break;
		if (key >> 3 == path[0])
			n += levels == 1 ? 1 : count_spans(p, p + len, path + 1, levels - 1);
		p += len;
	}
	return n;
}

/* One request of a kept-alive connection, whole in memory. Returns false at its end. */
static bool receive(int fd, uint8_t *memory)
{
	static const unsigned path[] = {1, 2, 2};
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n"
				     "Content-Length: 0\r\n\r\n";
	size_t have = 0, want = 0, head = 0;
	ssize_t n;

	while (!want || have < want) {
		n = recv(fd, memory + have, REQUEST_MAX - have, 0);
		if (n <= 0)
			return false;
		have += (size_t)n;
		memory[have] = '\0';
		if (!want) {
			char *end = strstr((char *)memory, "\r\n\r\n");
			char *length = strstr((char *)memory, "Content-Length: ");

			if (!end || !length)
				continue;
			head = (size_t)(end + 4 - (char *)memory);
			want = head + strtoul(length + 16, NULL, 10);
		}
	}
	atomic_fetch_add(received, count_spans(memory + head, memory + want, path, 3));
	return send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL) > 0;
}

static pid_t start_receiver(int listener)
{
	pid_t child = fork();
	uint8_t *memory;
	int fd;

	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memory = malloc(REQUEST_MAX + 1);
	while (memory && (fd = accept(listener, NULL, NULL)) >= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
		while (receive(fd, memory))
			;
		close(fd);
	}
	_exit(1);
}

/* ---- the writer ---- */

/* A server span of a keep-alive GET, as the engine records it. */
static void build_record(struct record_builder *b, uint8_t *memory)
{
	record_begin(b, memory, RECORD_MAX_BYTES);
	memset(b->record->trace_id, 0x5b, 16);
	memset(b->record->span_id, 0xee, 8);
	memset(b->record->parent_id, 0x11, 8);
	b->record->kind = SPAN_SERVER;
	b->record->flags = TRACE_FLAG_SAMPLED;
	b->record->evidence = EVIDENCE_REMOTE;
	b->record->parent_remote = 1;
	record_add(b, ITEM_NAME, 0, "GET", 3);
	record_add_string(b, ATTR_HTTP_REQUEST_METHOD, "GET", 3);
	record_add_string(b, ATTR_URL_PATH, "/api/v1/orders/12345", 20);
	record_add_string(b, ATTR_URL_SCHEME, "http", 4);
	record_add_int(b, ATTR_HTTP_RESPONSE_STATUS_CODE, 200);
	record_add_int(b, ATTR_HTTP_RESPONSE_BODY_SIZE, 1024);
	record_add_string(b, ATTR_SERVER_ADDRESS, "shop.example.com", 16);
	record_add_int(b, ATTR_SERVER_PORT, 8080);
	record_add_string(b, ATTR_CLIENT_ADDRESS, "192.168.100.23", 14);
	record_add_string(b, ATTR_NETWORK_PEER_ADDRESS, "192.168.100.23", 14);
	record_add_int(b, ATTR_NETWORK_PEER_PORT, 49152);
	record_add_string(b, ATTR_NETWORK_PROTOCOL_VERSION, "1.1", 3);
	record_add_string(b, ATTR_USER_AGENT_ORIGINAL, "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101", 56);
	b->record->end_ns = clock_monotonic_ns();
	b->record->start_ns = b->record->end_ns - 250000;
	record_finish(b);
}

static void write_spans(uint64_t n, uint64_t per_second, uint64_t *ret_full)
{
	static _Alignas(8) uint8_t memory[RECORD_MAX_BYTES];
	uint64_t start = clock_monotonic_ns();
	struct record_builder b;
	uint32_t home = 0;
	bool wake;

	*ret_full = 0;
	build_record(&b, memory);
	for (uint64_t i = 0; i < n;) {
		if (per_second && i >= (clock_monotonic_ns() - start) * per_second / 1000000000) {
			nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
			continue;
		}
		if (segment_append(&segment, b.record, &home, &wake) == 0) {
			i++;
		} else {
			++*ret_full;
			nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
			wake = true;
		}
		if (wake)
			segment_wake(&segment);
	}
}

/* ---- the exporter ---- */

static struct export_host host;
static double cpu_s;

static void log_text(int level, const char *text)
{
	(void)level;
	fprintf(stderr, "%s\n", text);
}

static void *export_thread(void *arg)
{
	struct timespec used;

	interspan_export_run(&host);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	cpu_s = (double)used.tv_sec + (double)used.tv_nsec / 1e9;
	return arg;
}

static int listen_on_loopback(char *ret_url, size_t cap)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, 8) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) != 0)
		return -1;
	snprintf(ret_url, cap, "http://127.0.0.1:%d", ntohs(address.sin_port));
	return fd;
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 3000000;
	uint64_t per_second = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
	uint64_t full, start, took;
	char url[64];
	pthread_t thread;
	int listener = listen_on_loopback(url, sizeof(url));
	pid_t receiver;

	received = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (listener < 0 || received == MAP_FAILED)
		return 1;
	receiver = start_receiver(listener);
	setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url, 1);
	config_read(&config, environ, NULL);
	if (segment_create(&segment, &config) != 0)
		return 1;
	host = (struct export_host){
	    .segment = &segment, .config = &config, .stop = &stop, .log = log_text, .may_create_files = true};
	start = clock_monotonic_ns();
	pthread_create(&thread, NULL, export_thread, NULL);
	write_spans(n, per_second, &full);
	atomic_fetch_add(&segment.header->flush, 1);
	segment_wake(&segment);
	while (atomic_load(received) < n && clock_monotonic_ns() - start < 120000000000ull)
		nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	took = clock_monotonic_ns() - start;
	atomic_store(&stop, 1);
	segment_wake(&segment);
	pthread_join(thread, NULL);
	kill(receiver, SIGKILL);
	segment_leave(&segment);
	printf("%lu spans received of %lu, %.0f spans/s, exporter CPU %.3f us/span, segment found full %lu times\n",
	       atomic_load(received), n, (double)n * 1e9 / (double)took, cpu_s * 1e6 / (double)n, full);
	return atomic_load(received) == n ? 0 : 1;
}
