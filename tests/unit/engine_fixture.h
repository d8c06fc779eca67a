/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

/* The engine in a test program: started as in a process, but with no hooks; spans go to memory instead of a segment. */

/* Settings are given as NAME=VALUE, NULL-terminated. Once per program. */
void engine_up(const char *const settings[]);
