/* SPDX-License-Identifier: Apache-2.0 */
/* A program that looks functions up by itself gets ones that work, whichever way it asks. */
#include "app.h"

#include <dlfcn.h>

static void use(const char *how, void *found)
{
	ssize_t (*read_found)(int, void *, size_t);
	char byte;

	*(void **)&read_found = found;
	printf("%s: ", how);
	if (found)
		TRY(read_found(0, &byte, 0));
	else
		puts("none");
}

int main(void)
{
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);

	use("default", dlsym(RTLD_DEFAULT, "read"));
	use("next", dlsym(RTLD_NEXT, "read"));
	use("handle", dlsym(libc, "read"));
	use("version", dlvsym(RTLD_DEFAULT, "read", "GLIBC_2.2.5"));
	use("own", dlsym(NULL, "read"));
	TRY(dlsym(RTLD_NEXT, "pthread_cond_wait") != NULL);
	TRY(dlvsym(RTLD_DEFAULT, "pthread_cond_wait", "GLIBC_2.2.5") ==
	    dlvsym(libc, "pthread_cond_wait", "GLIBC_2.2.5"));
	TRY(dlvsym(RTLD_DEFAULT, "quick_exit", "GLIBC_2.10") == dlvsym(libc, "quick_exit", "GLIBC_2.10"));
	TRY(dlvsym(RTLD_DEFAULT, "pthread_cond_wait", "GLIBC_2.3.2") != NULL);
	TRY(dlvsym(RTLD_DEFAULT, "pthread_create", "GLIBC_2.2.5") != NULL);
	TRY(dlsym(RTLD_DEFAULT, "no_such_function") == NULL);
	printf("%d\n", dlerror() != NULL);
	return 0;
}
