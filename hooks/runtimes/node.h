/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/context.h"

/*
 * Node.js. The adapter is a script (hooks/runtimes/node/adapter.js) that NODE_OPTIONS makes node load before the program's own modules. It knows
 * the task that runs (an AsyncLocalStorage) and tells it in two ways: in the bytes of the requests that it
 * sees being made, by a traceparent that the engine recognises as ours (rule 1); and, for other writes, in words that
 * it shares with this library and sets around the write (rule 2).
 */

/*
 * The words: one Int32Array per JavaScript thread. CURRENT is what the thread works on while it writes; RESULT is where functions leave
 * a context. The layout is known to hooks/runtimes/node/store.js.
 */
/* SPENT: a task whose one call has been answered for: what else is in the same write may be another's. */
enum node_word_kind { NODE_CANNOT_TELL = 0, NODE_NOBODY = 1, NODE_TASK = 2, NODE_SPENT = 3 };

struct node_words {
	int32_t kind;          /* enum node_word_kind */
	uint32_t slot, gen;    /* of the server exchange */
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint32_t flags;
};

#define NODE_WORDS 32

struct node_shared {
	struct node_words current;
	struct node_words result;
	uint32_t name_slot, name_gen; /* of the exchange that was just begun (relayed.h); 0: none was */
	uint32_t captures_responses;  /* fields of response heads are recorded */
};

_Static_assert(sizeof(struct node_words) == 40, "the script knows the layout");
_Static_assert(sizeof(struct node_shared) <= NODE_WORDS * sizeof(int32_t), "what is shared fits");

/* NULL on threads without a JavaScript environment that has loaded the adapter. */
extern __thread struct node_shared *node_shared __attribute__((tls_model("initial-exec"), visibility("hidden")));
/* A thread of this process has loaded it. */
extern bool node_is_adapted __attribute__((visibility("hidden")));

void node_words_set(struct node_words *w, const struct context *c);
void node_words_get(const struct node_words *w, struct context *ret);

/* node_options.c: before main(), have node load the adapter, where that can do no harm. */
void node_options_prepare(void);
/* The option by which the adapter is loaded; NULL: it is not. */
const char *node_option(void);
