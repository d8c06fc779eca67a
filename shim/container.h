/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/*
 * The id of the container that we run in, out of the text of files in /proc (NUL terminated). No specification says
 * how: these are the rules that the OpenTelemetry SDKs have in common. Pure functions.
 */

#define CONTAINER_ID_LEN 64

/* /proc/self/cgroup of cgroup v1: the last part of a path, as runtimes dress it ("docker-<id>.scope", "cri:...:<id>"). */
bool container_id_from_cgroup(const char *text, char ret_id[CONTAINER_ID_LEN]);
/* /proc/self/mountinfo, where cgroup v2 shows no path: the files that the runtime has mounted over /etc. */
bool container_id_from_mountinfo(const char *text, char ret_id[CONTAINER_ID_LEN]);
