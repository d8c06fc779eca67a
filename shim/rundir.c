/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/rundir.h"

#include "shim/sys.h"
#include "shim/text.h"

unsigned rundir_path(char ret_path[RUNDIR_PATH_MAX])
{
	struct text t = {ret_path, RUNDIR_PATH_MAX, 0};

	text_add_string(&t, "/dev/shm/interspan-");
	text_add_unsigned(&t, sys_geteuid());
	return (unsigned)t.len;
}

int rundir_open(void)
{
	char path[RUNDIR_PATH_MAX];
	struct stat st;
	int dir, r;

	rundir_path(path);
	r = sys_mkdir(path, 0700);
	if (r < 0 && r != -EEXIST)
		return r;
	dir = sys_open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW);
	if (dir < 0)
		return dir;
	r = sys_fstat(dir, &st);
	if (r == 0 && (st.st_uid != sys_geteuid() || (st.st_mode & 077) != 0))
		r = -EPERM;
	if (r < 0) {
		sys_close(dir);
		return r;
	}
	return dir;
}
