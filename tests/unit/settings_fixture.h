/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shim/config.h"

/* Settings as in the table, for tests to change, and a log that counts. */
static struct config settings;
static int logged;
static char last_log[512];

static inline void count_log(int level, const char *text)
{
	(void)level;
	logged++;
	snprintf(last_log, sizeof(last_log), "%s", text);
}

#define SETTING_DEFAULT_STRING(def) (def)
#define SETTING_DEFAULT_LIST(def) (def)
#define SETTING_DEFAULT_BOOL(def) (def)
#define SETTING_DEFAULT_INT(def) (def)
#define SETTING_DEFAULT_DURATION(def) (def)
#define SETTING_DEFAULT_TIMEOUT(def) (def)

static inline int setup(void **state)
{
	(void)state;
	settings = (struct config){
#define SETTING(field, name, type, def, min, max, help) .field = SETTING_DEFAULT_##type(def),
#include "shim/config.def"
#undef SETTING
	};
	logged = 0;
	last_log[0] = '\0';
	unsetenv("http_proxy");
	unsetenv("https_proxy");
	return 0;
}
