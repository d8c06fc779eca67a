/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The socket calls that the engine makes itself, past every hook. 0 or a result; -errno on failure. */
#include <sys/socket.h>

#include "shim/sys.h"

static inline int sys_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
	return (int)sys_call3(SYS_getsockname, fd, (long)addr, (long)len);
}

static inline int sys_getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
	return (int)sys_call3(SYS_getpeername, fd, (long)addr, (long)len);
}

static inline int sys_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	return (int)sys_call6(SYS_getsockopt, fd, level, name, (long)value, (long)len, 0);
}
