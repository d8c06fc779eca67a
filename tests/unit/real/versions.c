/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several definitions under version nodes, see versions.map. They stand before libc's in this program, and the
 * program calls none of them.
 */
int marker_dup_new(void), marker_dup_old(void), marker_foreign(void), marker_hidden(void), marker_shutdown(void);

int marker_dup_new(void)
{
	return 1;
}

int marker_dup_old(void)
{
	return 2;
}

int marker_foreign(void)
{
	return 3;
}

int marker_hidden(void)
{
	return 4;
}

int marker_shutdown(void)
{
	return 5;
}

__asm__(".symver marker_dup_old, dup@GLIBC_2.0");
__asm__(".symver marker_dup_new, dup@@GLIBC_2.2.5");
__asm__(".symver marker_foreign, dup3@@FOREIGN_1");
__asm__(".symver marker_hidden, listen@GLIBC_2.0");

static __attribute__((used)) int (*choose_shutdown(void))(void)
{
	return marker_shutdown;
}

extern int shutdown_chosen(void) __asm__("shutdown") __attribute__((ifunc("choose_shutdown")));
