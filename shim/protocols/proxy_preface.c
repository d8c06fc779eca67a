/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/protocols/proxy_preface.h"

#include <errno.h>

#define V1_MAX 107 /* with CR LF, as the specification bounds it */

static const uint8_t signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* ---- version 1: a line of text ---- */

static struct slice next_word(struct slice *line)
{
	const uint8_t *space = line->len ? memchr(line->p, ' ', line->len) : NULL;
	struct slice word = space ? slice(line->p, (size_t)(space - line->p)) : *line;

	*line = space ? slice(space + 1, (size_t)(line->p + line->len - space - 1)) : SLICE_NONE;
	return word;
}

static bool parse_decimal(struct slice s, unsigned max, unsigned *ret)
{
	unsigned n = 0;

	if (s.len == 0 || s.len > 5 || (s.len > 1 && s.p[0] == '0'))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		n = n * 10 + (unsigned)(s.p[i] - '0');
	}
	*ret = n;
	return n <= max;
}

static bool parse_ipv4(struct slice s, uint8_t out[16])
{
	for (int i = 0; i < 4; i++) {
		const uint8_t *dot = s.len ? memchr(s.p, '.', s.len) : NULL;
		unsigned octet;

		if ((i < 3) != (dot != NULL) || !parse_decimal(dot ? slice(s.p, (size_t)(dot - s.p)) : s, 255, &octet))
			return false;
		out[i] = (uint8_t)octet;
		if (dot)
			s = slice(dot + 1, (size_t)(s.p + s.len - dot - 1));
	}
	return true;
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One group of an address. False: none here. */
static bool parse_group(struct slice s, size_t *at, uint8_t out[2])
{
	unsigned value = 0, n = 0;

	for (; *at < s.len && n < 5 && hex_value(s.p[*at]) >= 0; n++)
		value = value << 4 | (unsigned)hex_value(s.p[(*at)++]);
	out[0] = (uint8_t)(value >> 8);
	out[1] = (uint8_t)value;
	return n >= 1 && n <= 4;
}

/* Where an IPv4 address begins in the last place of an IPv6 one (as inet_ntop() writes mapped ones); s.len: there
 * is none. */
static size_t embedded_at(struct slice s)
{
	size_t i = s.len;

	if (!s.len || !memchr(s.p, '.', s.len))
		return s.len;
	while (i > 0 && s.p[i - 1] != ':')
		i--;
	return i;
}

/*
 * RFC 4291 section 2.2: groups of hex digits, "::" once at most, the last two perhaps as IPv4. bytes: what is known
 * so far; gap: where in it the zeros of "::" belong.
 */
static bool parse_ipv6(struct slice s, uint8_t out[16])
{
	size_t n = 0, gap = SIZE_MAX, i = 0, embedded = embedded_at(s);
	uint8_t bytes[16], ipv4[16];

	if (s.len >= 2 && s.p[0] == ':' && s.p[1] == ':') {
		gap = 0;
		i = 2;
	}
	while (i < embedded) {
		if (n == 16 || !parse_group(s, &i, bytes + n))
			return false;
		n += 2;
		if (i == s.len)
			break;
		if (s.p[i++] != ':' || i == s.len)
			return false;
		if (s.p[i] == ':') {
			if (gap != SIZE_MAX)
				return false;
			gap = n;
			i++;
		}
	}
	if (embedded < s.len) {
		if (i != embedded || n > 12 || !parse_ipv4(slice_from(s, i), ipv4))
			return false;
		memcpy(bytes + n, ipv4, 4);
		n += 4;
	}
	if (gap == SIZE_MAX ? n != 16 : n > 14)
		return false;
	gap = gap < n ? gap : n;
	memset(out, 0, 16);
	memcpy(out, bytes, gap);
	memcpy(out + 16 - (n - gap), bytes + gap, n - gap);
	return true;
}

static long parse_text(struct slice in, struct proxy_preface *ret)
{
	const uint8_t *end = memchr(in.p, '\n', in.len < V1_MAX ? in.len : V1_MAX);
	struct proxy_preface p = {0};
	struct slice line, family;
	unsigned source, destination;
	bool ok;

	if (!end)
		return in.len < V1_MAX ? 0 : -EPROTO;
	if (end[-1] != '\r')
		return -EPROTO;
	line = slice(in.p + 6, (size_t)(end - in.p) - 7);
	family = next_word(&line);
	if (slice_equal(family, slice("UNKNOWN", 7))) {
		p.local = true;
	} else {
		bool four = slice_equal(family, slice("TCP4", 4));

		if (!four && !slice_equal(family, slice("TCP6", 4)))
			return -EPROTO;
		p.family = four ? 4 : 6;
		ok = four ? parse_ipv4(next_word(&line), p.source) : parse_ipv6(next_word(&line), p.source);
		ok = ok && (four ? parse_ipv4(next_word(&line), p.destination) :
				   parse_ipv6(next_word(&line), p.destination));
		if (!ok || !parse_decimal(next_word(&line), 65535, &source) ||
		    !parse_decimal(next_word(&line), 65535, &destination) || line.p)
			return -EPROTO;
		p.source_port = (uint16_t)source;
		p.destination_port = (uint16_t)destination;
	}
	*ret = p;
	return end - in.p + 1;
}

/* ---- version 2: binary ---- */

static uint16_t big_endian(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static long parse_binary(struct slice in, struct proxy_preface *ret)
{
	struct proxy_preface p = {0};
	size_t len, width;

	if (in.len < 16)
		return 0;
	len = 16u + big_endian(in.p + 14);
	if (in.p[12] >> 4 != 2 || (in.p[12] & 15) > 1 || len > 536)
		return -EPROTO;
	if (in.len < len)
		return 0;
	p.local = (in.p[12] & 15) == 0;
	width = in.p[13] >> 4 == 1 ? 4 : in.p[13] >> 4 == 2 ? 16 : 0;
	if (!p.local && width > 0 && len >= 16 + 2 * width + 4) {
		p.family = width == 4 ? 4 : 6;
		memcpy(p.source, in.p + 16, width);
		memcpy(p.destination, in.p + 16 + width, width);
		p.source_port = big_endian(in.p + 16 + 2 * width);
		p.destination_port = big_endian(in.p + 18 + 2 * width);
	}
	*ret = p;
	return (long)len;
}

long proxy_preface_parse(struct slice in, struct proxy_preface *ret)
{
	size_t n = in.len < sizeof(signature) ? in.len : sizeof(signature);

	if (n == 0)
		return 0;
	if (memcmp(in.p, signature, n) == 0)
		return n < sizeof(signature) ? 0 : parse_binary(in, ret);
	n = in.len < 6 ? in.len : 6;
	if (memcmp(in.p, "PROXY ", n) == 0)
		return n < 6 ? 0 : parse_text(in, ret);
	return -EPROTO;
}
