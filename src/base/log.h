// log: structured lines on stderr, one JSON object each. Only the top of a request, a job or a thread
// logs; everybody else returns an error. Text from outside is escaped here. Never pass a secret.
// Threads: safe; a line is written by one write().
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/attr.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level level);
// "debug", "info", "warn", "error"; false when it is none of them.
int log_level_parse(const char *text, enum log_level *out);

// {"time":"…","level":"info","area":"http","msg":"…"}
void log_at(enum log_level level, const char *area, const char *fmt, ...) format_printf(3, 4);

#define log_debug(area, ...) log_at(LOG_DEBUG, area, __VA_ARGS__)
#define log_info(area, ...) log_at(LOG_INFO, area, __VA_ARGS__)
#define log_warn(area, ...) log_at(LOG_WARN, area, __VA_ARGS__)
#define log_error(area, ...) log_at(LOG_ERROR, area, __VA_ARGS__)
