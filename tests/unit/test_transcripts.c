/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every transcript in tests/protocols: the events that it says, whatever pieces its bytes come in.
 *
 * A line is: "# text" a comment; "== name" the next transcript; "request" or "response" the direction; "> bytes" input,
	with
 * \r \n \t \0 \\ \xHH; ">*N bytes" the same N times; "answers LETTERS" what the responses answer (h HEAD, c CONNECT, g
 * another method); "close" the peer closes at the end; "= event" what is to be reported (http1_runner.h).
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shim/protocols/http1_memo.h"
#include "tests/unit/http1_runner.h"

#define TRANSCRIPTS_MAX 256
#define EVERY_SPLIT_MAX 3000 /* longer ones are cut at fewer places */
#define RANDOM_RUNS 20

struct transcript {
	char name[80];
	enum http1_kind kind;
	char answers[16];
	bool closes;
	uint8_t *bytes;
	size_t len;
	char expected[4096];
};

static struct transcript transcripts[TRANSCRIPTS_MAX];
static size_t n_transcripts;

/* ---- reading ---- */

static size_t unescape(const char *text, uint8_t *out)
{
	uint8_t *start = out;

	for (; *text; text++) {
		char hex[3] = {0};

		if (*text != '\\') {
			*out++ = (uint8_t)*text;
			continue;
		}
		switch (*++text) {
		case 'r':
			*out++ = '\r';
			break;
		case 'n':
			*out++ = '\n';
			break;
		case 't':
			*out++ = '\t';
			break;
		case '0':
			*out++ = '\0';
			break;
		case '\\':
			*out++ = '\\';
			break;
		case 'x':
			hex[0] = text[1];
			hex[1] = text[2];
			*out++ = (uint8_t)strtoul(hex, NULL, 16);
			text += 2;
			break;
		default:
			fail_msg("unknown escape \\%c", *text);
		}
	}
	return (size_t)(out - start);
}

static void add_input(struct transcript *t, char *text)
{
	unsigned long times = 1;
	uint8_t bytes[4096];
	size_t len;

	if (*text == '*')
		times = strtoul(text + 1, &text, 10);
	len = unescape(*text == ' ' ? text + 1 : text, bytes);
	t->bytes = realloc(t->bytes, t->len + times * len + 1);
	for (; times; times--, t->len += len)
		memcpy(t->bytes + t->len, bytes, len);
}

static void read_line(char *line)
{
	struct transcript *t = n_transcripts ? &transcripts[n_transcripts - 1] : NULL;

	if (strncmp(line, "== ", 3) == 0) {
		assert_true(n_transcripts < TRANSCRIPTS_MAX);
		t = &transcripts[n_transcripts++];
		snprintf(t->name, sizeof(t->name), "%.79s", line + 3);
	} else if (strcmp(line, "request") == 0 || strcmp(line, "response") == 0) {
		t->kind = line[2] == 'q' ? HTTP1_REQUEST : HTTP1_RESPONSE;
	} else if (line[0] == '>') {
		add_input(t, line + 1);
	} else if (strncmp(line, "answers ", 8) == 0) {
		snprintf(t->answers, sizeof(t->answers), "%.15s", line + 8);
	} else if (strcmp(line, "close") == 0) {
		t->closes = true;
	} else if (strncmp(line, "= ", 2) == 0) {
		strcat(strcat(t->expected, line + 2), "\n");
	} else if (line[0] != '#' && line[0] != '\0') {
		fail_msg("not understood: %s", line);
	}
}

static void read_file(const char *directory, const char *name)
{
	char path[512], line[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		read_line(line);
	}
	fclose(f);
}

static void read_all(const char *directory)
{
	DIR *d = opendir(directory);
	struct dirent *entry;

	assert_non_null(d);
	while ((entry = readdir(d)))
		if (strstr(entry->d_name, ".txt"))
			read_file(directory, entry->d_name);
	closedir(d);
}

/* ---- running ---- */

static struct runner run;

static void start(const struct transcript *t)
{
	runner_start(&run, t->kind, t->answers);
}

static void end(const struct transcript *t, const char *how, size_t at)
{
	if (t->closes)
		runner_close(&run);
	runner_finish(&run);
	if (strcmp(run.text, t->expected) != 0)
		fail_msg("%s (%s %zu)\nreported:\n%sexpected:\n%s", t->name, how, at, run.text, t->expected);
}

static void check_splits(const struct transcript *t)
{
	size_t stride = t->len <= EVERY_SPLIT_MAX ? 1 : t->len / 101;

	for (size_t at = 0; at <= t->len; at += stride) {
		start(t);
		runner_feed(&run, slice(t->bytes, at));
		runner_feed(&run, slice(t->bytes + at, t->len - at));
		end(t, "split at", at);
	}
}

static void check_bytes(const struct transcript *t)
{
	start(t);
	for (size_t at = 0; at < t->len; at++)
		runner_feed(&run, slice(t->bytes + at, 1));
	end(t, "bytes", t->len);
}

static void check_random(const struct transcript *t, unsigned seed)
{
	unsigned short state[3] = {(unsigned short)seed, (unsigned short)t->len, 7};

	start(t);
	for (size_t at = 0, n; at < t->len; at += n) {
		long most = nrand48(state) % 4 ? 9 : (long)t->len;

		n = (size_t)(nrand48(state) % most) + 1;
		n = n > t->len - at ? t->len - at : n;
		runner_feed(&run, slice(t->bytes + at, n));
	}
	end(t, "random", seed);
}

/* A prefix of the input ends, and reports nothing that the whole would not. */
static void check_prefixes(const struct transcript *t)
{
	size_t stride = t->len <= EVERY_SPLIT_MAX ? 1 : t->len / 101;

	for (size_t len = 0; len <= t->len; len += stride) {
		start(t);
		runner_feed(&run, slice(t->bytes, len));
		run.body = 0;
		runner_finish(&run);
		if (strncmp(run.text, t->expected, run.len) != 0)
			fail_msg("%s: prefix of %zu reported\n%s", t->name, len, run.text);
	}
}

/* The transcript with a byte changed, left out, or put in twice: the same events with a memo of the transcript as without. */
static void check_known_but_for_one(const struct transcript *t, const struct http1_memo *known, size_t at)
{
	static const uint8_t replacements[] = {'\n', ':', ' ', 'x', 0x80};
	static uint8_t bytes[EVERY_SPLIT_MAX + 1];
	static char expected[sizeof(run.text)];

	for (unsigned way = 0; way < sizeof(replacements) + 2; way++) {
		size_t from = at + (way != 1), to = at + (way != 0), len = to + t->len - from; /* 0: left out, 1: twice */
		struct http1_memo memo = *known;

		memcpy(bytes, t->bytes, at);
		bytes[at] = way >= 2 ? replacements[way - 2] : t->bytes[at];
		memcpy(bytes + to, t->bytes + from, t->len - from);
		start(t);
		runner_feed(&run, slice(bytes, len));
		runner_finish(&run);
		memcpy(expected, run.text, run.len + 1);
		start(t);
		run.stream.memo = &memo;
		runner_feed(&run, slice(bytes, len));
		runner_finish(&run);
		if (strcmp(run.text, expected) != 0)
			fail_msg("%s (way %u at %zu)\nreported:\n%sexpected:\n%s", t->name, way, at, run.text, expected);
	}
}

static void check_known(const struct transcript *t)
{
	static struct http1_memo of_all[2];
	struct http1_memo memo = {.n_runs = 0};

	for (unsigned i = 0; i < 8; i++) {
		start(t);
		run.stream.memo = i < 4 ? &of_all[t->kind] : &memo;
		runner_feed(&run, slice(t->bytes, t->len));
		end(t, "known", i);
	}
	for (size_t at = 0; at < t->len && t->len <= EVERY_SPLIT_MAX; at++)
		check_known_but_for_one(t, &memo, at);
}

static void test_transcript(void **state)
{
	const struct transcript *t = *state;

	start(t);
	runner_feed(&run, slice(t->bytes, t->len));
	end(t, "whole", t->len);
	check_bytes(t);
	check_splits(t);
	for (unsigned seed = 1; seed <= RANDOM_RUNS; seed++)
		check_random(t, seed);
	check_prefixes(t);
	check_known(t);
}

/* One file for each transcript, for the fuzzer: a byte that says the direction and what is answered, then the input. */
static void write_corpus(const char *directory)
{
	for (size_t i = 0; i < n_transcripts; i++) {
		const struct transcript *t = &transcripts[i];
		char path[512];
		FILE *f;

		snprintf(path, sizeof(path), "%s/%03zu", directory, i);
		f = fopen(path, "w");
		assert_non_null(f);
		fputc((t->kind == HTTP1_RESPONSE) | (t->answers[0] == 'h') << 1 | (t->answers[0] == 'c') << 2, f);
		if (t->len)
			fwrite(t->bytes, 1, t->len, f);
		fclose(f);
	}
}

int main(int argc, char **argv)
{
	static struct CMUnitTest tests[TRANSCRIPTS_MAX];
	int status = 0;

	read_all("tests/protocols");
	for (size_t i = 0; i < n_transcripts; i++)
		tests[i] = (struct CMUnitTest){transcripts[i].name, test_transcript, NULL, NULL, &transcripts[i]};
	if (argc > 1)
		write_corpus(argv[1]);
	else
		status = _cmocka_run_group_tests("transcripts", tests, n_transcripts, NULL, NULL);
	for (size_t i = 0; i < n_transcripts; i++)
		free(transcripts[i].bytes);
	return status;
}
