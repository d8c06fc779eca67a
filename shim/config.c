/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/config.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "shim/sys.h"

enum setting_type { TYPE_STRING, TYPE_LIST, TYPE_BOOL, TYPE_INT, TYPE_DURATION, TYPE_TIMEOUT };

/* What the parser needs of a line of the table; the public half is config_settings. */
struct setting_rule {
	enum setting_type type;
	uint16_t offset; /* in struct config */
	int64_t min, max;
};

static const struct setting_rule rules[] = {
#define SETTING(field, name, type, def, min, max, help) {TYPE_##type, offsetof(struct config, field), min, max},
#include "shim/config.def"
#undef SETTING
};

/* The default as a text: a text's own, a number's digits. */
#define DEFAULT_STRING(def) def
#define DEFAULT_LIST(def) def
#define DEFAULT_BOOL(def) #def
#define DEFAULT_INT(def) #def
#define DEFAULT_DURATION(def) #def
#define DEFAULT_TIMEOUT(def) #def

const struct setting config_settings[] = {
#define SETTING(field, name, type, def, min, max, help) {name, #type, DEFAULT_##type(def), help},
#include "shim/config.def"
#undef SETTING
};

#define N_SETTINGS (sizeof(rules) / sizeof(rules[0]))
_Static_assert(N_SETTINGS <= 64, "config.given has a bit for each setting");
const unsigned config_n_settings = N_SETTINGS;

static const struct config defaults = {
#define SETTING(field, name, type, def, min, max, help) .field = (def),
#include "shim/config.def"
#undef SETTING
};

struct config config = {
#define SETTING(field, name, type, def, min, max, help) .field = (def),
#include "shim/config.def"
#undef SETTING
};

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool config_is(const char *value, const char *choice)
{
	while (*value != '\0' && lower(*value) == lower(*choice)) {
		value++;
		choice++;
	}
	return *value == '\0' && *choice == '\0';
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool config_next(const char **cursor, const char **ret_item, uint32_t *ret_len)
{
	const char *at = *cursor;
	const char *end;

	while (*at == ',' || is_blank(*at))
		at++;
	if (*at == '\0') {
		*cursor = at;
		return false;
	}
	*ret_item = at;
	while (*at != '\0' && *at != ',')
		at++;
	*cursor = at;
	for (end = at; is_blank(end[-1]); end--)
		;
	*ret_len = (uint32_t)(end - *ret_item);
	return true;
}

/* What stands behind NAME= in entry; NULL when it is another variable. */
static const char *value_of(const char *entry, const char *name)
{
	size_t len = strlen(name);

	return strncmp(entry, name, len) == 0 && entry[len] == '=' ? entry + len + 1 : NULL;
}

static bool may_be_setting(const char *entry)
{
	return (entry[0] == 'I' && strncmp(entry, "INTERSPAN_", 10) == 0) || (entry[0] == 'O' && strncmp(entry, "OTEL_", 5) == 0);
}

/* Of each name the first variable counts; one that is empty is as good as unset. */
static void find_values(char *const envp[], const char *values[])
{
	static const char other_level[] = "OTEL_LOG_LEVEL";
	const char *level = NULL, *value;

	for (; envp != NULL && *envp != NULL; envp++) {
		if (!may_be_setting(*envp))
			continue;
		for (unsigned i = 0; i < N_SETTINGS; i++)
			if (values[i] == NULL && (value = value_of(*envp, config_settings[i].name)) != NULL)
				values[i] = value;
		if (level == NULL)
			level = value_of(*envp, other_level);
	}
	for (unsigned i = 0; i < N_SETTINGS; i++) {
		if (values[i] != NULL && *values[i] == '\0')
			values[i] = NULL;
		if (values[i] == NULL && rules[i].offset == offsetof(struct config, log_level) && level != NULL && *level != '\0')
			values[i] = level;
	}
}

static bool is_text(unsigned i)
{
	return rules[i].type == TYPE_STRING || rules[i].type == TYPE_LIST;
}

/* Digits, with blanks around them. Returns a text that says what is wrong, or NULL. */
static const char *parse_number(const char *value, const struct setting_rule *rule, int64_t *ret)
{
	int64_t number = 0;

	while (is_blank(*value))
		value++;
	if (*value < '0' || *value > '9')
		return "not a non-negative whole number";
	for (; *value >= '0' && *value <= '9'; value++) {
		number = number * 10 + (*value - '0');
		if (number > rule->max)
			return "out of range";
	}
	while (is_blank(*value))
		value++;
	if (*value != '\0')
		return "not a non-negative whole number";
	if (number < rule->min)
		return "out of range";
	*ret = number;
	return NULL;
}

static const char *parse_bool(const char *value, int64_t *ret)
{
	if (!config_is(value, "true") && !config_is(value, "false"))
		return "neither true nor false";
	*ret = config_is(value, "true");
	return NULL;
}

static void set_number(struct config *ret, unsigned i, const char *value, config_warning *warn)
{
	int64_t *field = (int64_t *)(void *)((char *)ret + rules[i].offset);
	const char *problem;

	if (rules[i].type == TYPE_BOOL)
		problem = parse_bool(value, field);
	else
		problem = parse_number(value, &rules[i], field);
	if (problem == NULL)
		ret->given |= 1ull << i;
	else if (warn != NULL)
		warn(config_settings[i].name, value, problem);
}

/* Returns where the next text goes. */
static char *set_text(struct config *ret, unsigned i, const char *value, char *at)
{
	size_t size = strlen(value) + 1;

	memcpy(at, value, size);
	*(const char **)(void *)((char *)ret + rules[i].offset) = at;
	ret->given |= 1ull << i;
	return at + size;
}

int config_read(struct config *ret, char *const envp[], config_warning *warn)
{
	const char *values[N_SETTINGS] = {NULL};
	size_t bytes = 0;
	char *at = NULL;
	unsigned i;

	*ret = defaults;
	find_values(envp, values);
	for (i = 0; i < N_SETTINGS; i++)
		if (values[i] != NULL && is_text(i))
			bytes += strlen(values[i]) + 1;
	if (bytes != 0) {
		at = sys_mmap(bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);
		if (at == MAP_FAILED)
			return -ENOMEM;
	}
	for (i = 0; i < N_SETTINGS; i++) {
		if (values[i] == NULL)
			continue;
		if (!is_text(i))
			set_number(ret, i, values[i], warn);
		else if (at != NULL)
			at = set_text(ret, i, values[i], at);
	}
	return 0;
}
