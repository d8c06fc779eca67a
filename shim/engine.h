/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "shim/fdtable.h"
#include "shim/guard.h"

/*
 * What hooks tell the engine: the only header of shim/ that hooks/ needs besides real.h and guard.h. A hook calls the real
 * function, tells what happened in these terms, and returns what the real function returned. Facts are in the past
 * tense and come after the real call; closing comes before it, because another thread may be given the same number
 * the moment the real close returns.
 *
 * Unless it says otherwise, a call here enters the guard by itself, keeps errno, and does nothing while the
 * shim is off. Context: any thread, async-signal-safe.
 */

/* Is fd one that the engine knows? One load and a branch when it is not: ask before anything else on the I/O path. */
static inline bool engine_watches(int fd)
{
	return fdtable_kind(fd) != FD_UNKNOWN;
}

/* ---- descriptors ---- */
void engine_opened(int fd, enum fd_kind kind);      /* socket, eventfd, timerfd, epoll; fd < 0: nothing */
void engine_bound(int fd);                          /* bind() succeeded */
void engine_listening(int fd);                      /* listen() succeeded: the segment must exist now */
/* Before accept: true, there is nothing to accept for now (EAGAIN), and the real call is not made. errno is not kept. */
bool engine_accept_must_wait(int listener);
void engine_accepted(int listener, int fd, const struct sockaddr *peer, socklen_t peer_len); /* peer may be NULL */
void engine_connecting(int fd, const struct sockaddr *peer, socklen_t peer_len, int result, int error);
void engine_paired(int fd_a, int fd_b);             /* socketpair, pipe */
void engine_closing(int fd);                        /* before the real close */
void engine_closing_range(unsigned first, unsigned last); /* before close_range (without CLOEXEC), closefrom */
void engine_duplicated(int old_fd, int new_fd);     /* dup*, F_DUPFD*; what new_fd was before is closed */
void engine_shutdown(int fd, int how);
void engine_timer_arming(int fd);                  /* before timerfd_settime() with a time */

/* ---- bytes in ---- */
/*
 * A read of any form returned n (or -1 with errno) into iov. May rewrite bytes in place and may add some behind them where the
 * caller's buffer has room (stamping); returns the count to hand to the program. flags: MSG_PEEK and friends, else 0.
 */
ssize_t engine_received(int fd, const struct iovec *iov, int iovcnt, int flags, ssize_t n);
/* n bytes left the socket without passing through memory that we see (splice from it). */
void engine_received_unseen(int fd, ssize_t n);

/* ---- bytes out ---- */
/*
 * A send of any form, which the engine performs: exactly as the program asked through plain(), or, when a request
 * head needs our headers, with another iovec through edited(). Both return what the system call returned and set errno.
 * engine_send() returns what the program must be told.
 */
struct sending {
	int fd;
	int flags;               /* MSG_*; 0 for write */
	const struct iovec *iov; /* the program's bytes */
	int iovcnt;
	ssize_t (*plain)(const struct sending *s);
	ssize_t (*edited)(const struct sending *s, const struct iovec *iov, int iovcnt);
	/* The program's own arguments, for the two functions above. */
	int rw_flags;            /* RWF_* */
	const struct msghdr *msg;
	const struct sockaddr *addr;
	socklen_t addr_len;
};
/* For a descriptor that the engine does not know (closed meanwhile; or called before the constructor): plain(). */
ssize_t engine_send(const struct sending *s);
/* sendfile, splice: n bytes went out of fd unseen (n <= 0: nothing). */
void engine_sent_unseen(int fd, ssize_t n);

/* getpeername() was called on fd: some runtimes do so when, and only when, they begin to serve a connection. */
void engine_peer_asked(int fd);
/* The state of its TCP connection was asked for, as some servers do when they begin to serve a request. */
void engine_state_asked(int fd);

/* ---- waiting ---- */
/* First, before any of the waits below: how long it may last. -1: for ever; 0: only a look. */
void engine_waiting_at_most(int timeout_ms);
/* epoll_wait and kin. begin returns the maxevents to pass on (1 when the loop is isolated); 0: do not wait, there is nothing. */
int engine_wait_begin(int epfd, int maxevents);
void engine_wait_end(int epfd, const struct epoll_event *events, int n);
/*
 * Most calls of epoll_ctl are about a connection, and there is nothing to learn from them: true, asked before the call. Not so in loops that
 * something else has woken once (LOOP_WAKERS in loop.h).
 */
#define ENGINE_LOOPS 4096
extern _Atomic uint8_t engine_wakers[ENGINE_LOOPS + 1] __attribute__((visibility("hidden"))); /* by loop; 1: it has some */

static inline bool engine_has_wakers(uint32_t loop)
{
	return atomic_load_explicit(&engine_wakers[loop], memory_order_relaxed) != 0;
}

static inline bool engine_epoll_is_plain(int epfd, int fd)
{
	fd_word word = fdtable_word(epfd);

	return fdtable_kind_of(word) == FD_EPOLL && fdtable_kind(fd) == FD_CONNECTION &&
	       !engine_has_wakers(fdtable_object(word));
}

/* epoll_ctl succeeded. event may be NULL for EPOLL_CTL_DEL. */
void engine_epoll_changed(int epfd, int op, int fd, const struct epoll_event *event);
void engine_poll_begin(const struct pollfd *fds, nfds_t n);
void engine_select_begin(int nfds, const fd_set *readable);
void engine_poll_end(int ready);                     /* poll, ppoll, select, pselect */
/* pthread_cond_wait and kin, before and after; the mutex is held. */
void engine_condition_waiting(const void *condition, const void *mutex);
void engine_condition_waited(const void *mutex, bool timed_out);
/* The thread is about to sleep, for a while or just to let others run. One store: it neither enters the guard nor needs it. */
void engine_sleeping(void);
/* sem_wait and kin: before the wait, and after one that took the semaphore. */
void engine_semaphore_waiting(void);
void engine_semaphore_taken(const void *semaphore);
/* Before pthread_mutex_unlock, for mutexes that threads were seen waiting with, and on threads that have just taken a semaphore. */
#define ENGINE_QUEUE_FILTER 4096
extern _Atomic uint8_t engine_queue_filter[ENGINE_QUEUE_FILTER] __attribute__((visibility("hidden")));
void engine_unlocking(const void *mutex);

static inline unsigned engine_queue_hash(const void *mutex)
{
	return (unsigned)((uintptr_t)mutex >> 3) % ENGINE_QUEUE_FILTER;
}

/* ---- threads ---- */
/*
 * Before pthread_create / thrd_create: returns what to pass as the argument to the trampoline below, or NULL to create the
 * thread untouched. start is the identity of the thread's class, attr may be NULL. engine_thread_run() never returns before start
 * does, and gives the package back first of all; engine_thread_unstarted() gives it back when creation failed.
 */
struct thread_package;
struct thread_package *engine_thread_starting(void *start, void *arg, const pthread_attr_t *attr);
/* In the new thread: adopt the package, release it, return start and arg. */
void engine_thread_started(struct thread_package *package, void **ret_start, void **ret_arg);
void engine_thread_unstarted(struct thread_package *package);

/* makecontext() is about to prepare a coroutine that runs entry on this stack. */
void engine_coroutine_made(const void *stack, size_t size, void *entry);

/* ---- processes ---- */
/*
 * The environment to hand to exec or posix_spawn for path (may be NULL): envp itself when nothing needs to change, else an
 * array built in scratch (the caller's stack). Replaces TRACEPARENT, TRACESTATE and BAGGAGE where a context is current, and drops or adds
 * the preload as INTERSPAN_FOLLOW says, or drops it for a program that cannot load it (shim/loadable.h). Never adds it to an environment
 * that the program built without it unless INTERSPAN_FOLLOW=all. What does not fit in scratch is left as the program gave it.
 * Without scratch (NULL) it only answers whether it needs one: envp, or NULL when something is to change. Small stacks
 * (16 KiB threads exec too) so pay for an array only when it is used, and for one that fits their environment.
 */
struct exec_scratch {
	char **envp;     /* room for envp_max entries, the closing NULL among them */
	size_t envp_max;
	char text[2048];
};
char *const *engine_exec_environment(const char *path, char *const *envp, struct exec_scratch *scratch);
/* Before any exec (posix_spawn is none): this process lets go of what it shares with its parent. */
void engine_executing(void);
/*
 * A fork that pthread_atfork does not show (_Fork, clone without CLONE_VM, by number): before it, and after it in each of the two.
 * A child that starts on a stack of its own need not tell: it is noticed when it first has something to write.
 */
void engine_forking(void);
void engine_forked(bool in_child);
/* The calling thread ends by a system call of its own, and the process with it if it is the last. */
void engine_thread_exiting(void);
/* _exit, _Exit, quick_exit and the library's destructor: end what is open, flush (bounded). Not in a vfork child. */
void engine_exiting(void);

/* Before chroot, set*id, setgroups, prctl(PR_SET_SECCOMP), seccomp, landlock: make what must exist. */
/*
 * SANDBOX: system calls may kill from now on. It binds the calling thread and those it makes, SANDBOX_ALL (SECCOMP_FILTER_FLAG_TSYNC) the threads that there are, too.
 * LANDLOCK takes files and ports away and kills nobody. STRICT leaves read, write and exit, and not even the clock can be read: after it
 * the engine does nothing any more.
 */
enum identity_change { IDENTITY_ROOT, IDENTITY_USER, IDENTITY_SANDBOX, IDENTITY_NAMESPACE, IDENTITY_SANDBOX_ALL, IDENTITY_LANDLOCK, IDENTITY_STRICT };
void engine_identity_changing(enum identity_change change);
/* After it succeeded. */
void engine_identity_changed(enum identity_change change);

/*
 * This thread has called dlopen since the last time: runtimes may have arrived. dlopen itself must be left by a jump,
 * since libc takes the RUNPATH and the namespace from its return address, so this comes later: before the thread's next
 * dlopen, wait, thread creation, or the next descriptor that it opens. The load may have failed.
 */
void engine_module_loaded(void);
/* A load with RTLD_DEEPBIND begins: what it brings will find libc before us, and is looked at when it has been loaded. */
void engine_binding_deeply(void);
void engine_uring_seen(void);    /* io_uring_setup: I/O may bypass us from now on; elimination rules go off */

/* ---- names ---- */
/* getaddrinfo took from start_ns (CLOCK_MONOTONIC) until now; error is its EAI_* result. */
bool engine_wants_resolutions(void);
void engine_resolved(const char *name, uint64_t start_ns, int error);
