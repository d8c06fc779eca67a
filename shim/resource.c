/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resource: what all processes of a segment have in common. Made once, when the segment is; may run on a small stack, so files
 * are read into a mapping of its own. Names: OpenTelemetry semantic conventions 1.44.0, resource.
 */
#include <string.h>
#include <sys/utsname.h>

#include "shim/config.h"
#include "shim/container.h"
#include "shim/log.h"
#include "shim/segment.h"
#include "shim/sys.h"
#include "shim/text.h"

/* The mapping: a file's text, and decoded pairs. */
#define SCRATCH_FILE 65536
#define SCRATCH_BYTES (SCRATCH_FILE + 16384)

struct resource {
	uint8_t *items;
	uint32_t cap;
	uint32_t len;
	char *scratch; /* SCRATCH_BYTES, or NULL when there is no memory: then only what needs none is said */
	bool overflow;
};

static const char *const attr_names[ATTR_N] = {
#define ATTR(id, name, type) name,
#include "shim/attr.def"
#undef ATTR
};

/* Does an item with this key exist already? */
static bool has_key(const struct resource *r, const char *key, size_t key_len)
{
	struct record_item item;
	const uint8_t *payload;
	uint32_t cursor = 0;

	while (items_next(r->items, r->len, &cursor, &item, &payload)) {
		if (item.type == ITEM_NAMED ? payload[0] == key_len && memcmp(payload + 1, key, key_len) == 0 :
					      strlen(attr_names[item.key]) == key_len &&
						      memcmp(attr_names[item.key], key, key_len) == 0)
			return true;
	}
	return false;
}

/* The first one to say something about a key has said it. */
static void add_string(struct resource *r, enum attr key, const char *text, size_t len)
{
	struct record_item item = {.type = ITEM_STRING, .key = (uint8_t)key};

	if (len != 0 && !has_key(r, attr_names[key], strlen(attr_names[key])) &&
	    !items_append(r->items, r->cap, &r->len, item, text, len, NULL, 0))
		r->overflow = true;
}

static void add_text(struct resource *r, enum attr key, const char *text)
{
	add_string(r, key, text, strlen(text));
}

static void add_named(struct resource *r, const char *key, size_t key_len, const char *value, size_t value_len)
{
	struct record_item item = {.type = ITEM_NAMED};
	char head[1 + UINT8_MAX];

	if (has_key(r, key, key_len))
		return;
	if (key_len <= UINT8_MAX) {
		head[0] = (char)(uint8_t)key_len;
		memcpy(head + 1, key, key_len);
		if (items_append(r->items, r->cap, &r->len, item, head, 1 + key_len, value, value_len))
			return;
	}
	r->overflow = true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Percent-decode, blanks around it dropped. Returns the length, or -1: a bad escape, or a NUL, which no text can hold. */
static int decode(const char *from, size_t len, char *to)
{
	size_t at = 0;
	int n = 0;

	while (at < len && (from[at] == ' ' || from[at] == '\t'))
		at++;
	while (len > at && (from[len - 1] == ' ' || from[len - 1] == '\t'))
		len--;
	while (at < len) {
		int high, low;

		if (from[at] != '%') {
			to[n++] = from[at++];
			continue;
		}
		high = len - at >= 3 ? hex_digit(from[at + 1]) : -1;
		low = len - at >= 3 ? hex_digit(from[at + 2]) : -1;
		if (high < 0 || low < 0 || (high == 0 && low == 0))
			return -1;
		to[n++] = (char)(high << 4 | low);
		at += 3;
	}
	return n;
}

/* One "key=value" of OTEL_RESOURCE_ATTRIBUTES. Returns false when it is not one. r NULL: only look. */
static bool add_pair(struct resource *r, const char *pair, uint32_t len, char *scratch)
{
	const char *equals = memchr(pair, '=', len);
	char *key = scratch, *value;
	int key_len, value_len;

	if (equals == NULL)
		return false;
	key_len = decode(pair, (size_t)(equals - pair), key);
	if (key_len <= 0)
		return false;
	value = key + key_len;
	value_len = decode(equals + 1, (size_t)(pair + len - equals - 1), value);
	if (value_len < 0)
		return false;
	if (r != NULL)
		add_named(r, key, (size_t)key_len, value, (size_t)value_len);
	return true;
}

/* The specification: one error, and the whole value is discarded. */
static void add_user_attributes(struct resource *r, const struct config *settings)
{
	const char *cursor = settings->resource_attributes;
	const char *item;
	uint32_t len;

	if (*cursor == '\0' || r->scratch == NULL)
		return;
	while (config_next(&cursor, &item, &len)) {
		if (len > SCRATCH_BYTES || !add_pair(NULL, item, len, r->scratch)) {
			log_line(LOG_WARN, "OTEL_RESOURCE_ATTRIBUTES is malformed and ignored");
			return;
		}
	}
	cursor = settings->resource_attributes;
	while (config_next(&cursor, &item, &len))
		add_pair(r, item, len, r->scratch);
}

/* The executable's path in scratch; returns its name, "" when unknown. */
static const char *read_executable(char *scratch)
{
	static const char deleted[] = " (deleted)";
	ssize_t n = sys_readlink("/proc/self/exe", scratch, SCRATCH_BYTES - 1);
	const char *slash;

	if (n < 0)
		n = 0;
	scratch[n] = '\0';
	if (n > (ssize_t)sizeof(deleted) && strcmp(scratch + n - (sizeof(deleted) - 1), deleted) == 0)
		scratch[n - (ssize_t)(sizeof(deleted) - 1)] = '\0';
	slash = strrchr(scratch, '/');
	return slash != NULL ? slash + 1 : "";
}

/* OTEL_SERVICE_NAME, else service.name of OTEL_RESOURCE_ATTRIBUTES (which was added before), else unknown_service:<executable>. */
static void add_unknown_service(struct resource *r, const char *executable)
{
	char name[256];
	struct text t = {name, sizeof(name), 0};

	text_add_string(&t, "unknown_service");
	if (*executable != '\0') {
		text_add_string(&t, ":");
		text_add_string(&t, executable);
	}
	add_string(r, ATTR_SERVICE_NAME, name, t.len);
}

/* A small file as text, at most SCRATCH_FILE - 1 bytes of it. Returns its length, 0 when there is none. */
static size_t read_file(const char *path, char *ret)
{
	size_t len = 0;
	ssize_t n = 1;
	int fd = sys_open(path, O_RDONLY);

	if (fd >= 0) {
		while (n > 0 && len < SCRATCH_FILE - 1) {
			n = sys_read(fd, ret + len, SCRATCH_FILE - 1 - len);
			len += n > 0 ? (size_t)n : 0;
		}
		sys_close(fd);
	}
	ret[len] = '\0';
	return len;
}

/* "name:password:uid:..." in /etc/passwd; the name service switch would run somebody's modules. */
static void add_owner(struct resource *r)
{
	char uid[16];
	struct text t = {uid, sizeof(uid), 0};
	const char *line, *field;

	text_add_string(&t, ":");
	text_add_unsigned(&t, sys_geteuid());
	text_add_string(&t, ":");
	read_file("/etc/passwd", r->scratch);
	for (line = r->scratch; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		field = line + strcspn(line, ":\n");
		if (*field == ':')
			field += 1 + strcspn(field + 1, ":\n");
		if (strncmp(field, uid, t.len) == 0) {
			add_string(r, ATTR_PROCESS_OWNER, line, strcspn(line, ":"));
			return;
		}
	}
}

static void add_process(struct resource *r)
{
	const char *name = read_executable(r->scratch);

	add_text(r, ATTR_PROCESS_EXECUTABLE_NAME, name);
	add_text(r, ATTR_PROCESS_EXECUTABLE_PATH, r->scratch);
	read_file("/proc/self/cmdline", r->scratch);
	add_text(r, ATTR_PROCESS_COMMAND, r->scratch);
	add_owner(r);
}

/* A machine's id says nothing about a container on it. */
static void add_host_id(struct resource *r)
{
	size_t len = read_file("/etc/machine-id", r->scratch);

	if (len == 0)
		read_file("/var/lib/dbus/machine-id", r->scratch);
	len = strcspn(r->scratch, "\n");
	add_string(r, ATTR_HOST_ID, r->scratch, len);
}

static bool in_container(struct resource *r)
{
	static const char *const marks[] = {"/.dockerenv", "/run/.containerenv"};
	char id[CONTAINER_ID_LEN];
	unsigned i;

	read_file("/proc/self/cgroup", r->scratch);
	if (container_id_from_cgroup(r->scratch, id)) {
		add_string(r, ATTR_CONTAINER_ID, id, sizeof(id));
		return true;
	}
	read_file("/proc/self/mountinfo", r->scratch);
	if (container_id_from_mountinfo(r->scratch, id)) {
		add_string(r, ATTR_CONTAINER_ID, id, sizeof(id));
		return true;
	}
	for (i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		int fd = sys_open(marks[i], O_PATH);

		if (fd >= 0) {
			sys_close(fd);
			return true;
		}
	}
	return false;
}

static void add_host(struct resource *r)
{
	struct utsname *names = (struct utsname *)(void *)r->scratch;

	if (sys_call3(SYS_uname, (long)names, 0, 0) == 0)
		add_text(r, ATTR_HOST_NAME, names->nodename);
	if (!in_container(r))
		add_host_id(r);
}

uint32_t segment_describe_resource(uint8_t *items, uint32_t cap, const struct config *settings)
{
	struct resource r = {.items = items, .cap = cap};
	void *scratch = sys_mmap(SCRATCH_BYTES, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	r.scratch = scratch == MAP_FAILED ? NULL : scratch;
	add_text(&r, ATTR_TELEMETRY_SDK_NAME, "interspan");
	add_text(&r, ATTR_TELEMETRY_SDK_LANGUAGE, "c");
	add_text(&r, ATTR_TELEMETRY_SDK_VERSION, INTERSPAN_VERSION);
	add_text(&r, ATTR_SERVICE_NAME, settings->service_name);
	add_user_attributes(&r, settings);
	add_unknown_service(&r, r.scratch != NULL ? read_executable(r.scratch) : "");
	add_text(&r, ATTR_OS_TYPE, "linux");
#if defined(__x86_64__)
	add_text(&r, ATTR_HOST_ARCH, "amd64");
#elif defined(__aarch64__)
	add_text(&r, ATTR_HOST_ARCH, "arm64");
#endif
	if (r.scratch != NULL) {
		add_process(&r);
		add_host(&r);
		sys_munmap(r.scratch, SCRATCH_BYTES);
	}
	if (r.overflow)
		log_line(LOG_WARN, "the resource attributes are too long: some are left out");
	return r.len;
}
