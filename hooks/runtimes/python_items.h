/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/label.h"

/*
 * Whose work the items are that lie in a Python program's queues, by queue and item: both objects' addresses. An entry begins
 * before its item is put and ends when it is fetched, or with its queue. One object may lie in a queue several times (a small number, a
 * constant): as long as all were put for the same request that is known, otherwise it is unknown.
 *
 * All of this is called with the GIL held, which is the lock. Nothing here touches the objects. A full table takes no more: what
 * is not in it is unknown.
 */
struct item {
	struct label label;
	bool returned; /* whoever put it had fetched it from there: a thing that goes round, not work */
};

void items_put(const void *queue, const void *item, const struct item *what);
/* It was fetched, or could not be put. False: it is not known. */
bool items_take(const void *queue, const void *item, struct item *ret);
/* This queue is no more. */
void items_end(const void *queue);
