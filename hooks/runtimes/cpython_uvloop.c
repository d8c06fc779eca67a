/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uvloop. Its transports keep what a task writes and send it later, when no task runs, unless it can go out at once (which newer
 * versions try first). A transport that has something to send is put into a set: that is where we learn who wrote. Which
 * descriptor it has is read from libuv's handle; the layout is checked before it is believed.
 */
#include <link.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/uio.h>

#include "hooks/runtimes/cpython_frame.h"
#include "hooks/runtimes/cpython_internal.h"
#include "shim/conn.h"
#include "shim/got.h"
#include "shim/guard.h"
#include "shim/log.h"
#include "shim/process.h"
#include "shim/sys.h"
#include "shim/thread.h"

#define OBJECT_TYPE 8
#define TYPE_NAME 24
#define TRANSPORT_HANDLE 24 /* the first field of uvloop's UVHandle, behind Cython's table of methods */

/* uv_handle_t and uv_stream_t of libuv 1.x on 64-bit Linux. */
#define UV_DATA 0
#define UV_TYPE 16
#define UV_STREAM_FD 184
#define UV_STREAM_BYTES 188
#define UV_NAMED_PIPE 7
#define UV_TCP 12

enum layout { NOT_CHECKED, AS_KNOWN, OTHER };
static _Atomic int layout;

static const void *pointer_at(const char *at)
{
	const void *p;

	memcpy(&p, at, sizeof(p));
	return p;
}

static int number_at(const char *at)
{
	int n;

	memcpy(&n, at, sizeof(n));
	return n;
}

static bool is_stream(const char *handle, const void *transport)
{
	int type = number_at(handle + UV_TYPE);

	return pointer_at(handle + UV_DATA) == transport && (type == UV_TCP || type == UV_NAMED_PIPE);
}

/* Once: whatever is there is read by a system call that fails where the program would crash. */
static bool check_layout(const char *handle, const void *transport)
{
	char copy[UV_STREAM_BYTES];
	struct iovec to = {copy, sizeof(copy)}, from = {(void *)(uintptr_t)handle, sizeof(copy)};
	bool known = !process_is_sandboxed() &&
		     sys_call6(SYS_process_vm_readv, sys_getpid(), (long)&to, 1, (long)&from, 1, 0) ==
			     (long)sizeof(copy) &&
		     is_stream(copy, transport) && fdtable_kind(number_at(copy + UV_STREAM_FD)) == FD_CONNECTION;

	atomic_store_explicit(&layout, known ? AS_KNOWN : OTHER, memory_order_relaxed);
	if (!known)
		log_line(LOG_WARN, "python: this uvloop is not known; what it sends later has no parent");
	return known;
}

/* The descriptor of a transport; -1: it is none, or it has none. */
static int descriptor_of(const char *object)
{
	const char *name = pointer_at((const char *)pointer_at(object + OBJECT_TYPE) + TYPE_NAME);
	int state = atomic_load_explicit(&layout, memory_order_relaxed);
	const char *handle;

	if (state == OTHER ||
	    (strcmp(name, "uvloop.loop.TCPTransport") != 0 && strcmp(name, "uvloop.loop.UnixTransport") != 0))
		return -1;
	handle = pointer_at(object + TRANSPORT_HANDLE);
	if (!handle || (state == NOT_CHECKED && !check_layout(handle, object)) || !is_stream(handle, object))
		return -1;
	return number_at(handle + UV_STREAM_FD);
}

static void queued(const void *object)
{
	int fd = descriptor_of(object);
	struct conn *c;
	fd_word word;

	cpython_runs_uvloop();
	if (fdtable_kind(fd) != FD_CONNECTION)
		return;
	c = conn_enter(fd, &word);
	if (!c)
		return;
	if (c->role == CONN_CLIENT)
		cpython_handed(thread_self(), c);
	conn_leave(c);
}

static int hook_set_add(void *set, void *object)
{
	int result = python.PySet_Add(set, object);

	if (result == 0 && cpython_is_ready())
		OBSERVE(queued(object));
	return result;
}

static int hook_enter(void *context)
{
	cpython_runs_uvloop();
	return cpython_hook_enter(context);
}

bool cpython_uvloop_patch(const struct dl_phdr_info *info)
{
	const struct got_patch patches[] = {
		{"PySet_Add", (void *)python.PySet_Add, (void *)hook_set_add},
		{"PyContext_Enter", (void *)python.PyContext_Enter, (void *)hook_enter},
	};

	if (!info->dlpi_name || !strstr(info->dlpi_name, "/uvloop/loop."))
		return true;
	return got_patch(info, patches, sizeof(patches) / sizeof(patches[0])) >= 0;
}
