/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "shim/text.h"

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void from_ipv6(struct endpoint *ret, const struct sockaddr_in6 *in6)
{
	ret->port = ntohs(in6->sin6_port);
	ret->family = 6;
	memcpy(ret->addr, &in6->sin6_addr, 16);
	if (memcmp(ret->addr, mapped_prefix, sizeof(mapped_prefix)) == 0) {
		ret->family = 4;
		memcpy(ret->addr, (const uint8_t *)&in6->sin6_addr + 12, 4);
		memset(ret->addr + 4, 0, 12);
	}
}

static void from_unix(struct endpoint *ret, const struct sockaddr_un *un, socklen_t len)
{
	size_t n = len - offsetof(struct sockaddr_un, sun_path);

	ret->family = 1;
	if (n > 0 && un->sun_path[0] == '\0') {
		ret->path[0] = '@'; /* abstract names are shown as tools show them */
		n = n > sizeof(ret->path) - 1 ? sizeof(ret->path) - 1 : n;
		memcpy(ret->path + 1, un->sun_path + 1, n - 1);
		return;
	}
	n = strnlen(un->sun_path, n);
	memcpy(ret->path, un->sun_path, n < sizeof(ret->path) ? n : sizeof(ret->path) - 1);
}

void endpoint_from(struct endpoint *ret, const struct sockaddr *addr, socklen_t len)
{
	*ret = (struct endpoint){0};
	if (!addr || len < sizeof(sa_family_t))
		return;
	if (addr->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
		const struct sockaddr_in *in = (const void *)addr;

		ret->family = 4;
		ret->port = ntohs(in->sin_port);
		memcpy(ret->addr, &in->sin_addr, 4);
	} else if (addr->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
		from_ipv6(ret, (const void *)addr);
	} else if (addr->sa_family == AF_UNIX && len >= offsetof(struct sockaddr_un, sun_path)) {
		from_unix(ret, (const void *)addr, len);
	}
}

/* By ourselves: the C library's inet_ntop() goes through its printf(), which takes 2 KiB of somebody's stack. */
static void add_ipv4(struct text *t, const uint8_t *addr)
{
	for (int i = 0; i < 4; i++) {
		if (i > 0)
			text_add(t, ".", 1);
		text_add_unsigned(t, addr[i]);
	}
}

static unsigned group(const uint8_t *addr, int i)
{
	return (unsigned)addr[2 * i] << 8 | addr[2 * i + 1];
}

/* The first of the longest runs of zero groups, two at least (RFC 5952 section 4.2). Its length; 0: there is none. */
static int longest_zeros(const uint8_t *addr, int *ret_first)
{
	int longest = 1;

	for (int i = 0, run = 0; i < 8; i++) {
		run = group(addr, i) == 0 ? run + 1 : 0;
		if (run > longest) {
			longest = run;
			*ret_first = i - run + 1;
		}
	}
	return longest > 1 ? longest : 0;
}

static void add_ipv6(struct text *t, const uint8_t *addr)
{
	int first = -1, zeros = longest_zeros(addr, &first);

	for (int i = 0; i < 8; i++) {
		if (i == first) {
			text_add(t, "::", 2);
			i += zeros - 1;
			continue;
		}
		if (i > 0 && i != first + zeros)
			text_add(t, ":", 1);
		text_add_number(t, group(addr, i), 16, 1);
	}
}

size_t endpoint_text(const struct endpoint *e, char out[ENDPOINT_TEXT])
{
	struct text t = {out, ENDPOINT_TEXT, 0};

	out[0] = '\0';
	if (e->family == 1)
		text_add_string(&t, e->path);
	else if (e->family == 4)
		add_ipv4(&t, e->addr);
	else if (e->family == 6)
		add_ipv6(&t, e->addr);
	return t.len;
}

bool endpoint_parse(struct endpoint *ret, const char *text, size_t len)
{
	char copy[INET6_ADDRSTRLEN];
	struct endpoint e = {0};

	if (len == 0 || len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (inet_pton(AF_INET, copy, e.addr) == 1) {
		e.family = 4;
	} else if (inet_pton(AF_INET6, copy, e.addr) == 1) {
		struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

		memcpy(&in6.sin6_addr, e.addr, 16);
		from_ipv6(&e, &in6);
	} else {
		return false;
	}
	*ret = e;
	return true;
}

bool endpoint_in(const struct endpoint *e, const struct endpoint *network, unsigned bits)
{
	if (e->family != network->family || (e->family != 4 && e->family != 6))
		return false;

	unsigned whole = bits / 8, rest = bits % 8;

	if (bits > (e->family == 4 ? 32u : 128u) || memcmp(e->addr, network->addr, whole) != 0)
		return false;
	return rest == 0 || ((e->addr[whole] ^ network->addr[whole]) >> (8 - rest)) == 0;
}
