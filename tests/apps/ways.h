/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/apps/serve.h"

/* Ways to spread requests over threads that more than one of the servers takes. They serve until the process is ended. */

/* A thread for each connection; its argument is the descriptor, as an intptr_t. */
_Noreturn void serve_by_thread(void *(*serve)(void *fd));
/*
 * This thread waits for readable connections, each watched for one event at a time, and passes them on; --workers threads run
 * work(). Whoever has served what there was to read calls watch_again(), or end_client() at the connection's end.
 */
_Noreturn void serve_by_workers(void (*readable)(struct stream *client), void *(*work)(void *unused));
void watch_again(struct stream *client);
void end_client(struct stream *client);
