/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Settings, read once from the environment before main() and immutable afterwards. Texts are copies
 * (programs overwrite their environment). Field types by the table's type column: STRING and LIST are
 * const char *, never NULL; the others int64_t, where -1 means "unset, and there is no default".
 */

#define SETTING_STRING const char *
#define SETTING_LIST const char *
#define SETTING_BOOL int64_t
#define SETTING_INT int64_t
#define SETTING_DURATION int64_t
#define SETTING_TIMEOUT int64_t

struct config {
#define SETTING(field, name, type, def, min, max, help) SETTING_##type field;
#include "shim/config.def"
#undef SETTING
	uint64_t given; /* bit i: setting i of the table was set by the user */
};

extern struct config config;

/* What a bad value costs: one warning each; the default is used. */
typedef void config_warning(const char *name, const char *value, const char *problem);

/*
 * Read envp into ret. Empty values count as unset. Texts that must be copied go to a mapping made for
 * the purpose and never freed. Makes no libc call that can allocate or touch the program's state.
 * Returns 0, or -ENOMEM (the defaults are in place then).
 */
int config_read(struct config *ret, char *const envp[], config_warning *warn);

/* True when the text of a choice equals, ignoring case. */
bool config_is(const char *value, const char *choice);

/*
 * Walk a comma separated list: *cursor starts at the list; blanks around items are dropped, empty items
 * skipped. Returns false at the end.
 */
bool config_next(const char **cursor, const char **ret_item, uint32_t *ret_len);

/* The table itself, for help and checks. */
struct setting {
	const char *name;
	const char *type;
	const char *def;
	const char *help;
};
extern const struct setting config_settings[];
extern const unsigned config_n_settings;
