/* SPDX-License-Identifier: Apache-2.0 */
/* A traceparent that an adapter of ours put into a head: it says whose the request is, and never leaves as it is. */
#include <stdio.h>
#include <string.h>

#include "shim/exchange.h"
#include "shim/protocols/tracecontext.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/engine_hooks.h"
#include "tests/unit/rules_fixture.h"

#define NAME "traceparent: "

static int up(void **state)
{
	(void)state;
	engine_up(NULL);
	return 0;
}

static int up_b3(void **state)
{
	(void)state;
	engine_up((const char *const[]){"OTEL_PROPAGATORS=tracecontext,b3", NULL});
	return 0;
}

static int up_only_b3(void **state)
{
	(void)state;
	engine_up((const char *const[]){"OTEL_PROPAGATORS=b3", NULL});
	return 0;
}

static int up_limited(void **state)
{
	(void)state;
	engine_up((const char *const[]){"INTERSPAN_PROPAGATE_TO=*.inner", NULL});
	return 0;
}

/* The adapter's head for the request that arrives on l, the first of this process. */
static void minted_for(const struct link *l, char head[512])
{
	const struct context *c = &exchange_at(1)->context;
	char value[TRACEPARENT_LEN + 1] = "";

	serve_begin(l, REQUEST);
	traceparent_format((uint8_t *)value, c->trace_id, c->span_id, c->flags);
	value[TRACEPARENT_LEN - 2] = '8';
	(void)snprintf(head, 512, "GET /b HTTP/1.1\r\n" NAME "%s\r\nHost: h.example\r\nX: y\r\n\r\n", value);
}

/* What goes out of that head, with the context inside. */
static void sent_for(const struct link *in, const struct link *out, char *buf, size_t cap)
{
	char head[512];

	minted_for(in, head);
	call_begin(out, head, buf, cap);
	call_end(out);
}

static void it_names_the_parent(void **state)
{
	struct link in = hook_accept(), out = hook_connect();
	const struct record *r;
	char sent[1024], expected[TRACEPARENT_LEN + 1] = "";

	(void)state;
	sent_for(&in, &out, sent, sizeof(sent));
	r = span_nth(SPAN_CLIENT, 0);
	assert_int_equal(r->evidence, EVIDENCE_STAMP);
	traceparent_format((uint8_t *)expected, r->trace_id, r->span_id, 3);
	assert_memory_equal(strstr(sent, NAME) + sizeof(NAME) - 1, expected, TRACEPARENT_LEN - 2);
	assert_null(strstr(strstr(sent, NAME) + 1, NAME));
	serve_end(&in);
	assert_true(span_is_child_of(span_nth(SPAN_CLIENT, 0), span_nth(SPAN_SERVER, 0)));
	link_close(&in);
	link_close(&out);
}

static void it_is_taken_out(const char *expected)
{
	struct link in = hook_accept(), out = hook_connect();
	char sent[1024];

	sent_for(&in, &out, sent, sizeof(sent));
	assert_null(strstr(sent, "traceparent"));
	assert_memory_equal(sent, expected, strlen(expected));
	serve_end(&in);
	assert_true(span_is_child_of(span_nth(SPAN_CLIENT, 0), span_nth(SPAN_SERVER, 0)));
	link_close(&in);
	link_close(&out);
}

static void where_nothing_may_go_it_is_taken_out(void **state)
{
	(void)state;
	it_is_taken_out("GET /b HTTP/1.1\r\nHost: h.example\r\nX: y\r\n\r\n");
}

static void where_another_format_goes_it_is_taken_out(void **state)
{
	(void)state;
	it_is_taken_out("GET /b HTTP/1.1\r\nHost: h.example\r\nX: y\r\nb3: ");
}

/* The same flag in a head of the program's own is the program's business. */
static void a_foreign_one_is_not_ours(void **state)
{
	struct link out = hook_connect();
	char sent[1024];

	(void)state;
	call_begin(&out, "GET / HTTP/1.1\r\nHost: h\r\n" NAME "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-81\r\n\r\n",
		   sent, sizeof(sent));
	call_end(&out);
	assert_non_null(strstr(sent, NAME "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-81\r\n"));
	link_close(&out);
}

static void what_it_names_may_be_over(void **state)
{
	struct link in = hook_accept(), out = hook_connect();
	struct record_link link;
	char head[512];

	(void)state;
	minted_for(&in, head);
	serve_end(&in);
	assert_no_parent(call(&out, head), EVIDENCE_ROOT, 1);
	assert_int_equal(span_links(span_at(1), &link, 1), 1);
	assert_memory_equal(link.span_id, span_at(0)->span_id, 8);
	/* What else comes from there joins the trace that this began. */
	assert_true(span_is_child_of(call(&out, head), span_at(1)));
	assert_int_equal(span_links(span_at(2), &link, 1), 0);
	link_close(&in);
	link_close(&out);
}

#define TEST(test, up) cmocka_unit_test_setup_teardown(test, up, rules_balanced)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_names_the_parent, up),
		TEST(it_names_the_parent, up_b3),
		TEST(where_nothing_may_go_it_is_taken_out, up_limited),
		TEST(where_another_format_goes_it_is_taken_out, up_only_b3),
		TEST(a_foreign_one_is_not_ours, up_limited),
		TEST(what_it_names_may_be_over, up),
	};

	return ENGINE_RUN_EACH(tests);
}
