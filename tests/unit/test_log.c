/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shim/log.h"
#include "shim/rundir.h"
#include "tests/unit/segment_fixture.h"

static char path[] = "/tmp/interspan-test-log-XXXXXX";
static char text[8192];
static bool private_shm;

static int make_file(void **state)
{
	int fd = mkstemp(path);

	private_shm = use_private_shm("4m");
	close(fd);
	return fd < 0 ? -1 : set_deadline(state);
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

static const char *contents(const char *file)
{
	int fd = open(file, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	close(fd);
	return text;
}

static const char *logged(void)
{
	contents(path);
	assert_int_equal(truncate(path, 0), 0);
	return text;
}

static void nothing_before_the_start(void **state)
{
	(void)state;
	log_line(LOG_ERROR, "lost");
	assert_string_equal(logged(), "");
}

static void every_conversion(void **state)
{
	const char *volatile none = NULL;

	(void)state;
	log_start("debug", path);
	log_line(LOG_INFO, "%s|%d|%u|%ld|%lu|%x|%lx|%%|%c|%s", "text", -5, 7u, LONG_MIN, ULONG_MAX, 0xabcu, 0xfffffffffful,
		 'c', none);
	assert_non_null(strstr(logged(), "text|-5|7|-9223372036854775808|18446744073709551615|abc|ffffffffff|%|c|(null)\n"));
}

/* UTC time, "interspan[PID]", level, text: as strftime has it. */
static void the_form_of_a_line(void **state)
{
	char expected[128], pid[32];
	struct tm tm = {0};
	time_t before = time(NULL), at;
	const char *rest;

	(void)state;
	log_start("debug", path);
	log_line(LOG_WARN, "hello");
	logged();
	rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	assert_non_null(rest);
	at = timegm(&tm);
	assert_true(at >= before && at <= time(NULL));
	strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", &tm);
	assert_memory_equal(text, expected, strlen(expected));
	assert_int_equal(rest[0], '.');
	snprintf(pid, sizeof(pid), "Z interspan[%d] warn hello\n", getpid());
	assert_string_equal(rest + 4, pid);
}

static void levels(void **state)
{
	(void)state;
	log_start("ERROR", path);
	log_line(LOG_WARN, "no");
	log_line(LOG_ERROR, "yes");
	logged();
	assert_null(strstr(text, "no"));
	assert_non_null(strstr(text, "error yes\n"));
	log_start("none", path);
	log_line(LOG_ERROR, "no");
	log_line(LOG_NONE, "no");
	assert_string_equal(logged(), "");
	log_start("loud", path); /* not a level: the default */
	log_line(LOG_WARN, "yes");
	log_line(LOG_INFO, "no");
	assert_non_null(strstr(logged(), "yes\n"));
}

static void long_and_strange_texts(void **state)
{
	char longer[700];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	log_start("debug", path);
	log_line(LOG_INFO, "%s", longer);
	logged();
	assert_int_equal(strspn(strchr(text, 'x'), "x"), 500);
	assert_int_equal(text[strlen(text) - 1], '\n');
	log_line(LOG_INFO, "a\nb\tc\x1b[31m");
	assert_non_null(strstr(logged(), " a b c [31m\n"));
}

static void nothing_else_changes(void **state)
{
	int fds = count_fds();

	(void)state;
	log_start("debug", path);
	errno = 77;
	log_line(LOG_INFO, "x");
	assert_int_equal(errno, 77);
	log_start("debug", "/nowhere/at/all");
	errno = 77;
	log_line(LOG_INFO, "x");
	assert_int_equal(errno, 77);
	assert_int_equal(count_fds(), fds);
}

static void log_to_broken_stderr(void *arg)
{
	int ends[2];

	(void)arg;
	if (pipe(ends) != 0 || close(ends[0]) != 0 || dup2(ends[1], 2) != 2)
		_exit(2);
	log_start("debug", "stderr");
	log_line(LOG_INFO, "x");
}

static void log_beyond_file_limit(void *arg)
{
	struct rlimit limit = {10, 10};

	(void)arg;
	setrlimit(RLIMIT_FSIZE, &limit);
	log_start("debug", path);
	log_line(LOG_INFO, "x");
}

/* Neither a broken pipe nor a file limit may raise a signal in the program. */
static void no_signals(void **state)
{
	(void)state;
	logged();
	assert_int_equal(in_child(log_to_broken_stderr, NULL), 0);
	assert_int_equal(in_child(log_beyond_file_limit, NULL), 0);
	assert_string_equal(logged(), "");
}

static void log_with_stdio_closed(void *arg)
{
	(void)arg;
	close(0);
	close(1);
	log_start("debug", path);
	log_line(LOG_INFO, "x");
	if (fcntl(0, F_GETFD) != -1 || fcntl(1, F_GETFD) != -1)
		_exit(1);
}

static void closed_stdio_stays_closed(void **state)
{
	(void)state;
	assert_int_equal(in_child(log_with_stdio_closed, NULL), 0);
	assert_non_null(strstr(logged(), " x\n"));
}

/* Unset: beside the segments, readable to us alone, never more than 1 MiB; nowhere when the directory is not ours. */
static void the_default_file(void **state)
{
	char dir[RUNDIR_PATH_MAX], file[RUNDIR_PATH_MAX + 16];
	struct stat st;

	(void)state;
	if (!private_shm)
		skip();
	rundir_path(dir);
	snprintf(file, sizeof(file), "%s/interspan.log", dir);
	log_start("debug", "");
	log_line(LOG_INFO, "default");
	assert_non_null(strstr(contents(file), "default\n"));
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(truncate(file, 1024 * 1024 - 10), 0);
	log_line(LOG_INFO, "too much");
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_size, 1024 * 1024 - 10);
	assert_int_equal(truncate(file, 0), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	log_line(LOG_INFO, "not here");
	assert_string_equal(contents(file), "");
	unlink(file);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_before_the_start), cmocka_unit_test(every_conversion),
		cmocka_unit_test(the_form_of_a_line),       cmocka_unit_test(levels),
		cmocka_unit_test(long_and_strange_texts),   cmocka_unit_test(nothing_else_changes),
		cmocka_unit_test(no_signals),               cmocka_unit_test(closed_stdio_stays_closed),
		cmocka_unit_test(the_default_file),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
