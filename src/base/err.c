// SPDX-License-Identifier: Apache-2.0
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __clang_analyzer__
#undef err_set
#undef err_sys
#undef err_wrap
#endif

static const char *const names[] = {
	[ERR_NONE] = "none",
	[ERR_INVALID] = "invalid",
	[ERR_NOT_FOUND] = "not_found",
	[ERR_EXISTS] = "exists",
	[ERR_CONFLICT] = "conflict",
	[ERR_DENIED] = "denied",
	[ERR_UNAUTH] = "unauth",
	[ERR_LIMIT] = "limit",
	[ERR_TIMEOUT] = "timeout",
	[ERR_UNAVAILABLE] = "unavailable",
	[ERR_IO] = "io",
	[ERR_PROTOCOL] = "protocol",
	[ERR_CANCELLED] = "cancelled",
	[ERR_UNSUPPORTED] = "unsupported",
	[ERR_BUSY] = "busy",
	[ERR_FULL] = "full",
	[ERR_CORRUPT] = "corrupt",
	[ERR_BUG] = "bug",
};

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	e->code = code;
	e->sys = 0;
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	return -1;
}

int err_sys(struct err *e, enum err_code code, int sys, const char *fmt, ...)
{
	va_list ap;
	int n;

	e->code = sys == ENOSPC || sys == EDQUOT ? ERR_FULL : code;
	e->sys = sys;
	va_start(ap, fmt);
	n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(e->msg)) {
		char text[80];

		snprintf(e->msg + n, sizeof(e->msg) - (size_t)n, ": %s",
			 strerror_r(sys, text, sizeof(text)));
	}
	return -1;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	char old[sizeof(e->msg)];
	va_list ap;
	int n;

	memcpy(old, e->msg, sizeof(old));
	va_start(ap, fmt);
	n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(e->msg))
		snprintf(e->msg + n, sizeof(e->msg) - (size_t)n, ": %s", old);
	return -1;
}

const char *err_name(enum err_code code)
{
	return code >= 0 && (size_t)code < ARRAY_LEN(names) ? names[code] : "unknown";
}

void check_failed(const char *cond, const char *file, int line)
{
	fprintf(stderr, "oscar: bug at %s:%d: %s does not hold\n", file, line, cond);
	abort();
}
