/* SPDX-License-Identifier: Apache-2.0 */
/* What a child gets in its environment: the context that is current, and nothing where none is. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/engine.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/engine_hooks.h"
#include "tests/unit/rules_fixture.h"

static int up(void **state)
{
	(void)state;
	engine_up(NULL);
	return 0;
}

static char *given[] = {"A=1", "TRACEPARENT=stale", "BAGGAGE=stale=1", "B=2", NULL};

static const char *value_of(char *const *envp, const char *name)
{
	size_t len = strlen(name);

	for (; *envp; envp++)
		if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
			return *envp + len + 1;
	return NULL;
}

static size_t entries(char *const *envp)
{
	size_t n = 0;

	while (envp[n])
		n++;
	return n;
}

static void nothing_changes_where_no_context_is_current(void **state)
{
	(void)state;
	assert_ptr_equal(engine_exec_environment("/p", given, NULL), given);
}

static void a_child_made_for_a_request_gets_its_context(void **state)
{
	struct link a = hook_accept();
	char *room[16], expected[64];
	struct exec_scratch scratch = {.envp = room, .envp_max = 16};
	char *const *envp;

	(void)state;
	serve_begin(&a, "GET / HTTP/1.1\r\nHost: h\r\nbaggage: k=v\r\ntracestate: x=y\r\n"
			"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n");
	assert_null(engine_exec_environment("/p", given, NULL)); /* room is needed */
	envp = engine_exec_environment("/p", given, &scratch);
	assert_ptr_equal(envp, room);
	assert_string_equal(value_of(envp, "A"), "1");
	assert_string_equal(value_of(envp, "B"), "2");
	assert_string_equal(value_of(envp, "TRACESTATE"), "x=y");
	assert_string_equal(value_of(envp, "BAGGAGE"), "k=v");
	assert_int_equal(entries(envp), 5);
	serve_end(&a);

	const struct record *r = span_nth(SPAN_SERVER, 0);

	snprintf(expected, sizeof(expected), "00-4bf92f3577b34da6a3ce929d0e0e4736-%02x%02x", r->span_id[0], r->span_id[1]);
	assert_memory_equal(value_of(envp, "TRACEPARENT"), expected, strlen(expected));
	/* The program's own array is as it was. */
	assert_string_equal(given[1], "TRACEPARENT=stale");
	link_close(&a);
}

static void what_does_not_fit_is_left_alone(void **state)
{
	struct link a = hook_accept();
	char *room[8];
	struct exec_scratch scratch = {.envp = room, .envp_max = 8};

	(void)state;
	serve_begin(&a, REQUEST);
	assert_ptr_equal(engine_exec_environment("/p", given, &scratch), given);
	serve_end(&a);
	link_close(&a);
}

static void an_empty_environment_is_one(void **state)
{
	char *none[] = {NULL};

	(void)state;
	assert_ptr_equal(engine_exec_environment("/p", none, NULL), none);
}

/* ---- forked children ---- */

static bool gets_a_context(void)
{
	return engine_exec_environment("/p", given, NULL) == NULL;
}

static bool after_closing_all(struct link *l)
{
	hook_close(l->ours);
	return gets_a_context();
}

static bool not_after_a_wait(struct link *l)
{
	hook_close(l->ours);
	hook_waited(hook_epoll(), -1, 1);
	return !gets_a_context();
}

static bool not_after_another_request(struct link *l)
{
	struct link other = hook_accept();

	hook_close(l->ours);
	serve_begin(&other, REQUEST);
	serve_end(&other);
	return !gets_a_context();
}

static void in_child_of_a_request(bool (*holds)(struct link *l))
{
	struct link a = hook_accept();
	int status;
	pid_t pid;

	serve_begin(&a, REQUEST);
	pid = fork();
	if (pid == 0)
		_exit(holds(&a) ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	serve_end(&a);
	link_close(&a);
}

static void what_a_child_was_forked_for_outlasts_its_descriptors(void **state)
{
	(void)state;
	in_child_of_a_request(after_closing_all);
	in_child_of_a_request(not_after_a_wait);
	in_child_of_a_request(not_after_another_request);
}

/* ---- CGI programs ---- */

#define NAMED "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"
#define CGI "GATEWAY_INTERFACE=CGI/1.1"

static int up_cgi(void **state)
{
	(void)state;
	engine_up((const char *const[]){CGI, "HTTP_TRACEPARENT=00-" NAMED "-01", NULL});
	return 0;
}

static int up_cgi_with_both(void **state)
{
	(void)state;
	engine_up((const char *const[]){CGI, "HTTP_TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
					"TRACEPARENT=00-" NAMED "-01", NULL});
	return 0;
}

static int up_cgi_for_strangers(void **state)
{
	(void)state;
	engine_up((const char *const[]){CGI, "HTTP_TRACEPARENT=00-" NAMED "-01", "INTERSPAN_TRUST_FROM=10.0.0.0/8", NULL});
	return 0;
}

static int up_no_cgi(void **state)
{
	(void)state;
	engine_up((const char *const[]){"HTTP_TRACEPARENT=00-" NAMED "-01", NULL});
	return 0;
}

static const struct record *only_call(void)
{
	struct link out = idle_connection();
	const struct record *r = call(&out, REQUEST);

	link_close(&out);
	return r;
}

static void a_cgi_program_works_for_the_request_that_its_head_names(void **state)
{
	static const uint8_t parent[] = {0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7};
	const struct record *r = only_call();

	(void)state;
	assert_int_equal(r->evidence, EVIDENCE_REMOTE);
	assert_memory_equal(r->parent_id, parent, sizeof(parent));
}

static void a_cgi_programs_call_is_no_root(void **state)
{
	(void)state;
	assert_no_parent(only_call(), EVIDENCE_AMBIGUOUS, 0);
}

static void what_is_no_cgi_program_has_no_head(void **state)
{
	(void)state;
	assert_no_parent(only_call(), EVIDENCE_ROOT, 0);
}

#define TEST(test, up) cmocka_unit_test_setup_teardown(test, up, rules_balanced)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_changes_where_no_context_is_current, up),
		TEST(a_child_made_for_a_request_gets_its_context, up),
		TEST(what_does_not_fit_is_left_alone, up),
		TEST(an_empty_environment_is_one, up),
		TEST(what_a_child_was_forked_for_outlasts_its_descriptors, up),
		TEST(a_cgi_program_works_for_the_request_that_its_head_names, up_cgi),
		TEST(a_cgi_program_works_for_the_request_that_its_head_names, up_cgi_with_both),
		TEST(a_cgi_programs_call_is_no_root, up_cgi_for_strangers),
		TEST(what_is_no_cgi_program_has_no_head, up_no_cgi),
	};

	return ENGINE_RUN_EACH(tests);
}
