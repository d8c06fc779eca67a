/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The queues through which Python's threads and greenlets hand each other work: queue.Queue and its kin, queue.SimpleQueue (which
 * executors and multiprocessing.pool.ThreadPool use), gevent's, and the one of gevent's thread pool. Classes are patched where they
 * are, when the program has imported their modules; nothing is imported.
 */

/* Patch what has come since the last time. GIL held, everything found. */
void python_queues_patch(void);
/* threading.Condition (python_condition.c). */
void python_conditions_patch(void);
void python_conditions_forked(void);
/* How greenlets sleep (python_sleep.c). */
void python_sleep_patch(void);
/* Those that are written in C (python_methods.c). */
void python_methods_patch(void);
