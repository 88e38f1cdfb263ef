// json: bounded parsing, careful printing and typed reading of JSON. Owner: see json.h. Threads: no shared
// state. Errors: ERR_INVALID, ERR_LIMIT.
// SPDX-License-Identifier: Apache-2.0
#include "codec/json.h"

#include "base/mem.h"

#include <inttypes.h>
#include <math.h>

// Counts what the tree will hold before any of it is built. Text that is not JSON may be counted wrongly,
// but never so that a valid text passes over a bound.
static int count_check(struct span text, struct err *e)
{
	unsigned depth = 0, values = 1;
	bool in_string = false;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			values++;
			if (++depth > CODEC_JSON_DEPTH_MAX)
				return err_set(e, ERR_LIMIT, "JSON nested more than %d levels deep",
					       CODEC_JSON_DEPTH_MAX);
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
		} else if (c == ',' || c == ':') {
			values++;
		}
	}
	if (values > CODEC_JSON_VALUES_MAX)
		return err_set(e, ERR_LIMIT, "JSON with more than %d values",
			       CODEC_JSON_VALUES_MAX);
	return 0;
}

// jansson quotes the text near the fault; what is not printable there must not reach a terminal.
static void make_printable(char *text)
{
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
			*p = '?';
}

int codec_json_parse(struct span text, size_t size_max, json_t **out, struct err *e)
{
	json_error_t fault;
	json_t *v;

	if (text.n > size_max)
		return err_set(e, ERR_LIMIT, "JSON of %zu bytes, allowed are %zu", text.n,
			       size_max);
	if (count_check(text, e) < 0)
		return -1;
	v = json_loadb(text.p ? text.p : "", text.n, JSON_DECODE_ANY, &fault);
	if (!v) {
		make_printable(fault.text);
		return err_set(e, ERR_INVALID, "not JSON: line %d, column %d: %s", fault.line,
			       fault.column, fault.text);
	}
	*out = v;
	return 0;
}

// Bytes of the UTF-8 sequence at p, or 0 when there is none.
static size_t utf8_length(const char *p, size_t n)
{
	unsigned char c = (unsigned char)p[0];
	size_t want = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (want == 0 || want > n || !span_is_utf8(span_make(p, want)))
		return 0;
	return want;
}

static bool write_escape(unsigned char c, unsigned style, struct buf *out)
{
	switch (c) {
	case '"':
		return buf_add_str(out, "\\\"");
	case '\\':
		return buf_add_str(out, "\\\\");
	case '\n':
		return buf_add_str(out, "\\n");
	case '\r':
		return buf_add_str(out, "\\r");
	case '\t':
		return buf_add_str(out, "\\t");
	default:
		if (c < 0x20 || c == 0x7f ||
		    ((style & CODEC_JSON_HTML) && (c == '<' || c == '>' || c == '&')))
			return buf_printf(out, "\\u%04x", c);
		return buf_add_char(out, (char)c);
	}
}

// A character of several bytes. Those that readers of JavaScript or YAML take for a line end, or do not
// accept at all, are written by number: U+0080…U+009F, U+2028, U+2029, U+FEFF, U+FFFE, U+FFFF.
static bool write_wide(const char *p, size_t length, struct buf *out)
{
	const unsigned char *u = (const unsigned char *)p;
	unsigned code = length == 2 ? (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu)
				    : (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);

	if (length < 4 &&
	    (code < 0xa0 || code == 0x2028 || code == 0x2029 || code == 0xfeff || code >= 0xfffe))
		return buf_printf(out, "\\u%04x", code);
	return buf_add(out, p, length);
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

bool codec_json_write_string(struct span text, unsigned style, struct buf *out)
{
	size_t i = 0;

	buf_add_char(out, '"');
	while (i < text.n) {
		size_t run = i, length;

		while (run < text.n && is_plain((unsigned char)text.p[run]))
			run++;
		buf_add(out, text.p + i, run - i);
		i = run;
		if (i == text.n)
			break;
		length = utf8_length(text.p + i, text.n - i);
		if (length == 0) {
			buf_add_str(out, "\\ufffd");
			length = 1;
		} else if (length == 1) {
			write_escape((unsigned char)text.p[i], style, out);
		} else {
			write_wide(text.p + i, length, out);
		}
		i += length;
	}
	return buf_add_char(out, '"') && !out->over;
}

// The shortest text that reads back as the same number.
static bool write_real(double value, struct buf *out)
{
	char text[40];

	if (value == 0) // no minus: a reader may take "-0" for the whole number 0
		return buf_add_char(out, '0');
	if (!isfinite(value))
		return buf_add_str(out, "null");
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value) // exact: this is a test of round trip
			break;
	}
	return buf_add_str(out, text);
}

static void write_break(unsigned style, unsigned level, struct buf *out)
{
	if (!(style & CODEC_JSON_INDENT))
		return;
	buf_add_char(out, '\n');
	for (unsigned i = 0; i < level; i++)
		buf_add_str(out, "  ");
}

static bool write_value(const json_t *v, unsigned style, unsigned level, struct buf *out);

static bool write_object(const json_t *v, unsigned style, unsigned level, struct buf *out)
{
	json_t *object = (json_t *)v, *member;
	const char *key;
	bool first = true;

	if (json_object_size(v) == 0)
		return buf_add_str(out, "{}");
	buf_add_char(out, '{');
	json_object_foreach(object, key, member)
	{
		if (!first)
			buf_add_char(out, ',');
		first = false;
		write_break(style, level + 1, out);
		codec_json_write_string(span_of(key), style, out);
		buf_add_str(out, style & CODEC_JSON_INDENT ? ": " : ":");
		write_value(member, style, level + 1, out);
	}
	write_break(style, level, out);
	return buf_add_char(out, '}');
}

static bool write_array(const json_t *v, unsigned style, unsigned level, struct buf *out)
{
	size_t n = json_array_size(v);

	if (n == 0)
		return buf_add_str(out, "[]");
	buf_add_char(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_add_char(out, ',');
		write_break(style, level + 1, out);
		write_value(json_array_get(v, i), style, level + 1, out);
	}
	write_break(style, level, out);
	return buf_add_char(out, ']');
}

static bool write_value(const json_t *v, unsigned style, unsigned level, struct buf *out)
{
	if (!v)
		return buf_add_str(out, "null");
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return write_object(v, style, level, out);
	case JSON_ARRAY:
		return write_array(v, style, level, out);
	case JSON_STRING:
		return codec_json_write_string(
			span_make(json_string_value(v), json_string_length(v)), style, out);
	case JSON_INTEGER:
		return buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	case JSON_REAL:
		return write_real(json_real_value(v), out);
	case JSON_TRUE:
		return buf_add_str(out, "true");
	case JSON_FALSE:
		return buf_add_str(out, "false");
	case JSON_NULL:
		return buf_add_str(out, "null");
	}
	return false;
}

bool codec_json_write(const json_t *v, unsigned style, struct buf *out)
{
	return write_value(v, style, 0, out) && !out->over;
}

char *codec_json_text(const json_t *v, unsigned style)
{
	struct buf out;

	buf_init(&out, SIZE_MAX / 4);
	codec_json_write(v, style, &out);
	return buf_take(&out);
}

json_t *codec_json_get(const json_t *object, const char *key)
{
	json_t *found = json_object_get(object, key), *member;
	const char *name;

	if (!found && json_is_object(object)) {
		json_object_foreach((json_t *)object, name, member)
		{
			if (span_eq_nocase(span_of(name), span_of(key)))
				found = member;
		}
	}
	return json_is_null(found) ? NULL : found;
}

const char *codec_json_kind(const json_t *v)
{
	if (!v)
		return "nothing";
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "nothing";
}

static int wrong_kind(const char *key, const char *want, const json_t *got, struct err *e)
{
	return err_set(e, ERR_INVALID, "%s: expected %s, got %s", key, want, codec_json_kind(got));
}

int codec_json_get_string(const json_t *object, const char *key, const char **out, struct err *e)
{
	const json_t *v = codec_json_get(object, key);

	if (!v)
		return 0;
	if (!json_is_string(v))
		return wrong_kind(key, "a string", v, e);
	*out = json_string_value(v);
	return 0;
}

int codec_json_get_bool(const json_t *object, const char *key, bool *out, struct err *e)
{
	const json_t *v = codec_json_get(object, key);

	if (!v)
		return 0;
	if (!json_is_boolean(v))
		return wrong_kind(key, "a boolean", v, e);
	*out = json_is_true(v);
	return 0;
}

int codec_json_get_int(const json_t *object, const char *key, int64_t min, int64_t max,
		       int64_t *out, struct err *e)
{
	const json_t *v = codec_json_get(object, key);
	int64_t got;

	if (!v)
		return 0;
	if (!json_is_integer(v))
		return wrong_kind(key, "a whole number", v, e);
	got = (int64_t)json_integer_value(v);
	if (got < min || got > max)
		return err_set(e, ERR_INVALID,
			       "%s: %" PRId64 " is not between %" PRId64 " and %" PRId64, key, got,
			       min, max);
	*out = got;
	return 0;
}

int codec_json_get_object(const json_t *object, const char *key, json_t **out, struct err *e)
{
	json_t *v = codec_json_get(object, key);

	if (!v)
		return 0;
	if (!json_is_object(v))
		return wrong_kind(key, "an object", v, e);
	*out = v;
	return 0;
}

int codec_json_get_array(const json_t *object, const char *key, json_t **out, struct err *e)
{
	json_t *v = codec_json_get(object, key);

	if (!v)
		return 0;
	if (!json_is_array(v))
		return wrong_kind(key, "a list", v, e);
	*out = v;
	return 0;
}
