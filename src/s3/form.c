// SPDX-License-Identifier: Apache-2.0
#include "s3/form.h"

struct span s3_form_field(const struct s3_form *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++)
		if (span_eq_nocase(f->fields[i].name, span_of(name)))
			return f->fields[i].value;
	return span_make(NULL, 0);
}

// What was answered already needs no code.
static int answered(struct err *e)
{
	return err_set(e, ERR_CANCELLED, "answered");
}

static int count(struct s3_form *f, size_t n, struct err *e)
{
	f->total += n;
	return f->total <= S3_FORM_BYTES_MAX ? 0 : err_set(e, ERR_LIMIT, "too many bytes");
}

static int on_part(void *owner, const struct form_part *p, struct err *e)
{
	struct s3_req *q = owner;
	struct s3_form *f = q->form;

	if (f->at == S3_FORM_REST)
		return 0;
	if (span_eq_nocase(p->name, SPAN("file"))) {
		f->at = S3_FORM_FILE;
		f->filename = p->filename.p ? arena_span(q->mem, p->filename) : SPAN("");
		return s3_post_begin(q) ? 0 : answered(e);
	}
	if (f->n == S3_FORM_FIELDS_MAX)
		return err_set(e, ERR_LIMIT, "too many fields");
	f->name = arena_span(q->mem, p->name);
	buf_clear(&f->value);
	return count(f, p->name.n, e);
}

static int on_bytes(void *owner, struct span piece, struct err *e)
{
	struct s3_req *q = owner;
	struct s3_form *f = q->form;

	switch (f->at) {
	case S3_FORM_FIELD:
		if (count(f, piece.n, e) < 0)
			return -1;
		buf_add_span(&f->value, piece);
		break;
	case S3_FORM_FILE:
		if (piece.n > f->range.max - q->body.size) {
			s3_failf(q, S3_ENTITY_TOO_LARGE,
				 "Your proposed upload exceeds the maximum allowed size");
			return answered(e);
		}
		return s3_body_sink(q, piece, e);
	case S3_FORM_REST:
		break;
	}
	return 0;
}

// Two values of one field could be read in two ways.
static bool known(const struct s3_form *f, struct span name)
{
	for (size_t i = 0; i < f->n; i++)
		if (span_eq_nocase(f->fields[i].name, name))
			return true;
	return false;
}

static int on_end(void *owner, struct err *e)
{
	struct s3_req *q = owner;
	struct s3_form *f = q->form;

	if (f->at == S3_FORM_FILE)
		f->at = S3_FORM_REST;
	if (f->at != S3_FORM_FIELD)
		return 0;
	if (known(f, f->name)) {
		s3_failf(q, S3_INVALID_ARGUMENT, "The form has a field twice");
		return answered(e);
	}
	f->fields[f->n++] = (struct post_field){ f->name, arena_span(q->mem, buf_span(&f->value)) };
	return 0;
}

bool s3_form_begin(struct s3_req *q)
{
	struct form_events ev = { q, on_part, on_bytes, on_end };
	struct err e = { 0 };

	if (!q->who.anonymous)
		return s3_failf(q, S3_INVALID_REQUEST,
				"A form upload is signed by its fields, not by its request");
	q->form = arena_alloc(q->mem, sizeof(*q->form));
	q->form->range.max = UINT64_MAX;
	buf_init(&q->form->value, S3_FORM_BYTES_MAX);
	if (form_init(&q->form->parser, s3_header(q, "Content-Type"), &ev, &e) < 0)
		return s3_failf(q, S3_NOT_A_FORM,
				"Bucket POST must be of the enclosure-type "
				"multipart/form-data");
	return true;
}

static void fail(struct s3_req *q, const struct err *e)
{
	if (q->failed)
		return;
	if (e->code == ERR_PROTOCOL)
		s3_failf(q, S3_MALFORMED_POST,
			 "The body of your POST request is not well-formed "
			 "multipart/form-data.");
	else if (e->code == ERR_LIMIT && q->form->at == S3_FORM_FIELD)
		s3_fail(q, S3_POST_TOO_LARGE);
	else
		s3_fail_store(q, e);
}

void s3_form_piece(struct s3_req *q, struct span piece)
{
	struct err e = { 0 };

	if (!q->failed && form_feed(&q->form->parser, piece, &e) < 0)
		fail(q, &e);
}

bool s3_form_end(struct s3_req *q)
{
	struct s3_form *f = q->form;
	struct err e = { 0 };

	if (form_end(&f->parser, &e) < 0) {
		fail(q, &e);
		return false;
	}
	if (f->at != S3_FORM_REST)
		return s3_failf(q, S3_INVALID_ARGUMENT,
				"POST requires exactly one file upload per request.");
	return q->body.size >= f->range.min ||
	       s3_failf(q, S3_ENTITY_TOO_SMALL,
			"Your proposed upload is smaller than the minimum allowed size");
}

void s3_form_release(struct s3_req *q)
{
	if (!q->form)
		return;
	form_release(&q->form->parser);
	buf_release(&q->form->value);
}
