/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program has its own allocator, which, like jemalloc, begins with syscall(2) in the middle of the first malloc,
 * and cannot be called again meanwhile: a hook or a look-up that allocates ends here.
 */
#include "app.h"

static char arena[1 << 20];
static size_t used;
static bool busy, started;

static void *take(size_t size)
{
	if (busy)
		_exit(97);
	busy = true;
	if (!started) {
		started = true;
		if (syscall(SYS_getpid) <= 0 || syscall(SYS_close, -1) != -1)
			_exit(96);

		int fd = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY);
		char byte;

		if (fd < 0 || syscall(SYS_read, fd, &byte, 1) != 0 || syscall(SYS_close, fd) != 0)
			_exit(95);
	}
	busy = false;
	used = (used + 31) & ~(size_t)15;
	if (used + size > sizeof(arena))
		return NULL;
	*(size_t *)(void *)(arena + used - 16 + 8) = size;
	used += size;
	return arena + used - size;
}

void *malloc(size_t size)
{
	return take(size);
}

void *calloc(size_t count, size_t size)
{
	return take(count * size);
}

void *realloc(void *old, size_t size)
{
	void *fresh = take(size);

	if (old && fresh) {
		size_t old_size = *(size_t *)(void *)((char *)old - 8);

		memcpy(fresh, old, old_size < size ? old_size : size);
	}
	return fresh;
}

void free(void *p)
{
	(void)p;
}

int main(void)
{
	int fds[2];

	tcp_pair(fds);
	TRY(write(fds[0], "hello", 5));
	TRY(read(fds[1], malloc(8), 8));
	return 0;
}
