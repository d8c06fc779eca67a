/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pthread_cond_* of the old ABI (GLIBC_2.2.5: a pointer to the real thing) and of the new one, in one program. An
 * interposer that catches both hands an old condition to the new function, which hangs or destroys it.
 */
#include "app.h"

int old_init(void *condition, void *attr);
int old_wait(void *condition, pthread_mutex_t *mutex);
int old_timedwait(void *condition, pthread_mutex_t *mutex, const struct timespec *deadline);
int old_broadcast(void *condition);
int old_destroy(void *condition);

__asm__(".symver old_init, pthread_cond_init@GLIBC_2.2.5");
__asm__(".symver old_wait, pthread_cond_wait@GLIBC_2.2.5");
__asm__(".symver old_timedwait, pthread_cond_timedwait@GLIBC_2.2.5");
__asm__(".symver old_broadcast, pthread_cond_broadcast@GLIBC_2.2.5");
__asm__(".symver old_destroy, pthread_cond_destroy@GLIBC_2.2.5");

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t new_one = PTHREAD_COND_INITIALIZER;
static struct {
	void *pointer;
	char guard[64]; /* the new function would write here */
} old_one;
static bool ready;

static void *set_ready(void *arg)
{
	pthread_mutex_lock(&mutex);
	ready = true;
	if (arg)
		old_broadcast(&old_one);
	else
		pthread_cond_broadcast(&new_one);
	pthread_mutex_unlock(&mutex);
	return NULL;
}

static void wait_ready(bool old)
{
	pthread_t thread;

	ready = false;
	pthread_mutex_lock(&mutex);
	pthread_create(&thread, NULL, set_ready, old ? &old_one : NULL);
	while (!ready)
		printf("wait %d\n", old ? old_wait(&old_one, &mutex) : pthread_cond_wait(&new_one, &mutex));
	pthread_mutex_unlock(&mutex);
	pthread_join(thread, NULL);
}

int main(void)
{
	static const char untouched[sizeof(old_one.guard)];
	struct timespec past = { .tv_sec = 1 };

	TRY(old_init(&old_one, NULL));
	wait_ready(true);
	wait_ready(false);
	pthread_mutex_lock(&mutex);
	TRY(old_timedwait(&old_one, &mutex, &past));
	TRY(pthread_cond_timedwait(&new_one, &mutex, &past));
	TRY(pthread_cond_clockwait(&new_one, &mutex, CLOCK_MONOTONIC, &past));
	pthread_mutex_unlock(&mutex);
	TRY(memcmp(old_one.guard, untouched, sizeof(untouched)));
	TRY(old_destroy(&old_one));
	return 0;
}
