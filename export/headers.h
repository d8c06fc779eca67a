/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * OTEL_EXPORTER_OTLP_HEADERS: "name=value,name=value", values percent-encoded (opentelemetry-specification,
 * protocol/exporter, "Specifying headers via environment variables").
 */

/*
 * Write "Name: value" texts (malloc'ed) to ret, at most max. A pair that is no header, or names one that is ours to
 * set (length, type, encoding, traceparent), is skipped and logged, without its value: it may be a secret.
 * Returns how many.
 */
unsigned headers_read(char *ret[], unsigned max, const char *list, void (*log)(int level, const char *text));
