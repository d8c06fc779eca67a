/* SPDX-License-Identifier: Apache-2.0 */
/* Linked with a SysV hash table and without versions, as old or foreign tool chains do. */
int marker_bind(void);

int marker_bind(void)
{
	return 0;
}

extern int bind_alias(void) __asm__("bind") __attribute__((alias("marker_bind")));
extern int getppid_alias(void) __asm__("getppid") __attribute__((alias("marker_bind")));
