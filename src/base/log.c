// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const levels[] = { "debug", "info", "warn", "error" };
static _Atomic int threshold = LOG_INFO;

void log_set_level(enum log_level level)
{
	threshold = level;
}

int log_level_parse(const char *text, enum log_level *out)
{
	for (unsigned i = 0; i < ARRAY_LEN(levels); i++)
		if (strcmp(text, levels[i]) == 0) {
			*out = (enum log_level)i;
			return 1;
		}
	return 0;
}

// JSON string escaping (RFC 8259 7); bytes that are not UTF-8 become U+FFFD.
static void add_escaped(struct buf *b, const char *s)
{
	struct span rest = span_of(s);

	while (rest.n) {
		unsigned char c = (unsigned char)rest.p[0];
		size_t k = 1;

		if (c == '"' || c == '\\') {
			buf_add_char(b, '\\');
			buf_add_char(b, (char)c);
		} else if (c < 0x20 || c == 0x7f) {
			buf_printf(b, "\\u%04x", c);
		} else if (c < 0x80) {
			buf_add_char(b, (char)c);
		} else {
			while (k < 4 && k < rest.n && !span_is_utf8(span_head(rest, k)))
				k++;
			if (span_is_utf8(span_head(rest, k))) {
				buf_add(b, rest.p, k);
			} else {
				buf_add_str(b, "\xef\xbf\xbd");
				k = 1;
			}
		}
		rest = span_from(rest, k);
	}
}

void log_at(enum log_level level, const char *area, const char *fmt, ...)
{
	char text[1024], when[CLOCK_TEXT_MAX];
	auto_buf struct buf line = { 0 };
	va_list ap;

	if ((int)level < threshold)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_init(&line, 16384);
	buf_printf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"area\":\"%s\",\"msg\":\"",
		   clock_iso_ms(clock_wall_ns(), when), levels[level], area);
	add_escaped(&line, text);
	buf_add_str(&line, "\"}\n");
	ssize_t done = write(STDERR_FILENO, line.p, line.n);
	(void)done; // nowhere left to say so
}
