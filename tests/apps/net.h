/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Loopback sockets and the clock, for the test programs. What cannot be had ends the program with a message. */

/* A TCP socket listening on 127.0.0.1:port (SO_REUSEADDR; flags are SOCK_NONBLOCK, SOCK_CLOEXEC or 0). */
int listen_on(int port, int flags);
/* The same with SO_REUSEPORT: one of several that share the port. */
int listen_shared(int port, int flags);
/* A socket connected to 127.0.0.1:port, or (SOCK_NONBLOCK in flags) connecting. -errno when refused. */
int connect_to(int port, int flags);
/* Tell whoever started the program that it can be used: "ready" on stdout. */
void say_ready(void);
/* Write all of it, however often that takes; -1 when the peer is gone. Blocking sockets only. */
int write_all(int fd, const void *bytes, size_t len);
/* SIGTERM and SIGINT end the program through _exit(0). SIGPIPE is ignored. */
void exit_on_sigterm(void);
_Noreturn void die(const char *what);
uint64_t now_ns(void); /* CLOCK_MONOTONIC */
