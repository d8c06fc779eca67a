/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/clock.h"
#include "shim/config.h"
#include "shim/guard.h"
#include "shim/helper.h"
#include "shim/log.h"
#include "tests/double/export_double.h"
#include "tests/unit/segment_fixture.h"

#define STOP_MS 30000

struct double_report double_report;
_Atomic bool guard_enabled;
__thread volatile unsigned guard_depth;

static struct segment s;
static char log_path[] = "/tmp/interspan-test-helper-XXXXXX";

/* Every test has a process of its own: there is one helper in each. */
static void (*body)(void);

static void run_body(void *arg)
{
	(void)arg;
	make_segment(&s, 1);
	body();
	drop_segment(&s);
}

static void isolated(void **state)
{
	body = (void (*)(void))*state;
	assert_int_equal(in_child(run_body, NULL), 0);
}

/* In the child, where cmocka's own asserts would have nowhere to jump to. */
#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                \
			_exit(1);                                                                                      \
		}                                                                                                      \
	} while (0)

static void start(int mode)
{
	atomic_store(&double_report.mode, mode);
	helper_ensure(&s);
	WAIT_UNTIL(atomic_load(&double_report.runs) == 1);
}

static unsigned count_threads(void)
{
	char line[512] = "";
	FILE *file = fopen("/proc/self/status", "r");
	unsigned n = 0;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "Threads: %u", &n) == 1)
			break;
	fclose(file);
	return n;
}

static const char *logged(void)
{
	static char text[4096];
	int fd = open(log_path, O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	close(fd);
	return text;
}

static unsigned count_lines(const char *text)
{
	unsigned n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

/* ---- what the thread is ---- */

static void it_is_its_own_master(void)
{
	sigset_t before, after;
	int fds, probe = open("/tmp", O_RDONLY), fd;

	atomic_store(&double_report.probe_fd, probe);
	fds = count_fds();
	sigprocmask(SIG_SETMASK, NULL, &before);
	start(DOUBLE_SERVE);
	sigprocmask(SIG_SETMASK, NULL, &after);
	CHECK(memcmp(&before, &after, 8) == 0);
	CHECK(strcmp(double_report.name, "interspan") == 0);
	CHECK(double_report.tid != (uint32_t)getpid());
	CHECK(double_report.depth == GUARD_AWAY && guard_depth == 0);
	/* All signals but the two that setuid() and pthread_cancel() work by, and those that cannot be. */
	CHECK((~double_report.blocked & ~(1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1) | 3ull << 31)) == 0);
	CHECK(double_report.open_fds == 3 && !double_report.probe_is_open);
	for (fd = 0; fd <= 2; fd++)
		CHECK(strcmp(double_report.stdio[fd], "/dev/null") == 0);
	/* The program's table is as it was. */
	CHECK(fcntl(probe, F_GETFD) != -1);
	CHECK(count_fds() == fds);
	for (fd = 3; fd < 100; fd++)
		close(fd);
	CHECK(put(&s, 256, 1, 1, NULL) == 0);
	segment_wake(&s);
	WAIT_UNTIL(segment_is_empty(&s));
	CHECK(helper_stop(STOP_MS));
}

static void the_console_keeps_stdout(void)
{
	config.traces_exporter = "console";
	config.log_file = "stderr";
	start(DOUBLE_SERVE);
	CHECK(strcmp(double_report.stdio[0], "/dev/null") == 0);
	CHECK(strcmp(double_report.stdio[1], "/dev/null") != 0);
	CHECK(strcmp(double_report.stdio[2], "/dev/null") != 0);
	CHECK(helper_stop(STOP_MS));
}

static void setuid_reaches_it(void)
{
	start(DOUBLE_SERVE);
	CHECK(setresuid((uid_t)-1, geteuid(), (uid_t)-1) == 0);
	CHECK(helper_stop(STOP_MS));
}

static void real_time_is_left_to_the_program(void)
{
	struct sched_param param = {.sched_priority = 1};

	if (sched_setscheduler(0, SCHED_FIFO, &param) != 0)
		return;
	start(DOUBLE_SERVE);
	CHECK(syscall(SYS_sched_getscheduler, (pid_t)double_report.tid) == SCHED_OTHER);
	CHECK(sched_getscheduler(0) == SCHED_FIFO);
	CHECK(helper_stop(STOP_MS));
}

/* ---- starting and stopping ---- */

static void it_starts_once(void)
{
	int i;

	for (i = 0; i < 100; i++)
		helper_ensure(&s);
	start(DOUBLE_SERVE);
	CHECK(helper_is_running());
	CHECK(atomic_load(&double_report.prepares) == 1);
	CHECK(count_threads() == 2);
	CHECK(helper_stop(STOP_MS));
	CHECK(atomic_load(&double_report.runs) == 1);
}

/* Gone means gone: what fork and unshare see. Then it can be had again. */
static void it_stops_for_good_and_starts_again(void)
{
	unsigned i;

	for (i = 1; i <= 20; i++) {
		helper_ensure(&s);
		WAIT_UNTIL(atomic_load(&double_report.runs) == i);
		CHECK(helper_stop(STOP_MS));
		CHECK(count_threads() == 1);
		CHECK(!helper_is_running());
		CHECK(!segment_has_consumer(&s));
	}
	CHECK(helper_stop(0));
}

static void it_can_be_stopped_while_it_starts(void)
{
	unsigned i;

	for (i = 0; i < 20; i++) {
		helper_ensure(&s);
		CHECK(helper_stop(STOP_MS));
		CHECK(count_threads() == 1);
	}
}

/* Asked twice, the second time with more weight; and who does not answer at all is not waited for beyond the limit. */
static void a_stubborn_one_is_told_again(void)
{
	start(DOUBLE_STUBBORN);
	CHECK(helper_stop(200));
	CHECK(count_threads() == 1);
}

/* It loads nothing before it is needed, and is gone as soon as it is asked to. */
static void one_that_stands_by_does_nothing_yet(void)
{
	int i;

	for (i = 0; i < 20; i++) {
		helper_stand_by(&s, INT32_MAX);
		CHECK(helper_is_running());
		helper_ensure(&s);
		CHECK(helper_stop(STOP_MS));
		CHECK(count_threads() == 1);
	}
	CHECK(put(&s, 256, 1, 1, NULL) == 0);
	CHECK(!segment_has_consumer(&s) && atomic_load(&double_report.prepares) == 0);
	helper_stand_by(&s, INT32_MAX);
	helper_hurry();
	WAIT_UNTIL(segment_is_empty(&s));
	CHECK(helper_stop(STOP_MS));
	helper_stand_by(&s, 1);
	CHECK(put(&s, 256, 1, 2, NULL) == 0);
	WAIT_UNTIL(segment_is_empty(&s));
	CHECK(helper_stop(STOP_MS));
}

static void one_that_returns_is_not_started_for_each_record(void)
{
	int i;

	start(DOUBLE_RETURN);
	WAIT_UNTIL(!helper_is_running());
	for (i = 0; i < 1000; i++)
		helper_ensure(&s);
	CHECK(helper_stop(STOP_MS));
	CHECK(atomic_load(&double_report.runs) == 1);
}

static void a_new_segment_gets_a_new_one(void)
{
	struct segment second = {0};

	start(DOUBLE_SERVE);
	make_segment(&second, 1);
	WAIT_UNTIL((helper_ensure(&second), segment_has_consumer(&second)));
	CHECK(!segment_has_consumer(&s));
	CHECK(helper_stop(STOP_MS));
	drop_segment(&second);
}

static void none_after_the_seal(void)
{
	helper_seal();
	helper_ensure(&s);
	CHECK(!helper_is_running());
	CHECK(count_threads() == 1);
	CHECK(put(&s, 256, 1, 1, NULL) == 0);
	helper_flush(&s, INT32_MAX);
	helper_forget();
	helper_ensure(&s);
	CHECK(!helper_is_running());
}

/* ---- forks ---- */

static void child_of_a_served_segment(void *arg)
{
	(void)arg;
	helper_forget();
	CHECK(!helper_is_running());
	CHECK(segment_join(&s) == 0);
	helper_ensure(&s);
	CHECK(!helper_is_running() && count_threads() == 1);
	CHECK(put(&s, 256, 1, 1, NULL) == 0);
	helper_flush(&s, STOP_MS); /* somebody else's to send */
	CHECK(atomic_load(&s.header->flush) == 0);
}

static void child_of_an_abandoned_segment(void *arg)
{
	(void)arg;
	helper_forget();
	CHECK(segment_join(&s) == 0);
	helper_ensure(&s);
	WAIT_UNTIL(segment_has_consumer(&s));
	CHECK(put(&s, 256, 1, 1, NULL) == 0);
	helper_flush(&s, STOP_MS);
	CHECK(segment_is_empty(&s));
	CHECK(helper_stop(STOP_MS));
}

static void children_start_one_only_where_there_is_none(void)
{
	start(DOUBLE_SERVE);
	CHECK(in_child(child_of_a_served_segment, NULL) == 0);
	CHECK(helper_stop(STOP_MS));
	atomic_store(&double_report.runs, 0);
	CHECK(in_child(child_of_an_abandoned_segment, NULL) == 0);
}

/* ---- flush ---- */

static void a_flush_waits_for_everything(void)
{
	int i;

	for (i = 0; i < 50; i++)
		CHECK(put(&s, 256, 1, 1, NULL) == 0);
	helper_flush(&s, STOP_MS); /* starts it, too */
	CHECK(segment_is_empty(&s));
	CHECK(atomic_load(&double_report.taken) == 50);
	CHECK(atomic_load(&s.header->flush) == 1);
	helper_flush(&s, STOP_MS); /* nothing to send: nobody is asked */
	CHECK(atomic_load(&s.header->flush) == 1);
	atomic_store(&s.header->counts_untold, 1);
	helper_flush(&s, STOP_MS); /* counters are something, too */
	CHECK(atomic_load(&s.header->flush) == 2);
	CHECK(helper_stop(STOP_MS));
}

static void a_flush_is_bounded(void)
{
	start(DOUBLE_DEAF);
	CHECK(put(&s, 256, 1, 1, NULL) == 0);
	helper_flush(&s, 50);
	CHECK(!segment_is_empty(&s));
	CHECK(atomic_load(&s.header->flush) == 1);
	CHECK(helper_stop(STOP_MS));
}

/* Without a limit, these would wait for ever. */
static void no_flush_where_it_is_of_no_use(void)
{
	struct segment none = {0};

	start(DOUBLE_DOWN);
	CHECK(put(&s, 256, 1, 1, NULL) == 0);
	WAIT_UNTIL(atomic_load(&s.header->collector_down) != 0);
	helper_flush(&s, INT32_MAX);
	CHECK(atomic_load(&s.header->flush) == 0);
	helper_flush(&none, INT32_MAX);
	CHECK(helper_stop(STOP_MS));
}

static void *say_down(void *arg)
{
	WAIT_UNTIL(atomic_load(&s.header->flush) == 1);
	atomic_store(&s.header->collector_down, 1);
	return arg;
}

static void a_flush_ends_when_the_collector_is_lost(void)
{
	pthread_t thread;

	start(DOUBLE_DEAF);
	CHECK(put(&s, 256, 1, 1, NULL) == 0);
	CHECK(pthread_create(&thread, NULL, say_down, NULL) == 0);
	helper_flush(&s, INT32_MAX);
	pthread_join(thread, NULL);
	CHECK(helper_stop(STOP_MS));
}

/* ---- prepare ---- */

static void prepare_loads_and_starts_nothing(void)
{
	helper_prepare(&s);
	CHECK(atomic_load(&double_report.prepares) == 1);
	CHECK(atomic_load(&double_report.prepares_with_files) == 0);
	CHECK(count_threads() == 1);
	CHECK(guard_depth == 0);
	start(DOUBLE_SERVE);
	CHECK(atomic_load(&double_report.prepares_with_files) == 1);
	helper_prepare(&s); /* all is there */
	CHECK(atomic_load(&double_report.prepares) == 2);
	CHECK(helper_stop(STOP_MS));
}

static void prepare_has_the_file_opened(void)
{
	config.traces_exporter = "file";
	helper_prepare(&s);
	CHECK(atomic_load(&double_report.prepares_with_files) == 1);
	CHECK(helper_is_running());
	CHECK(helper_stop(STOP_MS));
}

/* ---- no plug-in ---- */

static void expect_failure(const char *message)
{
	int i;

	log_start("warn", log_path);
	for (i = 0; i < 50; i++) {
		helper_ensure(&s);
		CHECK(helper_stop(STOP_MS));
	}
	CHECK(count_threads() == 1);
	CHECK(strstr(logged(), message) != NULL);
	CHECK(count_lines(logged()) == 1);
	CHECK(put(&s, 256, 1, 1, NULL) == 0);
	helper_flush(&s, INT32_MAX);
	helper_prepare(&s);
	CHECK(!segment_is_empty(&s));
	CHECK(count_lines(logged()) == 1);
}

static void another_version_is_not_used(void)
{
	atomic_store(&double_report.wrong_version, 1);
	expect_failure("is not of version");
	CHECK(atomic_load(&double_report.prepares) == 0);
}

static void a_failed_start_is_final(void)
{
	atomic_store(&double_report.fail_prepare, 1);
	expect_failure("the exporter cannot start (-5)");
	CHECK(atomic_load(&double_report.runs) == 0);
}

static void plugin_path(char ret[4096])
{
	ssize_t n = readlink("/proc/self/exe", ret, 4000);

	ret[n > 0 ? n : 0] = '\0';
	strcpy(strrchr(ret, '/') + 1, "libinterspan-export.so");
}

static void no_plugin_is_said_once(void)
{
	expect_failure("no exporter");
}

static void a_missing_plugin(void **state)
{
	char path[4096], hidden[4200];
	int status;

	(void)state;
	plugin_path(path);
	snprintf(hidden, sizeof(hidden), "%s.hidden", path);
	assert_int_equal(rename(path, hidden), 0);
	body = no_plugin_is_said_once;
	status = in_child(run_body, NULL);
	assert_int_equal(rename(hidden, path), 0);
	assert_int_equal(status, 0);
}

static int begin(void **state)
{
	close(mkstemp(log_path));
	return set_deadline(state);
}

static int end(void **state)
{
	(void)state;
	return unlink(log_path);
}

static int clear_log(void **state)
{
	(void)state;
	return truncate(log_path, 0);
}

#define TEST(name) {#name, isolated, clear_log, NULL, (void *)name}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_is_its_own_master),
		TEST(the_console_keeps_stdout),
		TEST(setuid_reaches_it),
		TEST(real_time_is_left_to_the_program),
		TEST(it_starts_once),
		TEST(it_stops_for_good_and_starts_again),
		TEST(it_can_be_stopped_while_it_starts),
		TEST(a_stubborn_one_is_told_again),
		TEST(one_that_stands_by_does_nothing_yet),
		TEST(one_that_returns_is_not_started_for_each_record),
		TEST(a_new_segment_gets_a_new_one),
		TEST(none_after_the_seal),
		TEST(children_start_one_only_where_there_is_none),
		TEST(a_flush_waits_for_everything),
		TEST(a_flush_is_bounded),
		TEST(no_flush_where_it_is_of_no_use),
		TEST(a_flush_ends_when_the_collector_is_lost),
		TEST(prepare_loads_and_starts_nothing),
		TEST(prepare_has_the_file_opened),
		TEST(another_version_is_not_used),
		TEST(a_failed_start_is_final),
		cmocka_unit_test_setup_teardown(a_missing_plugin, clear_log, NULL),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
