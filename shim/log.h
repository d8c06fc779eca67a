/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/*
 * One-line messages to the operator, never from a hook's normal path. Where they go: INTERSPAN_LOG_FILE; unset,
 * /dev/shm/interspan-<uid>/interspan.log (cut off at 1 MiB). The program's own stderr is never used unless the
 * setting says "stderr". Each line: UTC time, "interspan[PID]", level, text. A message opens, writes and closes
 * the file with raw calls, so no descriptor stays open. Texts are cut at 500 bytes.
 */
enum log_level { LOG_NONE, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Fix level and destination from config; before this, messages are dropped. */
void log_start(const char *level, const char *file);
/* No message any more but from threads for which may_log() holds: a sandbox is coming. */
void log_seal(bool (*may_log)(void));
/* printf-like, but only %s %d %u %ld %lu %x %% %c and no widths. Async-signal-safe; errno survives. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
