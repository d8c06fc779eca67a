/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another preload that stands in front of, or behind, the shim. It makes itself known by what it adds to write's
 * result.
 */
#include <dlfcn.h>
#include <unistd.h>

ssize_t write(int fd, const void *buf, size_t len)
{
	static ssize_t (*next)(int, const void *, size_t);

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "write");

	ssize_t n = next(fd, buf, len);

	return n == 5 ? 1005 : n;
}
