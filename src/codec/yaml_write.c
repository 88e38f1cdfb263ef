// yaml_write: a JSON tree as a YAML document of block style. Texts of several lines (scripts) become
// literal blocks where they can be read back unchanged; what a reader could take for another type is
// quoted. Owner: none. Threads: no shared state. Errors: false when the buffer is full.
// SPDX-License-Identifier: Apache-2.0
#include "codec/yaml.h"

#include "base/mem.h"

static bool is_word_char(char c, bool first)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '/')
		return true;
	return !first && ((c >= '0' && c <= '9') || c == '.' || c == '-' || c == ':' || c == '@');
}

// True for words that no YAML reader takes for anything but text.
static bool is_safe_plain(struct span s)
{
	static const char *const typed[] = { "null", "true", "false", "yes", "no",
					     "on",   "off",  "y",     "n" };

	if (s.n == 0 || s.p[s.n - 1] == ':')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_word_char(s.p[i], i == 0))
			return false;
	for (size_t i = 0; i < ARRAY_LEN(typed); i++)
		if (span_eq_nocase(s, span_of(typed[i])))
			return false;
	return true;
}

// A literal block keeps every byte when it starts with a visible character and holds printable ones only.
static bool is_block_text(struct span s)
{
	if (span_find(s, '\n') < 0 || s.p[0] == ' ' || s.p[0] == '\n' || s.p[0] == '\t')
		return false;
	if (s.p[s.n - 1] != '\n' || (s.n > 1 && s.p[s.n - 2] == '\n'))
		return false; // would need a chomping sign; quoted text is as clear
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f || c == 0xc2 || c == 0xe2 ||
		    c == 0xef)
			return false; // 0xc2, 0xe2, 0xef may begin NEL, LS, PS or a BOM
	}
	return span_is_utf8(s);
}

static void write_indent(unsigned level, struct buf *out)
{
	for (unsigned i = 0; i < level; i++)
		buf_add_str(out, "  ");
}

static void write_block(struct span s, unsigned level, struct buf *out)
{
	buf_add_str(out, "|\n");
	while (s.n > 0) {
		struct span line = span_cut(&s, '\n');

		if (line.n > 0)
			write_indent(level, out);
		buf_add_span(out, line);
		buf_add_char(out, '\n');
	}
}

static void write_text(struct span s, unsigned level, struct buf *out)
{
	if (is_safe_plain(s)) {
		buf_add_span(out, s);
		buf_add_char(out, '\n');
	} else if (is_block_text(s)) {
		write_block(s, level, out);
	} else {
		codec_json_write_string(s, CODEC_JSON_PLAIN, out); // JSON's quotes are YAML's
		buf_add_char(out, '\n');
	}
}

// Writes a value after "key:" or "-", whose line is still open.
static void write_value(const json_t *v, unsigned level, bool after_dash, struct buf *out);

static void write_members(const json_t *v, unsigned level, bool first_inline, struct buf *out)
{
	json_t *member;
	const char *key;

	json_object_foreach((json_t *)v, key, member)
	{
		if (!first_inline)
			write_indent(level, out);
		first_inline = false;
		if (is_safe_plain(span_of(key)))
			buf_add_str(out, key);
		else
			codec_json_write_string(span_of(key), CODEC_JSON_PLAIN, out);
		buf_add_char(out, ':');
		write_value(member, level + 1, false, out);
	}
}

static void write_items(const json_t *v, unsigned level, struct buf *out)
{
	for (size_t i = 0; i < json_array_size(v); i++) {
		write_indent(level, out);
		buf_add_char(out, '-');
		write_value(json_array_get(v, i), level + 1, true, out);
	}
}

static void write_value(const json_t *v, unsigned level, bool after_dash, struct buf *out)
{
	if (json_is_object(v) && json_object_size(v) > 0) {
		buf_add_char(out, after_dash ? ' ' : '\n');
		write_members(v, level, after_dash, out);
	} else if (json_is_array(v) && json_array_size(v) > 0) {
		buf_add_char(out, '\n');
		write_items(v, after_dash ? level : level - 1, out);
	} else if (json_is_string(v)) {
		buf_add_char(out, ' ');
		write_text(span_make(json_string_value(v), json_string_length(v)), level, out);
	} else {
		buf_add_char(out, ' ');
		codec_json_write(v, CODEC_JSON_PLAIN, out); // numbers, booleans, null, [] and {}
		buf_add_char(out, '\n');
	}
}

bool codec_yaml_write(const json_t *v, struct buf *out)
{
	if (json_is_object(v) && json_object_size(v) > 0)
		write_members(v, 0, false, out);
	else if (json_is_array(v) && json_array_size(v) > 0)
		write_items(v, 0, out);
	else
		write_value(v, 1, true,
			    out); // indented, lest a line that begins with # is a comment
	return !out->over;
}
