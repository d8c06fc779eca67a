/* SPDX-License-Identifier: Apache-2.0 */
#include "export/headers.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shim/config.h"
#include "shim/log.h"

/* RFC 9110 section 5.6.2. */
static bool is_token(const char *text, size_t len)
{
	static const char extra[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
		      memchr(extra, c, sizeof(extra) - 1)))
			return false;
	}
	return len > 0;
}

static bool is_ours(const char *name, size_t len)
{
	static const char *const ours[] = {"content-length",    "content-type", "content-encoding",
					   "transfer-encoding", "traceparent",  "tracestate"};

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strlen(ours[i]) == len && strncasecmp(name, ours[i], len) == 0)
			return true;
	return false;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decode to ret, which has room for len bytes. Returns the bytes, or -1: malformed, or no field value. */
static int decode(char *ret, const char *text, size_t len)
{
	int n = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)text[i];

		if (c == '%') {
			if (len - i < 3 || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0)
				return -1;
			c = hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]);
			i += 2;
		}
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return -1;
		ret[n++] = (char)c;
	}
	return n;
}

/* Blanks are space and tab. */
static void trim(const char **text, size_t *len)
{
	while (*len && ((*text)[0] == ' ' || (*text)[0] == '\t')) {
		(*text)++;
		(*len)--;
	}
	while (*len && ((*text)[*len - 1] == ' ' || (*text)[*len - 1] == '\t'))
		(*len)--;
}

/* "Name: value" of one pair, or NULL. An empty value is "Name;", which libcurl sends as "Name:". */
static char *make_header(const char *pair, size_t len)
{
	const char *equals = memchr(pair, '=', len);
	const char *name = pair, *value;
	size_t name_len, value_len;
	char *header;
	int n;

	if (!equals)
		return NULL;
	name_len = (size_t)(equals - pair);
	value = equals + 1;
	value_len = len - name_len - 1;
	trim(&name, &name_len);
	trim(&value, &value_len);
	if (!is_token(name, name_len) || is_ours(name, name_len))
		return NULL;
	header = malloc(name_len + value_len + 3);
	if (!header)
		return NULL;
	memcpy(header, name, name_len);
	memcpy(header + name_len, ": ", 2);
	n = decode(header + name_len + 2, value, value_len);
	if (n < 0) {
		free(header);
		return NULL;
	}
	if (n == 0)
		memcpy(header + name_len, ";", 2);
	else
		header[name_len + 2 + (size_t)n] = '\0';
	return header;
}

unsigned headers_read(char *ret[], unsigned max, const char *list, void (*log)(int level, const char *text))
{
	const char *cursor = list, *item;
	unsigned n = 0, position = 0;
	uint32_t len;
	char text[96];

	while (config_next(&cursor, &item, &len)) {
		char *header = n < max ? make_header(item, len) : NULL;

		position++;
		if (header) {
			ret[n++] = header;
			continue;
		}
		snprintf(text, sizeof(text), "OTLP headers: entry %u is not a header that can be sent: skipped",
			 position);
		log(LOG_WARN, text);
	}
	return n;
}
