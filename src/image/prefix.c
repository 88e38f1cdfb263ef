// SPDX-License-Identifier: Apache-2.0
#include "image/prefix.h"

#include <string.h>

static const char begin[] = "\n_prefix_records = [\n";

// A Python string as repr() writes it, without escapes but of backslash and quotes: others mean a name that is not UTF-8.
static bool take_string(struct span *s, struct arena *mem, struct span *out)
{
	char quote = s->n ? s->p[0] : '\0', *text = arena_alloc(mem, s->n + 1);
	size_t n = 0, i = 1;

	if (quote != '\'' && quote != '"')
		return false;
	for (; i < s->n && s->p[i] != quote; i++) {
		if (s->p[i] == '\n')
			return false;
		if (s->p[i] == '\\' && (++i == s->n || !strchr("\\'\"", s->p[i])))
			return false;
		text[n++] = s->p[i];
	}
	if (i >= s->n)
		return false;
	*s = span_from(*s, i + 1);
	*out = span_make(text, n);
	return true;
}

static bool take_sign(struct span *s, const char *sign)
{
	if (!span_starts(*s, span_of(sign)))
		return false;
	*s = span_from(*s, strlen(sign));
	return true;
}

static bool take_record(struct span line, struct arena *mem, struct prefix_record *out)
{
	struct span mode;

	line = span_trim(line);
	if (!take_sign(&line, "(") || !take_string(&line, mem, &out->path) ||
	    !take_sign(&line, ", ") || !take_string(&line, mem, &out->placeholder) ||
	    !take_sign(&line, ", ") || !take_string(&line, mem, &mode) || !take_sign(&line, ")"))
		return false;
	out->binary = span_is(mode, "binary");
	return (out->binary || span_is(mode, "text")) && out->placeholder.n && out->path.n &&
	       (!line.n || span_is(line, ","));
}

int prefix_records(struct span script, struct arena *mem, struct prefix_record **out, size_t *n,
		   struct err *e)
{
	const char *at = script.n ? memmem(script.p, script.n, begin, sizeof(begin) - 1) : NULL;
	struct span rest;
	size_t lines = 0;

	*n = 0;
	if (!at)
		return err_set(e, ERR_INVALID, "bin/conda-unpack has no list of prefixes");
	rest = span_from(script, (size_t)(at - script.p) + sizeof(begin) - 1);
	for (size_t i = 0; i < rest.n; i++)
		lines += rest.p[i] == '\n';
	if (lines > PREFIX_RECORDS_MAX)
		return err_set(e, ERR_LIMIT, "bin/conda-unpack names over %d files",
			       PREFIX_RECORDS_MAX);
	*out = arena_alloc(mem, (lines + 1) * sizeof(**out));
	while (rest.n) {
		struct span line = span_cut(&rest, '\n');

		if (span_is(line, "]"))
			return 0;
		if (!span_trim(line).n)
			continue;
		if (*n > lines || !take_record(line, mem, &(*out)[*n]))
			return err_set(e, ERR_INVALID,
				       "bin/conda-unpack: line %zu of its list is not understood",
				       *n + 1);
		++*n;
	}
	return err_set(e, ERR_INVALID, "bin/conda-unpack: its list does not end");
}

static int too_large(struct err *e)
{
	return err_set(e, ERR_LIMIT, "a file with a prefix is too large");
}

static int fix_text(const struct prefix_record *r, struct span data, struct span prefix,
		    struct buf *out, struct err *e)
{
	for (;;) {
		const char *at =
			data.n ? memmem(data.p, data.n, r->placeholder.p, r->placeholder.n) : NULL;

		if (!at)
			return buf_add_span(out, data) ? 0 : too_large(e);
		if (!buf_add(out, data.p, (size_t)(at - data.p)) || !buf_add_span(out, prefix))
			return too_large(e);
		data = span_from(data, (size_t)(at - data.p) + r->placeholder.n);
	}
}

// From a placeholder to the next NUL is one string, in which it may stand again (a search path).
static int fix_binary(const struct prefix_record *r, struct span data, struct span prefix,
		      struct buf *out, struct err *e)
{
	static const char zeros[256];

	if (prefix.n > r->placeholder.n)
		return err_set(
			e, ERR_INVALID,
			"the environment was built in a folder whose name is shorter than " SPAN_FMT
			" (" SPAN_FMT "), and programs have no room for it",
			SPAN_ARG(prefix), SPAN_ARG(span_head(r->placeholder, 80)));
	for (;;) {
		const char *at =
			data.n ? memmem(data.p, data.n, r->placeholder.p, r->placeholder.n) : NULL;
		size_t before = at ? (size_t)(at - data.p) : data.n, was = out->n + before, length;
		const char *end = at ? memchr(at, '\0', data.n - before) : NULL;

		if (!end) // a string that never ends is none
			return buf_add_span(out, data) ? 0 : too_large(e);
		length = (size_t)(end - at);
		if (!buf_add(out, data.p, before) ||
		    fix_text(r, span_make(at, length), prefix, out, e) < 0)
			return too_large(e);
		for (size_t short_by = length - (out->n - was); short_by;) {
			size_t k = short_by < sizeof(zeros) ? short_by : sizeof(zeros);

			if (!buf_add(out, zeros, k))
				return too_large(e);
			short_by -= k;
		}
		data = span_from(data, before + length);
	}
}

int prefix_fix(const struct prefix_record *r, struct span data, struct span prefix, struct buf *out,
	       struct err *e)
{
	return r->binary ? fix_binary(r, data, prefix, out, e) : fix_text(r, data, prefix, out, e);
}
