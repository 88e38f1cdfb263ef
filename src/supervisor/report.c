// SPDX-License-Identifier: Apache-2.0
#include "supervisor/report.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = { "NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL" };

bool report_level_parse(const char *text, enum report_level *out)
{
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (span_eq_nocase(span_of(text), span_of(names[i]))) {
			*out = (enum report_level)i;
			return true;
		}
	return false;
}

// One event is one line: control bytes in names of files or answers of servers become blanks.
static void flatten(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = ' ';
}

void report_at(const struct report *r, enum report_level level, const char *fmt, ...)
{
	char text[1024], line[1200], when[32];
	int64_t now = clock_wall_ns();
	time_t seconds = (time_t)(now / NS_PER_S);
	struct tm tm;
	va_list ap;
	int n;

	if (level < r->level)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	flatten(text);
	localtime_r(&seconds, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	n = snprintf(line, sizeof(line), "%s,%03d - supervisor - %s - %s\n", when,
		     (int)(now / NS_PER_MS % 1000), names[level], text);
	ssize_t done = write(STDERR_FILENO, line, (size_t)n);
	(void)done;
}
