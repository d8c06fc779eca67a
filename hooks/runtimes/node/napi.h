/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The part of Node-API (version 8, stable since Node 12.22) that the adapter uses. Weak: node defines it, other
 * programs do not, and the library must load into both.
 */
typedef struct napi_env__ *napi_env;
typedef struct napi_value__ *napi_value;
typedef struct napi_callback_info__ *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env env, napi_callback_info info);
typedef int napi_status; /* 0: well */

#define NAPI_AUTO_LENGTH ((size_t)-1)
#define NAPI_INT32_ARRAY 5

#define NAPI(result, name, ...) extern result name(__VA_ARGS__) __attribute__((weak))
NAPI(napi_status, napi_get_cb_info, napi_env env, napi_callback_info info, size_t *argc, napi_value *argv,
     napi_value *this_arg, void **data);
NAPI(napi_status, napi_create_function, napi_env env, const char *name, size_t len, napi_callback call, void *data,
     napi_value *result);
NAPI(napi_status, napi_set_named_property, napi_env env, napi_value object, const char *name, napi_value value);
NAPI(napi_status, napi_get_value_int32, napi_env env, napi_value value, int32_t *result);
NAPI(napi_status, napi_get_value_bool, napi_env env, napi_value value, bool *result);
NAPI(napi_status, napi_get_value_string_latin1, napi_env env, napi_value value, char *buf, size_t size, size_t *result);
NAPI(napi_status, napi_create_string_latin1, napi_env env, const char *text, size_t len, napi_value *result);
NAPI(napi_status, napi_create_string_utf8, napi_env env, const char *text, size_t len, napi_value *result);
NAPI(napi_status, napi_create_arraybuffer, napi_env env, size_t len, void **data, napi_value *result);
NAPI(napi_status, napi_create_typedarray, napi_env env, int type, size_t length, napi_value buffer, size_t offset,
     napi_value *result);
NAPI(napi_status, napi_add_env_cleanup_hook, napi_env env, void (*hook)(void *arg), void *arg);
#undef NAPI
