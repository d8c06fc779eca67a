/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

struct label;

/*
 * Threads, greenlets and the queues between them: what the files that see an event tell. All hold the GIL. Those about queues enter
 * the guard and keep errno.
 */

/* item is about to be put into queue; if that fails, the second. */
void python_item_putting(const void *queue, const void *item);
void python_item_not_put(const void *queue, const void *item);
/* queue gave item; NULL: it had none (an exception is set). looks_only: the caller would not have waited for one. */
void python_item_fetched(const void *queue, const void *item, bool looks_only);
/* The queue is being freed. */
void python_queue_ended(const void *queue);

/* The calling flow has made another one: whose is that? Entered into the guard. */
void python_flow_made(struct label *ret);
