/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the adapter's script can call. Only interspan_node_register() is visible to others; the addon (node/addon.c) leads
 * node there. JavaScript exceptions are never raised: what cannot be done answers undefined.
 */
#include <string.h>

#include "hooks/runtimes/node.h"
#include "hooks/runtimes/node/napi.h"
#include "shim/blocks.h"
#include "shim/config.h"
#include "shim/conn.h"
#include "shim/engine.h"
#include "shim/filter.h"
#include "shim/propagation.h"
#include "shim/protocols/tracecontext.h"
#include "shim/relayed.h"
#include "shim/runtime.h"
#include "shim/server.h"
#include "shim/thread.h"

#define ARGS_MAX 5
#define TEXT_INLINE 2048

/* ---- arguments ---- */

struct call {
	napi_env env;
	napi_value argv[ARGS_MAX];
};

static bool take_arguments(struct call *call, napi_env env, napi_callback_info info)
{
	size_t argc = ARGS_MAX;

	call->env = env;
	return node_shared && napi_get_cb_info(env, info, &argc, call->argv, NULL, NULL) == 0;
}

static int32_t integer(const struct call *call, unsigned i)
{
	int32_t value = -1;

	(void)napi_get_value_int32(call->env, call->argv[i], &value);
	return value;
}

static bool boolean(const struct call *call, unsigned i)
{
	bool value = false;

	(void)napi_get_value_bool(call->env, call->argv[i], &value);
	return value;
}

/* A text argument, in room of our own or, where it is longer, in a block. */
struct string {
	char *block;
	char room[TEXT_INLINE];
};

static struct slice text(const struct call *call, unsigned i, struct string *s)
{
	size_t len = 0;
	uint32_t cap;

	s->block = NULL;
	if (napi_get_value_string_latin1(call->env, call->argv[i], s->room, sizeof(s->room), &len) != 0)
		return SLICE_NONE;
	if (len < sizeof(s->room) - 1)
		return slice(s->room, len);
	(void)napi_get_value_string_latin1(call->env, call->argv[i], NULL, 0, &len);
	s->block = (char *)block_take(len + 1, &cap);
	if (!s->block)
		return SLICE_NONE;
	(void)napi_get_value_string_latin1(call->env, call->argv[i], s->block, cap, &len);
	return slice(s->block, len);
}

static void drop(struct string *s)
{
	block_give((uint8_t *)s->block);
}

static napi_value string_of(const struct call *call, const void *bytes, size_t len)
{
	napi_value ret;

	return napi_create_string_latin1(call->env, bytes, len, &ret) == 0 ? ret : NULL;
}

/* ---- requests that the engine has parsed itself ---- */

/*
 * Node hands requests over in the order in which they came. The oldest one that it has not handed over yet is this one, or some
 * were refused before the program saw them: then nothing is known of this connection any more.
 */
static bool hand_over(struct conn *c, uint32_t hash, bool expectation, struct context *ret)
{
	struct exchange *e = conn_oldest(c);

	while (e && e->handed_over)
		e = e->next;
	if (!e || e->request_hash != hash || (e->expects && !expectation))
		c->out_of_step = true;
	if (c->out_of_step)
		return false;
	e->handed_over = true;
	*ret = e->context;
	return true;
}

static void take_request(int fd, struct slice method, struct slice target, bool expectation)
{
	fd_word word;
	struct conn *c = conn_enter(fd, &word);
	struct context context;

	if (!c)
		return;
	if (c->role == CONN_SERVER && hand_over(c, server_request_hash(method, target), expectation, &context))
		node_words_set(&node_shared->result, &context);
	conn_leave(c);
}

/* take(fd, method, target, isExpectation): the context of the request just handed over is left in RESULT. */
static napi_value take(napi_env env, napi_callback_info info)
{
	struct call call;
	struct string method, target;

	if (!take_arguments(&call, env, info))
		return NULL;
	node_shared->result.kind = NODE_CANNOT_TELL;

	struct slice m = text(&call, 1, &method), t = text(&call, 2, &target);

	OBSERVE(take_request(integer(&call, 0), m, t, boolean(&call, 3)));
	drop(&method);
	drop(&target);
	return NULL;
}

/* adopt(fd): a connection that another process accepted for us. */
static napi_value adopt(napi_env env, napi_callback_info info)
{
	struct call call;
	int fd;

	if (!take_arguments(&call, env, info))
		return NULL;
	fd = integer(&call, 0);
	if (fd >= 0 && fdtable_kind(fd) == FD_UNKNOWN)
		engine_accepted(-1, fd, NULL, 0);
	return NULL;
}

/* mint(): the traceparent that names the context in RESULT. */
static napi_value mint(napi_env env, napi_callback_info info)
{
	static const char digits[] = "0123456789abcdef";
	struct call call;
	struct context c;
	uint8_t value[TRACEPARENT_LEN];

	if (!take_arguments(&call, env, info))
		return NULL;
	node_words_get(&node_shared->result, &c);
	traceparent_format(value, c.trace_id, c.span_id, c.flags);
	value[TRACEPARENT_LEN - 2] = (uint8_t)digits[TRACE_FLAG_MINTED >> 4];
	return string_of(&call, value, sizeof(value));
}

/* ---- exchanges that only the adapter sees ---- */

static void leave_name(struct handle name)
{
	node_shared->name_slot = name.slot;
	node_shared->name_gen = name.gen;
}

static struct relayed_through through(const struct call *call)
{
	return (struct relayed_through){.fd = integer(call, 0), .tls = boolean(call, 1), .http_major = (uint8_t)integer(call, 2)};
}

static void begin_server(const struct call *call, struct slice head)
{
	struct relayed_through t = through(call);
	struct context context;
	struct handle name = relayed_server(&t, head, &context);

	if (handle_is_none(name))
		return;
	leave_name(name);
	node_words_set(&node_shared->result, &context);
}

/* server(fd, isTls, major, head): a request arrived. RESULT: its context, and its name. */
static napi_value server(napi_env env, napi_callback_info info)
{
	struct call call;
	struct string head;

	if (!take_arguments(&call, env, info))
		return NULL;
	leave_name(HANDLE_NONE);
	node_shared->result.kind = NODE_CANNOT_TELL;

	struct slice h = text(&call, 3, &head);

	OBSERVE(begin_server(&call, h));
	drop(&head);
	return NULL;
}

static size_t begin_client(const struct call *call, struct slice head, uint8_t *out, size_t cap)
{
	struct relayed_through t = through(call);
	size_t len;

	leave_name(relayed_client(&t, head, out, cap, &len));
	return len;
}

/* client(fd, isTls, major, head): a request is made, by what CURRENT says. RESULT: its name. Returns the head to send instead, if any. */
static napi_value client(napi_env env, napi_callback_info info)
{
	struct call call;
	struct string head;
	napi_value ret = NULL;
	uint32_t cap;
	size_t len = 0;

	if (!take_arguments(&call, env, info))
		return NULL;
	leave_name(HANDLE_NONE);

	struct slice h = text(&call, 3, &head);
	uint8_t *out = block_take(BLOCK_LARGE, &cap);

	if (out)
		OBSERVE(len = begin_client(&call, h, out, cap));
	if (len > 0)
		ret = string_of(&call, out, len);
	block_give(out);
	drop(&head);
	return ret;
}

static struct handle name_in(const struct call *call)
{
	return (struct handle){(uint32_t)integer(call, 0), (uint32_t)integer(call, 1)};
}

/* response(slot, gen, fd, head) */
static napi_value response(napi_env env, napi_callback_info info)
{
	struct call call;
	struct string head;

	if (!take_arguments(&call, env, info))
		return NULL;

	struct slice h = text(&call, 3, &head);

	OBSERVE(relayed_response(name_in(&call), integer(&call, 2), h));
	drop(&head);
	return NULL;
}

/* end(slot, gen, fd, error) */
static napi_value end(napi_env env, napi_callback_info info)
{
	struct call call;
	char error[64];
	size_t len;

	if (!take_arguments(&call, env, info))
		return NULL;

	bool failed = napi_get_value_string_latin1(env, call.argv[3], error, sizeof(error), &len) == 0;

	OBSERVE(relayed_end(name_in(&call), integer(&call, 2), failed ? error : NULL));
	return NULL;
}

/* ---- registration ---- */

static bool add_function(napi_env env, napi_value exports, const char *name, napi_callback call)
{
	napi_value function;

	return napi_create_function(env, name, NAPI_AUTO_LENGTH, call, NULL, &function) == 0 &&
	       napi_set_named_property(env, exports, name, function) == 0;
}

static bool add_functions(napi_env env, napi_value exports)
{
	static const struct {
		const char *name;
		napi_callback call;
	} functions[] = {
		{"take", take},	    {"adopt", adopt},	  {"mint", mint}, {"server", server},
		{"client", client}, {"response", response}, {"end", end},
	};

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (!add_function(env, exports, functions[i].name, functions[i].call))
			return false;
	return true;
}

/* What NODE_OPTIONS begins with: not what the program is to see. */
static void add_option(napi_env env, napi_value exports)
{
	napi_value value = NULL;

	if (node_option() && napi_create_string_utf8(env, node_option(), NAPI_AUTO_LENGTH, &value) == 0)
		(void)napi_set_named_property(env, exports, "option", value);
}

/* The memory of the words goes with the environment. */
static void forget_words(void *unused)
{
	(void)unused;
	node_shared = NULL;
}

__attribute__((visibility("default"))) napi_value interspan_node_register(napi_env env, napi_value exports);

napi_value interspan_node_register(napi_env env, napi_value exports)
{
	napi_value buffer, words;
	void *memory = NULL;

	if (!guard_is_on() || node_shared || !add_functions(env, exports))
		return exports;
	if (napi_create_arraybuffer(env, NODE_WORDS * sizeof(int32_t), &memory, &buffer) != 0 ||
	    napi_create_typedarray(env, NAPI_INT32_ARRAY, NODE_WORDS, buffer, 0, &words) != 0 ||
	    napi_add_env_cleanup_hook(env, forget_words, NULL) != 0)
		return exports;
	memset(memory, 0, NODE_WORDS * sizeof(int32_t));
	add_option(env, exports);
	if (napi_set_named_property(env, exports, "words", words) != 0)
		return exports;
	runtime_found();
	node_shared = memory;
	node_shared->captures_responses = filter_captures_any(false);
	node_is_adapted = true;
	thread_self()->adapted = true;
	atomic_store(&server_hashes_requests, true);
	return exports;
}
