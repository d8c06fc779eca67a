/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What queues of jobs between threads are made of, beside conditions (thread.c): the unlocking of a mutex that a
 * thread has waited with, and semaphores.
 */
#include <errno.h>

#include "hooks/hook.h"

/* On this thread the next unlock is of interest, whatever mutex it is: it has just taken a semaphore. */
static __thread bool semaphore_taken __attribute__((tls_model("initial-exec")));

WATCHED int watched_unlock(pthread_mutex_t *mutex)
{
	semaphore_taken = false;
	engine_unlocking(mutex);
	return REAL(pthread_mutex_unlock)(mutex);
}

EXPORT int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	uint8_t queues = atomic_load_explicit(&engine_queue_filter[engine_queue_hash(mutex)], memory_order_relaxed);

	if (__builtin_expect(!queues && !semaphore_taken && real.pthread_mutex_unlock, 1))
		return real.pthread_mutex_unlock(mutex);
	return watched_unlock(mutex);
}

static int taken(const sem_t *semaphore, int result)
{
	if (result == 0) {
		semaphore_taken = true;
		engine_semaphore_taken(semaphore);
	} else if (errno == ETIMEDOUT) {
		engine_sleeping(); /* for as long as it liked, and nobody has woken it */
	}
	return result;
}

EXPORT int sem_wait(sem_t *semaphore)
{
	engine_semaphore_waiting();
	return taken(semaphore, REAL(sem_wait)(semaphore));
}

EXPORT int sem_trywait(sem_t *semaphore)
{
	engine_semaphore_waiting();
	return taken(semaphore, REAL(sem_trywait)(semaphore));
}

EXPORT int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict deadline)
{
	engine_semaphore_waiting();
	return taken(semaphore, REAL(sem_timedwait)(semaphore, deadline));
}

EXPORT int sem_clockwait(sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict deadline)
{
	engine_semaphore_waiting();
	return taken(semaphore, REAL(sem_clockwait)(semaphore, clock, deadline));
}
