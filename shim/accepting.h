/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/*
 * An epoll descriptor watches fd, for these EPOLL* events (0: not any more). Only for listeners and epoll descriptors is it
 * remembered how. Entered (guard.h); any thread.
 */
void accepting_watched(int fd, uint32_t events);
