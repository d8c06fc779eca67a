/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads: a new one starts with what its creator knew, and one that waits on a condition may wake up for other work.
 */
#include "hooks/hook.h"

static void *run_pthread(void *package)
{
	void *start, *arg;

	engine_thread_started(package, &start, &arg);
	return ((void *(*)(void *))start)(arg);
}

static int run_thrd(void *package)
{
	void *start, *arg;

	engine_thread_started(package, &start, &arg);
	return ((int (*)(void *))start)(arg);
}

EXPORT int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attr, void *(*start)(void *),
			  void *restrict arg)
{
	tell_modules();

	struct thread_package *package = engine_thread_starting((void *)start, arg, attr);

	if (!package)
		return REAL(pthread_create)(thread, attr, start, arg);

	int error = REAL(pthread_create)(thread, attr, run_pthread, package);

	if (error)
		engine_thread_unstarted(package);
	return error;
}

EXPORT int thrd_create(thrd_t *thread, thrd_start_t start, void *arg)
{
	tell_modules();

	struct thread_package *package = engine_thread_starting((void *)start, arg, NULL);

	if (!package)
		return REAL(thrd_create)(thread, start, arg);

	int error = REAL(thrd_create)(thread, run_thrd, package);

	if (error != thrd_success)
		engine_thread_unstarted(package);
	return error;
}

EXPORT int pthread_cond_wait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex)
{
	engine_condition_waiting(condition, mutex);

	int error = REAL(pthread_cond_wait)(condition, mutex);

	engine_condition_waited(mutex, false);
	return error;
}

EXPORT int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
				  const struct timespec *restrict deadline)
{
	engine_condition_waiting(condition, mutex);

	int error = REAL(pthread_cond_timedwait)(condition, mutex, deadline);

	engine_condition_waited(mutex, error != 0);
	return error;
}

EXPORT int pthread_cond_clockwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, clockid_t clock,
				  const struct timespec *restrict deadline)
{
	engine_condition_waiting(condition, mutex);

	int error = REAL(pthread_cond_clockwait)(condition, mutex, clock, deadline);

	engine_condition_waited(mutex, error != 0);
	return error;
}
