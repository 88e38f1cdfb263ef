// SPDX-License-Identifier: Apache-2.0
#include "codec/form.h"

// ---- header values -------------------------------------------------------------------------------------

// The parameter of that name, into `out` (of FORM_HEAD_MAX bytes): "; name=value" or "; name=\"value\"", where
// \" stands for a quote. p == NULL when it is absent.
static struct span parameter(struct span rest, const char *name, char *out)
{
	span_cut(&rest, ';');
	while (rest.n) {
		bool wanted = span_eq_nocase(span_trim(span_cut(&rest, '=')), span_of(name));
		size_t n = 0, i = 1;

		if (!rest.n || rest.p[0] != '"') {
			struct span value = span_trim(span_cut(&rest, ';'));

			if (!wanted)
				continue;
			memcpy(out, value.p, value.n);
			return span_make(out, value.n);
		}
		for (; i < rest.n && rest.p[i] != '"'; i++) {
			if (rest.p[i] == '\\' && i + 1 < rest.n && rest.p[i + 1] == '"')
				i++;
			out[n++] = rest.p[i];
		}
		if (wanted)
			return span_make(out, n);
		rest = span_from(rest, i + 1);
		span_cut(&rest, ';');
	}
	return span_make(NULL, 0);
}

// Some browsers send the whole path.
static struct span without_folders(struct span s)
{
	ptrdiff_t slash = span_rfind(s, '/'), back = span_rfind(s, '\\');

	if (back > slash)
		slash = back;
	return slash < 0 ? s : span_from(s, (size_t)slash + 1);
}

static struct form_part parse_head(struct span head, char *name_text, char *file_text)
{
	struct form_part p = { .name = SPAN(""), .type = SPAN("") };

	while (head.n) {
		struct span value = span_cut(&head, '\n'), name;

		name = span_trim(span_cut(&value, ':'));
		value = span_trim(value);
		if (span_eq_nocase(name, SPAN("Content-Type"))) {
			p.type = value;
		} else if (span_eq_nocase(name, SPAN("Content-Disposition"))) {
			struct span given = value;

			if (!span_eq_nocase(span_trim(span_cut(&given, ';')), SPAN("form-data")))
				continue;
			given = parameter(value, "filename", file_text);
			if (given.p)
				p.filename = without_folders(given);
			given = parameter(value, "name", name_text);
			if (given.p)
				p.name = given;
		}
	}
	return p;
}

int form_init(struct form *f, struct span content_type, const struct form_events *ev, struct err *e)
{
	struct span kind = content_type, boundary;
	char text[FORM_HEAD_MAX];

	*f = (struct form){ .ev = *ev, .matched = 2 }; // as if a line had just ended
	if (content_type.n > FORM_HEAD_MAX ||
	    !span_eq_nocase(span_trim(span_cut(&kind, ';')), SPAN("multipart/form-data")))
		return err_set(e, ERR_INVALID, "the content is no multipart/form-data");
	boundary = parameter(content_type, "boundary", text);
	if (!boundary.n || boundary.n > FORM_BOUNDARY_MAX || span_find(boundary, '\r') >= 0)
		return err_set(e, ERR_INVALID, "the form has no boundary of 1 to %d characters",
			       FORM_BOUNDARY_MAX);
	memcpy(f->delimiter, "\r\n--", 4);
	memcpy(f->delimiter + 4, boundary.p, boundary.n);
	f->delimiter_n = 4 + boundary.n;
	buf_init(&f->head, FORM_HEAD_MAX);
	return 0;
}

void form_release(struct form *f)
{
	buf_release(&f->head);
}

// ---- the stream ----------------------------------------------------------------------------------------

static int give(struct form *f, struct span piece, struct err *e)
{
	return f->state == FORM_CONTENT && piece.n ? f->ev.bytes(f->ev.owner, piece, e) : 0;
}

// CR stands only at the delimiter's start, so a mismatch can begin anew at the mismatching byte alone.
static int feed_content(struct form *f, struct span *rest, struct err *e)
{
	size_t i = 0, from = 0;

	while (i < rest->n && f->matched < f->delimiter_n) {
		if (rest->p[i] == f->delimiter[f->matched]) {
			if (!f->matched && give(f, span_make(rest->p + from, i - from), e) < 0)
				return -1;
			f->matched++;
			from = ++i;
		} else if (f->matched) {
			struct span held = span_make(f->delimiter, f->matched);

			f->matched = 0;
			if (give(f, held, e) < 0)
				return -1;
		} else {
			const char *cr = memchr(rest->p + i, '\r', rest->n - i);

			i = cr ? (size_t)(cr - rest->p) : rest->n;
		}
	}
	if (!f->matched && give(f, span_make(rest->p + from, i - from), e) < 0)
		return -1;
	*rest = span_from(*rest, i);
	if (f->matched < f->delimiter_n)
		return 0;
	f->matched = 0;
	buf_clear(&f->head);
	if (f->state == FORM_CONTENT && f->ev.end(f->ev.owner, e) < 0)
		return -1;
	f->state = FORM_AFTER;
	return 0;
}

// After a delimiter: blanks and the line's end, or two dashes.
static int feed_after(struct form *f, struct span *rest, struct err *e)
{
	while (rest->n && f->state == FORM_AFTER) {
		char c = rest->p[0];

		*rest = span_from(*rest, 1);
		if ((c == ' ' || c == '\t') && !f->head.n)
			continue;
		if (!buf_add_char(&f->head, c) || f->head.n > 2)
			break;
		if (f->head.n < 2)
			continue;
		if (memcmp(f->head.p, "--", 2) == 0)
			f->state = FORM_DONE;
		else if (memcmp(f->head.p, "\r\n", 2) == 0)
			f->state = FORM_HEAD;
		else
			return err_set(e, ERR_PROTOCOL, "a delimiter of the form has a tail");
	}
	return 0;
}

// The header ends with an empty line, which may be its first: it is kept from the delimiter's line end on.
static int feed_head(struct form *f, struct span *rest, struct err *e)
{
	char name[FORM_HEAD_MAX], file[FORM_HEAD_MAX];
	struct form_part p;

	while (rest->n) {
		if (!buf_add_char(&f->head, rest->p[0]))
			return err_set(e, ERR_LIMIT, "the header of a form's part is too large");
		*rest = span_from(*rest, 1);
		if (!span_ends(buf_span(&f->head), SPAN("\r\n\r\n")))
			continue;
		p = parse_head(buf_span(&f->head), name, file);
		f->state = FORM_CONTENT;
		return f->ev.begin(f->ev.owner, &p, e);
	}
	return 0;
}

int form_feed(struct form *f, struct span piece, struct err *e)
{
	while (piece.n && f->state != FORM_DONE) {
		int bad = 0;

		if (f->state == FORM_AFTER)
			bad = feed_after(f, &piece, e);
		else if (f->state == FORM_HEAD)
			bad = feed_head(f, &piece, e);
		else
			bad = feed_content(f, &piece, e);
		if (bad)
			return -1;
	}
	return 0;
}

int form_end(struct form *f, struct err *e)
{
	return f->state == FORM_DONE ? 0 : err_set(e, ERR_PROTOCOL, "the form was cut off");
}
