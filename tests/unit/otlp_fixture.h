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

#include "export/otlp.h"
#include "otlp.pb-c.h"

/* A record is built, encoded, and read back with the code that protoc-c generates from export/otlp.proto. */

typedef Interspan__Otlp__ExportTraceServiceRequest Request;
typedef Interspan__Otlp__Span Span;
typedef Interspan__Otlp__KeyValue KeyValue;

extern const uint8_t trace_id[16];
extern const uint8_t span_id[8];
extern const uint8_t parent_id[8];

extern struct record_builder builder;
extern struct span view;
extern struct resource resource;
extern struct span_options options;
extern struct buffer out;
extern Request *request; /* what encode() decoded; freed by teardown() */

int setup(void **state);
int teardown(void **state);
/* Begin a client span with the ids above. */
struct record *begin(void);
void name(const char *text);
/* Finish the record, encode it alone, decode the request. */
Span *encode(void);
/* NULL: not there. Fails when it is there twice. */
const KeyValue *find(KeyValue *const *list, size_t n, const char *key);
/* The string value of an attribute that must be there. */
const char *string_of(const Span *span, const char *key);
