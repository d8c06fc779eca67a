/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of root, user, sandbox and namespace: what we must open has to exist before them. */
#include <linux/seccomp.h>
#include <stdarg.h>

#include "hooks/hook.h"

/* One hook of the usual shape: 0 is success. */
#define IDENTITY_HOOK(change, name, params, args)                                                                      \
	EXPORT int name params                                                                                         \
	{                                                                                                              \
		engine_identity_changing(change);                                                                      \
                                                                                                                       \
		int result = REAL(name) args;                                                                          \
                                                                                                                       \
		if (result == 0)                                                                                       \
			engine_identity_changed(change);                                                               \
		return result;                                                                                         \
	}

IDENTITY_HOOK(IDENTITY_ROOT, chroot, (const char *path), (path))
IDENTITY_HOOK(IDENTITY_USER, setuid, (uid_t uid), (uid))
IDENTITY_HOOK(IDENTITY_USER, seteuid, (uid_t uid), (uid))
IDENTITY_HOOK(IDENTITY_USER, setreuid, (uid_t ruid, uid_t euid), (ruid, euid))
IDENTITY_HOOK(IDENTITY_USER, setresuid, (uid_t ruid, uid_t euid, uid_t suid), (ruid, euid, suid))
IDENTITY_HOOK(IDENTITY_USER, setgid, (gid_t gid), (gid))
IDENTITY_HOOK(IDENTITY_USER, setegid, (gid_t gid), (gid))
IDENTITY_HOOK(IDENTITY_USER, setregid, (gid_t rgid, gid_t egid), (rgid, egid))
IDENTITY_HOOK(IDENTITY_USER, setresgid, (gid_t rgid, gid_t egid, gid_t sgid), (rgid, egid, sgid))
IDENTITY_HOOK(IDENTITY_USER, setgroups, (size_t count, const gid_t *groups), (count, groups))
IDENTITY_HOOK(IDENTITY_NAMESPACE, unshare, (int flags), (flags))
IDENTITY_HOOK(IDENTITY_NAMESPACE, setns, (int fd, int type), (fd, type))

/* These two return the previous id and have no way to say that they failed. */
EXPORT int setfsuid(uid_t uid)
{
	engine_identity_changing(IDENTITY_USER);

	int previous = REAL(setfsuid)(uid);

	engine_identity_changed(IDENTITY_USER);
	return previous;
}

EXPORT int setfsgid(gid_t gid)
{
	engine_identity_changing(IDENTITY_USER);

	int previous = REAL(setfsgid)(gid);

	engine_identity_changed(IDENTITY_USER);
	return previous;
}

EXPORT int prctl(int option, ...)
{
	unsigned long arg[4];
	va_list args;

	va_start(args, option);
	for (int i = 0; i < 4; i++)
		arg[i] = va_arg(args, unsigned long);
	va_end(args);

	/* Without a filter it is only a question whether the kernel knows the call. */
	if (option != PR_SET_SECCOMP || (arg[0] == SECCOMP_MODE_FILTER && arg[1] == 0))
		return REAL(prctl)(option, arg[0], arg[1], arg[2], arg[3]);

	/*
	 * Strict mode allows read, write and exit alone. That exit ends a thread and no process, so no thread of ours may be there to
	 * keep the process alive.
	 */
	enum identity_change change = arg[0] == SECCOMP_MODE_STRICT ? IDENTITY_STRICT : IDENTITY_SANDBOX;

	engine_identity_changing(change);

	int result = REAL(prctl)(option, arg[0], arg[1], arg[2], arg[3]);

	if (result == 0)
		engine_identity_changed(change);
	return result;
}
