/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "shim/config.h"
#include "shim/container.h"
#include "shim/log.h"
#include "tests/unit/segment_fixture.h"

static uint8_t items[SEGMENT_RESOURCE_BYTES];
static uint32_t items_len;
static char log_path[] = "/tmp/interspan-test-resource-XXXXXX";

static const char *const attr_names[] = {
#define ATTR(id, name, type) name,
#include "shim/attr.def"
#undef ATTR
};

static void describe(const char *service_name, const char *attributes)
{
	struct config settings = config;

	settings.service_name = service_name;
	settings.resource_attributes = attributes;
	items_len = segment_describe_resource(items, sizeof(items), &settings);
	assert_true(items_valid(items, items_len));
}

/* The value under a key, or NULL; *ret_count says how often the key occurs. */
static const char *value_of(const char *key, unsigned *ret_count)
{
	static char value[SEGMENT_RESOURCE_BYTES + 1];
	struct record_item item;
	const uint8_t *payload;
	uint32_t cursor = 0;
	unsigned n = 0;

	while (items_next(items, items_len, &cursor, &item, &payload)) {
		size_t skip_bytes = item.type == ITEM_NAMED ? 1u + payload[0] : 0;

		if (item.type == ITEM_NAMED ? strlen(key) != payload[0] || memcmp(payload + 1, key, payload[0]) != 0 :
					      strcmp(attr_names[item.key], key) != 0)
			continue;
		memcpy(value, payload + skip_bytes, item.len - skip_bytes);
		value[item.len - skip_bytes] = '\0';
		n++;
	}
	if (ret_count != NULL)
		*ret_count = n;
	return n != 0 ? value : NULL;
}

#define EXPECT(key, text) assert_string_equal(value_of(key, NULL), text)

static void what_is_always_there(void **state)
{
	char exe[4096] = "";
	struct utsname names;
	struct passwd *user = getpwuid(geteuid());

	(void)state;
	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	uname(&names);
	describe("", "");
	EXPECT("telemetry.sdk.name", "interspan");
	EXPECT("telemetry.sdk.language", "c");
	EXPECT("telemetry.sdk.version", INTERSPAN_VERSION);
	EXPECT("service.name", "unknown_service:resource");
	EXPECT("os.type", "linux");
	EXPECT("process.executable.name", "resource");
	EXPECT("process.executable.path", exe);
	EXPECT("host.name", names.nodename);
	assert_non_null(value_of("host.arch", NULL));
	assert_non_null(strstr(value_of("process.command", NULL), "resource"));
	if (user != NULL)
		EXPECT("process.owner", user->pw_name);
	assert_null(value_of("process.pid", NULL));
	assert_null(value_of("service.instance.id", NULL));
}

static void a_machine_or_a_container(void **state)
{
	char id[64] = "";
	int fd = open("/etc/machine-id", O_RDONLY);
	ssize_t n = read(fd, id, sizeof(id) - 1);

	(void)state;
	close(fd);
	describe("", "");
	if (value_of("host.id", NULL) != NULL) {
		id[n > 0 ? strcspn(id, "\n") : 0] = '\0';
		EXPECT("host.id", id);
		assert_null(value_of("container.id", NULL));
	} else {
		assert_true(n <= 0 || value_of("container.id", NULL) != NULL || access("/.dockerenv", F_OK) == 0 ||
			    access("/run/.containerenv", F_OK) == 0);
	}
}

/* OTEL_SERVICE_NAME before OTEL_RESOURCE_ATTRIBUTES before unknown_service. */
static void whose_name_counts(void **state)
{
	unsigned n;

	(void)state;
	describe("shop", "service.name=other,service.version=1");
	assert_string_equal(value_of("service.name", &n), "shop");
	assert_int_equal(n, 1);
	EXPECT("service.version", "1");
	describe("", "service.name=other");
	assert_string_equal(value_of("service.name", &n), "other");
	assert_int_equal(n, 1);
}

static void the_user_knows_better_but_for_the_sdk(void **state)
{
	unsigned n;

	(void)state;
	describe("", "host.name=mine,telemetry.sdk.name=theirs,process.owner=,service.instance.id=7");
	assert_string_equal(value_of("host.name", &n), "mine");
	assert_int_equal(n, 1);
	assert_string_equal(value_of("telemetry.sdk.name", &n), "interspan");
	assert_int_equal(n, 1);
	assert_string_equal(value_of("process.owner", &n), "");
	assert_int_equal(n, 1);
	EXPECT("service.instance.id", "7");
}

static void pairs_are_decoded(void **state)
{
	(void)state;
	describe("", " a = x%20y ,b=%C3%A9%2c%3D,c%2Fd=1=2,,e=, f\t=g ,");
	EXPECT("a", "x y");
	EXPECT("b", "\xc3\xa9,=");
	EXPECT("c/d", "1=2");
	EXPECT("e", "");
	EXPECT("f", "g");
	describe("", "a=1,a=2");
	EXPECT("a", "1");
}

static unsigned logged_lines(void)
{
	char text[4096];
	int fd = open(log_path, O_RDONLY);
	ssize_t i, n = read(fd, text, sizeof(text));
	unsigned lines = 0;

	for (i = 0; i < n; i++)
		lines += text[i] == '\n';
	close(fd);
	assert_int_equal(truncate(log_path, 0), 0);
	return lines;
}

/* One error, and the whole value is discarded, with one warning. */
static void one_error_spoils_all(void **state)
{
	static const char *const bad[] = {
		"good=1,bad", "good=1,=x", "good=1,bad=%2", "good=1,bad=%", "good=1,bad=%zz", "good=1,%g0=1",
		"good=1,bad=%00", "good=1, %20=ok, =", "good=1,bad=x%2",
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		describe("", bad[i]);
		assert_null(value_of("good", NULL));
		assert_non_null(value_of("service.name", NULL));
		assert_int_equal(logged_lines(), 1);
	}
}

static void what_is_too_long_is_left_out(void **state)
{
	static char attributes[100000];
	char *at = attributes;

	(void)state;
	at += sprintf(at, "first=1,huge=");
	memset(at, 'x', 60000);
	at += 60000;
	at += sprintf(at, ",last=2,");
	memset(at, 'k', 300);
	strcpy(at + 300, "=3");
	describe("", attributes);
	EXPECT("first", "1");
	EXPECT("last", "2");
	assert_null(value_of("huge", NULL));
	EXPECT("telemetry.sdk.name", "interspan");
	assert_int_equal(logged_lines(), 1);
}

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void cgroup_paths(void **state)
{
	static const struct {
		const char *text;
		bool found;
	} cases[] = {
		{"0::/", false},
		{"", false},
		{"12:pids:/docker/" ID "\n", true},
		{"1:name=systemd:/\n2:cpu:/kubepods/besteffort/pod1/" ID, true},
		{"1:name=systemd:/system.slice/docker-" ID ".scope\n", true},
		{"1:a:/kubepods.slice/cri-containerd-" ID ".scope", true},
		{"1:a:/x/kubepods-burstable-pod1.slice:cri-containerd:" ID, true},
		{"1:a:/docker/" ID "0", false},
		{"1:a:/docker/0123\n2:b:/" ID "/x\n", false},
		{"1:a:/docker/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", false},
		{"0::/user.slice/user-1000.slice/session-3.scope", false},
		{"no slash", false},
	};
	char id[CONTAINER_ID_LEN];
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(container_id_from_cgroup(cases[i].text, id), cases[i].found);
		if (cases[i].found)
			assert_memory_equal(id, ID, CONTAINER_ID_LEN);
	}
}

static void mounted_files(void **state)
{
	static const struct {
		const char *text;
		bool found;
	} cases[] = {
		{"", false},
		{"1 2 3:4 /\n", false},
		{"783 717 254:1 /var/lib/docker/containers/" ID "/resolv.conf /etc/resolv.conf rw - ext4 /dev/x rw\n", true},
		{"1 2 3:4 / / rw\n5 6 7:8 /x/containers/overlay-containers/" ID "/userdata/hostname /etc/hostname rw", true},
		{"1 2 0:3 /containers/fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210/a /b rw\n"
		 "1 2 0:3 /containers/" ID "/hostname /etc/hostname rw\n", true},
		{"9 8 0:7 /../crio-" ID " /sys/fs/cgroup ro", true},
		{"9 8 0:7 /x:cri-containerd:" ID " /sys/fs/cgroup ro", true},
		/* A host of containers is none: there the id stands in the mount point. */
		{"9 8 0:7 / /var/lib/docker/containers/" ID "/mounts/shm rw - tmpfs shm rw\n", false},
		{"9 8 0:7 /containers/" ID "ff/hostname /etc/hostname rw", false},
		{"9 8 0:7", false},
	};
	char id[CONTAINER_ID_LEN];
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(container_id_from_mountinfo(cases[i].text, id), cases[i].found);
		if (cases[i].found)
			assert_memory_equal(id, ID, CONTAINER_ID_LEN);
	}
}

static int begin(void **state)
{
	close(mkstemp(log_path));
	log_start("warn", log_path);
	return set_deadline(state);
}

static int end(void **state)
{
	(void)state;
	return unlink(log_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_always_there), cmocka_unit_test(a_machine_or_a_container),
		cmocka_unit_test(whose_name_counts),    cmocka_unit_test(the_user_knows_better_but_for_the_sdk),
		cmocka_unit_test(pairs_are_decoded),    cmocka_unit_test(one_error_spoils_all),
		cmocka_unit_test(what_is_too_long_is_left_out), cmocka_unit_test(cgroup_paths),
		cmocka_unit_test(mounted_files),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
