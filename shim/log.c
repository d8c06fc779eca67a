/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/log.h"

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "shim/config.h"
#include "shim/rundir.h"
#include "shim/sys.h"
#include "shim/text.h"

#define TEXT_MAX 500
#define FILE_MAX 1048576ull
#define STDERR 2

static _Atomic int threshold = LOG_NONE;
/* NULL or "": beside the segments. */
static const char *_Atomic destination;

/* NULL: everybody may. */
static bool (*_Atomic may_write)(void);

static const char *const level_names[] = {"none", "error", "warn", "info", "debug"};

void log_start(const char *level, const char *file)
{
	int i, found = LOG_WARN;

	for (i = LOG_NONE; i <= LOG_DEBUG; i++)
		if (config_is(level, level_names[i]))
			found = i;
	atomic_store(&destination, file);
	atomic_store(&threshold, found);
}

void log_seal(bool (*may_log)(void))
{
	atomic_store(&may_write, may_log);
}

/* Days since 1970 to a date of the Gregorian calendar, which repeats every 146097 days (400 years). */
static void civil_date(int64_t days, uint64_t *ret_year, uint64_t *ret_month, uint64_t *ret_day)
{
	/* Years begin in March here, so that the leap day comes last. */
	uint64_t shifted = (uint64_t)(days + 719468);
	uint64_t era = shifted / 146097;
	uint64_t day = shifted % 146097;
	uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	uint64_t month;

	day -= year * 365 + year / 4 - year / 100;
	month = (day * 5 + 2) / 153;
	*ret_day = day - (month * 153 + 2) / 5 + 1;
	*ret_month = month < 10 ? month + 3 : month - 9;
	*ret_year = era * 400 + year + (*ret_month <= 2);
}

static void add_time(struct text *t)
{
	struct timespec now;
	uint64_t year, month, day, seconds;

	clock_gettime(CLOCK_REALTIME, &now);
	civil_date(now.tv_sec / 86400, &year, &month, &day);
	seconds = (uint64_t)(now.tv_sec % 86400);
	text_add_number(t, year, 10, 4);
	text_add(t, "-", 1);
	text_add_number(t, month, 10, 2);
	text_add(t, "-", 1);
	text_add_number(t, day, 10, 2);
	text_add(t, "T", 1);
	text_add_number(t, seconds / 3600, 10, 2);
	text_add(t, ":", 1);
	text_add_number(t, seconds / 60 % 60, 10, 2);
	text_add(t, ":", 1);
	text_add_number(t, seconds % 60, 10, 2);
	text_add(t, ".", 1);
	text_add_number(t, (uint64_t)now.tv_nsec / 1000000, 10, 3);
	text_add(t, "Z", 1);
}

static void add_signed(struct text *t, int64_t value)
{
	if (value < 0)
		text_add(t, "-", 1);
	text_add_unsigned(t, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static void add_number(struct text *t, char conversion, bool is_long, uint64_t value)
{
	if (conversion == 'd')
		add_signed(t, is_long ? (int64_t)value : (int32_t)value);
	else
		text_add_number(t, is_long ? value : (uint32_t)value, conversion == 'x' ? 16 : 10, 1);
}

static void add_formatted(struct text *t, const char *format, va_list args)
{
	const char *percent, *string;
	bool is_long;
	char c;

	while ((percent = strchr(format, '%')) != NULL) {
		text_add(t, format, (size_t)(percent - format));
		is_long = percent[1] == 'l';
		format = percent + 1 + is_long;
		switch (*format) {
		case 's':
			string = va_arg(args, const char *);
			text_add_string(t, string != NULL ? string : "(null)");
			break;
		case 'd':
		case 'u':
		case 'x':
			add_number(t, *format, is_long, is_long ? va_arg(args, uint64_t) : va_arg(args, uint32_t));
			break;
		case 'c':
			c = (char)va_arg(args, int);
			text_add(t, &c, 1);
			break;
		default:
			text_add(t, "%", 1);
			break;
		}
		format += *format != '\0';
	}
	text_add_string(t, format);
}

/* One line stays one line, whatever a peer has put into a text that we quote. */
static void flatten(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
}

/* A write to a pipe that nobody reads must not raise the program's SIGPIPE: it is held back, and taken if it came from us. */
static void write_quietly(int fd, const char *line, size_t len)
{
	static const struct timespec no_wait;
	const uint64_t pipe_signal = 1ull << (SIGPIPE - 1);
	uint64_t old, pending = 0;

	if (sys_call6(SYS_rt_sigprocmask, SIG_BLOCK, (long)&pipe_signal, (long)&old, sizeof(old), 0, 0) < 0)
		return;
	sys_call3(SYS_rt_sigpending, (long)&pending, sizeof(pending), 0);
	if (sys_write(fd, line, len) == -EPIPE && (pending & pipe_signal) == 0)
		sys_call6(SYS_rt_sigtimedwait, (long)&pipe_signal, 0, (long)&no_wait, sizeof(pipe_signal), 0, 0);
	sys_call6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old, 0, sizeof(old), 0, 0);
}

static int open_default(int flags)
{
	int dir = rundir_open();
	int fd;

	if (dir < 0)
		return dir;
	fd = sys_openat(dir, "interspan.log", flags | O_NOFOLLOW, 0600);
	sys_close(dir);
	return fd;
}

static void write_file(const char *path, const char *line, size_t len)
{
	const int flags = O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK;
	bool given = path != NULL && *path != '\0';
	int fd = given ? sys_openat(AT_FDCWD, path, flags, 0600) : open_default(flags);
	uint64_t limit = sys_file_size_limit();
	struct stat st;

	if (fd < 0)
		return;
	if (!given && limit > FILE_MAX)
		limit = FILE_MAX;
	if (sys_fstat(fd, &st) == 0 && (!S_ISREG(st.st_mode) || (uint64_t)st.st_size + len <= limit))
		write_quietly(fd, line, len);
	sys_close(fd);
}

static void write_line(const char *line, size_t len)
{
	const char *path = atomic_load(&destination);

	if (path != NULL && config_is(path, "stderr"))
		write_quietly(STDERR, line, len);
	else
		write_file(path, line, len);
}

void log_line(enum log_level level, const char *format, ...)
{
	char buf[TEXT_MAX + 80];
	struct text line = {buf, sizeof(buf) - 1, 0};
	bool (*allowed)(void) = atomic_load_explicit(&may_write, memory_order_relaxed);
	va_list args;
	size_t start;

	if (level == LOG_NONE || (int)level > atomic_load_explicit(&threshold, memory_order_relaxed) ||
	    (allowed != NULL && !allowed()))
		return;
	add_time(&line);
	text_add_string(&line, " interspan[");
	text_add_unsigned(&line, (uint64_t)sys_getpid());
	text_add_string(&line, "] ");
	text_add_string(&line, level_names[level]);
	text_add(&line, " ", 1);
	start = line.len;
	line.cap = start + TEXT_MAX + 1;
	va_start(args, format);
	add_formatted(&line, format, args);
	va_end(args);
	flatten(buf + start);
	buf[line.len] = '\n';
	write_line(buf, line.len + 1);
}
