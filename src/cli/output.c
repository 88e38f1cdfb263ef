// output: tables, JSON, YAML and the progress line. Owner: cells live in the cli's arena. Threads: one.
// Errors: none; what cannot be printed is lost with its stream.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include "base/mem.h"
#include "codec/yaml.h"

#include <inttypes.h>
#include <stdarg.h>

const char *cli_clean(struct cli *c, const char *text)
{
	char *copy = arena_strdup(&c->a, text);

	for (char *p = copy; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = *p == '\n' || *p == '\t' ? ' ' : '?';
	return span_is_utf8(span_of(copy)) ? copy : "?";
}

static void table_push(struct cli_table *t, const char *cell)
{
	if (t->count == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 64;
		const char **cells = arena_alloc(&t->c->a, cap * sizeof(*cells));

		if (t->count)
			memcpy(cells, t->cells, t->count * sizeof(*cells));
		t->cells = cells;
		t->cap = cap;
	}
	t->cells[t->count++] = cell;
}

void cli_table_begin(struct cli_table *t, struct cli *c, const char *heads)
{
	struct span rest = span_of(heads);

	*t = (struct cli_table){ .c = c };
	while (rest.n > 0) {
		struct span head = span_cut(&rest, ' ');

		table_push(t, arena_strndup(&c->a, head.p, head.n));
		t->columns++;
	}
}

void cli_table_add(struct cli_table *t, const char *cell)
{
	table_push(t, cli_clean(t->c, cell));
}

void cli_table_addf(struct cli_table *t, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	cli_table_add(t, text);
}

// Characters, taking each code point for one column.
static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

void cli_table_end(struct cli_table *t)
{
	size_t *width = arena_alloc(&t->c->a, t->columns * sizeof(*width));

	for (size_t i = 0; i < t->count; i++)
		if (width_of(t->cells[i]) > width[i % t->columns])
			width[i % t->columns] = width_of(t->cells[i]);
	for (size_t i = 0; i < t->count; i++) {
		bool last = (i + 1) % t->columns == 0;
		size_t pad = last ? 0 : width[i % t->columns] - width_of(t->cells[i]) + 2;

		fprintf(t->c->out, "%s%*s%s", t->cells[i], (int)pad, "", last ? "\n" : "");
	}
}

void cli_print_json(struct cli *c, const json_t *v)
{
	auto_free char *text = codec_json_text(v, CODEC_JSON_PLAIN);

	fprintf(c->out, "%s\n", text);
}

void cli_print_yaml(struct cli *c, const json_t *v)
{
	auto_buf struct buf text = { 0 };

	buf_init(&text, SIZE_MAX / 4);
	codec_yaml_write(v, &text);
	fputs(text.p ? text.p : "", c->out);
}

const char *cli_size(struct cli *c, uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < ARRAY_LEN(units)) {
		value /= 1024;
		unit++;
	}
	return arena_printf(&c->a, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

const char *cli_duration(struct cli *c, int64_t seconds)
{
	if (seconds >= 3600)
		return arena_printf(&c->a, "%" PRId64 ":%02" PRId64 ":%02" PRId64, seconds / 3600,
				    seconds / 60 % 60, seconds % 60);
	return arena_printf(&c->a, "%" PRId64 ":%02" PRId64, seconds / 60, seconds % 60);
}

void cli_progress(struct cli *c, const char *fmt, ...)
{
	va_list ap;

	if (!c->progress)
		return;
	fputs("\r\033[K", c->err);
	va_start(ap, fmt);
	vfprintf(c->err, fmt, ap);
	va_end(ap);
	fflush(c->err);
}

void cli_progress_end(struct cli *c)
{
	if (c->progress)
		fputs("\r\033[K", c->err);
}

void cli_note(struct cli *c, const char *fmt, ...)
{
	va_list ap;

	cli_progress_end(c);
	va_start(ap, fmt);
	vfprintf(c->err, fmt, ap);
	va_end(ap);
	fputc('\n', c->err);
	fflush(c->err);
}

const char *cli_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

int64_t cli_int(const json_t *object, const char *key)
{
	return (int64_t)json_integer_value(json_object_get(object, key));
}
