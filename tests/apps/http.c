/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/apps/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum chunk_state { CHUNK_SIZE, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER };

size_t head_length(const char *buf, size_t len)
{
	const char *end = memmem(buf, len, "\r\n\r\n", 4);

	return end ? (size_t)(end - buf) + 4 : 0;
}

bool head_value(const char *head, size_t head_len, const char *name, char *out, size_t cap)
{
	size_t name_len = strlen(name);
	const char *end = head + head_len;
	const char *line = head;

	out[0] = '\0';
	while ((line = memmem(line, (size_t)(end - line), "\r\n", 2)) != NULL) {
		line += 2;
		if ((size_t)(end - line) <= name_len || strncasecmp(line, name, name_len) != 0 || line[name_len] != ':')
			continue;
		const char *value = line + name_len + 1;
		const char *stop = memmem(value, (size_t)(end - value), "\r\n", 2);

		while (value < stop && (*value == ' ' || *value == '\t'))
			value++;
		while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t'))
			stop--;
		size_t len = (size_t)(stop - value);

		if (len > cap - 1)
			len = cap - 1;
		memcpy(out, value, len);
		out[len] = '\0';
		return true;
	}
	return false;
}

int head_status(const char *head, size_t head_len)
{
	if (head_len < 13 || memcmp(head, "HTTP/1.", 7) != 0)
		return -1;
	return atoi(head + 9);
}

bool head_closes(const char *head, size_t head_len)
{
	const char *line_end = memchr(head, '\r', head_len);
	bool is_1_0 = memmem(head, (size_t)(line_end - head), "HTTP/1.0", 8) != NULL;
	char value[64];

	if (!head_value(head, head_len, "Connection", value, sizeof(value)))
		return is_1_0;
	return strcasecmp(value, "close") == 0 || (is_1_0 && strcasecmp(value, "keep-alive") != 0);
}

static bool begin_framed(struct body *body, const char *head, size_t head_len)
{
	char value[64];

	*body = (struct body){.framing = BODY_LENGTH, .chunk_state = CHUNK_SIZE};
	if (head_value(head, head_len, "Transfer-Encoding", value, sizeof(value)) && strcasecmp(value, "chunked") == 0) {
		body->framing = BODY_CHUNKED;
		return true;
	}
	if (head_value(head, head_len, "Content-Length", value, sizeof(value))) {
		body->left = strtoull(value, NULL, 10);
		body->done = body->left == 0;
		return true;
	}
	return false;
}

void body_begin_request(struct body *body, const char *head, size_t head_len)
{
	if (!begin_framed(body, head, head_len))
		body->done = true;
}

void body_begin_response(struct body *body, const char *head, size_t head_len, bool no_body)
{
	if (!begin_framed(body, head, head_len))
		body->framing = BODY_UNTIL_CLOSE;
	if (no_body)
		body->done = true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One byte of a chunked body that is not content. Chunk extensions are not expected. */
static void chunk_byte(struct body *body, char c)
{
	switch (body->chunk_state) {
	case CHUNK_SIZE:
		if (hex_digit(c) >= 0)
			body->left = body->left * 16 + (uint64_t)hex_digit(c);
		if (c != '\n')
			return;
		body->line_empty = true;
		body->chunk_state = body->left == 0 ? CHUNK_TRAILER : CHUNK_DATA;
		return;
	case CHUNK_DATA_END:
		if (c == '\n')
			body->chunk_state = CHUNK_SIZE;
		return;
	default: /* CHUNK_TRAILER */
		if (c == '\n') {
			body->done = body->line_empty;
			body->line_empty = true;
		} else if (c != '\r') {
			body->line_empty = false;
		}
	}
}

static size_t take_counted(struct body *body, const char *p, size_t n, const char **ret_data, size_t *ret_data_len)
{
	if (n > body->left)
		n = (size_t)body->left;
	*ret_data = p;
	*ret_data_len = n;
	body->left -= n;
	return n;
}

size_t body_take(struct body *body, const char *p, size_t n, const char **ret_data, size_t *ret_data_len)
{
	size_t taken = 0;

	*ret_data = p;
	*ret_data_len = 0;
	if (body->done || n == 0)
		return 0;
	switch (body->framing) {
	case BODY_UNTIL_CLOSE:
		*ret_data_len = n;
		return n;
	case BODY_LENGTH:
		taken = take_counted(body, p, n, ret_data, ret_data_len);
		body->done = body->left == 0;
		return taken;
	case BODY_CHUNKED:
		while (taken < n && !body->done && body->chunk_state != CHUNK_DATA)
			chunk_byte(body, p[taken++]);
		if (body->chunk_state != CHUNK_DATA || taken == n)
			return taken;
		taken += take_counted(body, p + taken, n - taken, ret_data, ret_data_len);
		if (body->left == 0)
			body->chunk_state = CHUNK_DATA_END;
		return taken;
	}
	return 0;
}
