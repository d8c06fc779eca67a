/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/container.h"

#include <stddef.h>
#include <string.h>

/* How many hexadecimal digits the text begins with. */
static size_t hex_run(const char *text)
{
	return strspn(text, "0123456789abcdef");
}

static bool take_id(const char *text, size_t len, char ret_id[CONTAINER_ID_LEN])
{
	if (len != CONTAINER_ID_LEN || hex_run(text) < CONTAINER_ID_LEN)
		return false;
	memcpy(ret_id, text, CONTAINER_ID_LEN);
	return true;
}

/* The last c in text[0..len), or NULL. */
static const char *find_last(const char *text, size_t len, char c)
{
	while (len-- > 0)
		if (text[len] == c)
			return text + len;
	return NULL;
}

/* One path's last part: what stands behind a colon, or else between the last dash and the last dot. */
static bool id_from_part(const char *part, size_t len, char ret_id[CONTAINER_ID_LEN])
{
	const char *colon = find_last(part, len, ':');
	const char *dot, *dash;
	const char *end = part + len;

	if (colon != NULL)
		return take_id(colon + 1, (size_t)(end - colon - 1), ret_id);
	dot = find_last(part, len, '.');
	if (dot != NULL)
		end = dot;
	dash = find_last(part, (size_t)(end - part), '-');
	if (dash != NULL)
		part = dash + 1;
	return take_id(part, (size_t)(end - part), ret_id);
}

bool container_id_from_cgroup(const char *text, char ret_id[CONTAINER_ID_LEN])
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");
		const char *slash = find_last(text, len, '/');

		if (slash != NULL && id_from_part(slash + 1, (size_t)(text + len - slash - 1), ret_id))
			return true;
		text += len + (text[len] == '\n');
	}
	return false;
}

/* The id behind a mark, anywhere in the text. */
static bool id_behind(const char *text, const char *mark, char ret_id[CONTAINER_ID_LEN])
{
	const char *at = text;

	while ((at = strstr(at, mark)) != NULL) {
		at += strlen(mark);
		if (take_id(at, hex_run(at), ret_id))
			return true;
	}
	return false;
}

/* A mounted root like ".../containers/.../<id>/hostname": the id is a whole path part of that field, the line's fourth. */
static bool id_from_mount(const char *line, size_t len, char ret_id[CONTAINER_ID_LEN])
{
	const char *end = line + len;
	const char *at = line;
	int field;

	for (field = 1; field < 4; field++) {
		at = memchr(at, ' ', (size_t)(end - at));
		if (at == NULL)
			return false;
		at++;
	}
	end = at + strcspn(at, " \n");
	at = strstr(at, "/containers/");
	if (at == NULL || at >= end)
		return false;
	for (at += strlen("/containers/"); at < end; at += strcspn(at, "/ \n") + 1)
		if (take_id(at, hex_run(at), ret_id))
			return true;
	return false;
}

bool container_id_from_mountinfo(const char *text, char ret_id[CONTAINER_ID_LEN])
{
	bool found = false;

	if (id_behind(text, "/crio-", ret_id) || id_behind(text, "cri-containerd:", ret_id))
		return true;
	/* Later mounts lie over earlier ones: the last one counts. */
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		found |= id_from_mount(text, len, ret_id);
		text += len + (text[len] == '\n');
	}
	return found;
}
