/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/engine_fixture.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/blocks.h"
#include "shim/channel.h"
#include "shim/config.h"
#include "shim/conn.h"
#include "shim/coroutine.h"
#include "shim/exchange.h"
#include "shim/fdtable.h"
#include "shim/filter.h"
#include "shim/forwarder.h"
#include "shim/head_memos.h"
#include "shim/guard.h"
#include "shim/ids.h"
#include "shim/loop.h"
#include "shim/process.h"
#include "shim/propagation.h"
#include "shim/sampler.h"
#include "shim/span.h"
#include "shim/thread.h"
#include "shim/watch.h"

_Atomic bool guard_enabled;

/* ---- spans, where process.c would write them to the segment (the linker wraps the call) ---- */

#define SPANS_MAX 1024
#define SPAN_BYTES 4096

static struct {
	_Atomic unsigned n;
	_Alignas(8) uint8_t bytes[SPANS_MAX][SPAN_BYTES];
} *spans;

void __wrap_process_write(struct record *record);

void __wrap_process_write(struct record *record)
{
	unsigned i = atomic_fetch_add(&spans->n, 1);

	if (i < SPANS_MAX && record_valid(record, SPAN_BYTES))
		memcpy(spans->bytes[i], record, record->size);
	stats_count(STAT_WRITTEN);
}

unsigned spans_count(void)
{
	return atomic_load(&spans->n);
}

void spans_forget(void)
{
	atomic_store(&spans->n, 0);
}

const struct record *span_at(unsigned i)
{
	const struct record *r;

	assert_true(i < spans_count() && i < SPANS_MAX);
	r = (const void *)spans->bytes[i];
	assert_true(record_valid(r, SPAN_BYTES));
	return r;
}

const struct record *span_nth(enum span_kind kind, unsigned n)
{
	for (unsigned i = 0; i < spans_count(); i++)
		if (span_at(i)->kind == kind && n-- == 0)
			return span_at(i);
	fail_msg("no such span of kind %d among %u", kind, spans_count());
	return NULL;
}

static const uint8_t *item_of(const struct record *r, enum record_item_type type, int key, uint16_t *ret_len)
{
	struct record_item item;
	const uint8_t *payload;
	uint32_t cursor = 0;

	while (record_next(r, &cursor, &item, &payload)) {
		if (item.type != type || (key >= 0 && item.key != key))
			continue;
		*ret_len = item.len;
		return payload;
	}
	return NULL;
}

static const char *as_text(const uint8_t *payload, size_t len)
{
	static char text[8192];

	if (!payload)
		return NULL;
	assert_true(len < sizeof(text));
	memcpy(text, payload, len);
	text[len] = '\0';
	return text;
}

const char *span_text(const struct record *r, enum attr key)
{
	uint16_t len = 0;
	const uint8_t *payload = item_of(r, ITEM_STRING, (int)key, &len);

	return as_text(payload, len);
}

const char *span_title(const struct record *r)
{
	uint16_t len = 0;
	const uint8_t *payload = item_of(r, ITEM_NAME, -1, &len);

	return as_text(payload, len);
}

int64_t span_number(const struct record *r, enum attr key)
{
	uint16_t len;
	const uint8_t *payload = item_of(r, ITEM_INT, (int)key, &len);
	int64_t value = -1;

	if (payload)
		memcpy(&value, payload, sizeof(value));
	return value;
}

const char *span_captured(const struct record *r, const char *key)
{
	struct record_item item;
	const uint8_t *payload;
	uint32_t cursor = 0;

	while (record_next(r, &cursor, &item, &payload))
		if (item.type == ITEM_NAMED && payload[0] == strlen(key) && memcmp(payload + 1, key, payload[0]) == 0)
			return as_text(payload + 1 + payload[0], (size_t)item.len - 1 - payload[0]);
	return NULL;
}

unsigned span_links(const struct record *r, struct record_link *ret, unsigned max)
{
	struct record_item item;
	const uint8_t *payload;
	uint32_t cursor = 0;
	unsigned n = 0;

	while (record_next(r, &cursor, &item, &payload)) {
		if (item.type != ITEM_LINK)
			continue;
		if (n < max)
			memcpy(&ret[n], payload, sizeof(*ret));
		n++;
	}
	return n;
}

bool span_is_child_of(const struct record *child, const struct record *parent)
{
	return memcmp(child->trace_id, parent->trace_id, 16) == 0 && memcmp(child->parent_id, parent->span_id, 8) == 0;
}

/* ---- counts ---- */

uint64_t counted(enum stat_id stat)
{
	return atomic_load(&atomic_load(&stats_target)[stat]);
}

void assert_accounts(uint64_t live)
{
	assert_int_equal(counted(STAT_STARTED),
			 counted(STAT_WRITTEN) + counted(STAT_SAMPLED_OUT) + counted(STAT_DROPPED_NO_SLOT) +
				 live);
}

/* ---- start ---- */

static void no_warning(const char *name, const char *value, const char *problem)
{
	fail_msg("setting %s=%s: %s", name, value, problem);
}

void engine_up(const char *const settings[])
{
	char *envp[32] = {"OTEL_TRACES_EXPORTER=none", "INTERSPAN_EXPORTER_MODE=agent"};

	for (size_t i = 0; settings && settings[i] && i < 28; i++)
		envp[2 + i] = (char *)(uintptr_t)settings[i];
	spans = mmap(NULL, sizeof(*spans), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(spans, MAP_FAILED);
	assert_int_equal(config_read(&config, envp, no_warning), 0);
	assert_null(sampler_start());
	assert_null(propagation_start());
	filter_start(no_warning);
	forwarder_start();
	span_start();
	ids_start();
	assert_int_equal(fdtable_start() | blocks_start() | conn_start() | head_memos_start() | exchange_start() | loop_start() | watch_start() |
				 coroutine_start() | channel_start() | thread_start() | process_start((char *const[]){NULL}, envp),
			 0);
	atomic_store(&guard_enabled, true);
}

/* ---- running ---- */

static bool run_one(const char *group, const struct CMUnitTest *test)
{
	const struct CMUnitTest alone[] = {*test};
	int status = -1;
	pid_t pid;

	fflush(stdout);
	fflush(stderr);
	pid = fork();
	if (pid == 0)
		exit(cmocka_run_group_tests_name(group, alone, NULL, NULL) != 0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int engine_run_each(const char *group, const struct CMUnitTest *tests, size_t n)
{
	int failed = 0;

	for (size_t i = 0; i < n; i++)
		failed += !run_one(group, &tests[i]);
	return failed != 0;
}
