// report: log lines on stderr in the form that users of the Python supervisor know:
// "YYYY-MM-DD HH:MM:SS,mmm - supervisor - LEVEL - text". Text from outside is escaped here. Never pass a
// secret. Owner: the caller. Threads: one. Errors: none; there is nowhere left to say so.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/attr.h"
#include "base/span.h"

enum report_level {
	REPORT_NOTSET,
	REPORT_DEBUG,
	REPORT_INFO,
	REPORT_WARNING,
	REPORT_ERROR,
	REPORT_CRITICAL,
};

struct report {
	enum report_level level; // lines below it are left away
};

// "DEBUG" … in any case of letters; false when it is none of them.
bool report_level_parse(const char *text, enum report_level *out);

void report_at(const struct report *r, enum report_level level, const char *fmt, ...)
	format_printf(3, 4);
