// SPDX-License-Identifier: Apache-2.0
#include "codec/http_head.h"

#include "codec/text.h"

enum { CHUNK_DIGITS_MAX = 15 };

static int status_line(struct span line, struct http_head *out, struct err *e)
{
	uint64_t status;

	if (!span_starts(line, SPAN("HTTP/1.")) || line.n < 12 || line.p[8] != ' ' ||
	    (line.n > 12 && line.p[12] != ' ') || !span_to_u64(span_make(line.p + 9, 3), &status) ||
	    status < 100 || status > 599)
		return err_set(e, ERR_PROTOCOL, "the answer is not HTTP/1.1");
	out->status = (int)status;
	out->close = line.p[7] == '0';
	return 0;
}

// RFC 9110 5.6.2: a blank in a name, or a control byte anywhere, is read differently by different readers.
static bool name_ok(struct span name)
{
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] <= ' ' || (unsigned char)name.p[i] >= 0x7f ||
		    strchr("\"(),/:;<=>?@[\\]{}", name.p[i]))
			return false;
	return name.n > 0;
}

static bool value_ok(struct span value)
{
	for (size_t i = 0; i < value.n; i++)
		if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 0x7f)
			return false;
	return true;
}

static int field(struct span line, struct http_head *out, struct err *e)
{
	ptrdiff_t colon = span_find(line, ':');
	struct http_field *f;

	if (colon < 0 || !name_ok(span_head(line, (size_t)colon)) ||
	    !value_ok(span_from(line, (size_t)colon + 1)))
		return err_set(e, ERR_PROTOCOL, "a header of the answer is malformed");
	if (out->field_count == HTTP_FIELDS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d headers", HTTP_FIELDS_MAX);
	f = &out->fields[out->field_count++];
	f->name = span_head(line, (size_t)colon);
	f->value = span_trim(span_from(line, (size_t)colon + 1));
	return 0;
}

bool http_list_has(struct span list, struct span word)
{
	while (list.n)
		if (span_eq_nocase(span_trim(span_cut(&list, ',')), word))
			return true;
	return false;
}

struct span http_head_get(const struct http_head *h, const char *name)
{
	for (size_t i = 0; i < h->field_count; i++)
		if (span_eq_nocase(h->fields[i].name, span_of(name)))
			return h->fields[i].value;
	return span_make(NULL, 0);
}

// A body whose end is disputed is refused: whoever lies about it may hide a second answer in it.
static int framing(struct http_head *out, struct err *e)
{
	for (size_t i = 0; i < out->field_count; i++) {
		const struct http_field *f = &out->fields[i];
		uint64_t n;

		if (span_eq_nocase(f->name, SPAN("content-length"))) {
			if (!span_to_u64(f->value, &n) || n > INT64_MAX ||
			    (out->length >= 0 && (uint64_t)out->length != n))
				return err_set(e, ERR_PROTOCOL, "the answer's length is malformed");
			out->length = (int64_t)n;
		} else if (span_eq_nocase(f->name, SPAN("transfer-encoding"))) {
			if (out->chunked || !span_eq_nocase(f->value, SPAN("chunked")))
				return err_set(e, ERR_PROTOCOL,
					       "the answer's transfer encoding is not known");
			out->chunked = true;
		} else if (span_eq_nocase(f->name, SPAN("connection"))) {
			out->close = out->close || http_list_has(f->value, SPAN("close"));
		}
	}
	if (out->chunked && out->length >= 0)
		return err_set(e, ERR_PROTOCOL, "the answer has a length and is chunked");
	if (out->status < 200 || out->status == 204 || out->status == 304) {
		out->length = 0;
		out->chunked = false;
	}
	out->close = out->close || (out->length < 0 && !out->chunked);
	return 0;
}

int http_head_parse(struct span text, struct http_head *out, struct err *e)
{
	struct span line = span_cut(&text, '\n');

	out->field_count = 0;
	out->length = -1;
	out->chunked = false;
	if (text.n > HTTP_HEAD_MAX)
		return err_set(e, ERR_LIMIT, "the answer's head is over %d bytes", HTTP_HEAD_MAX);
	if (status_line(span_trim(line), out, e) < 0)
		return -1;
	while (text.n) {
		line = span_cut(&text, '\n');
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (!line.n)
			return framing(out, e);
		if (field(line, out, e) < 0)
			return -1;
	}
	return err_set(e, ERR_PROTOCOL, "the answer's head has no end");
}

int http_chunk_size(struct span line, uint64_t *out, struct err *e)
{
	struct span text = span_trim(span_cut(&line, ';'));

	if (!text_hex_number(text, CHUNK_DIGITS_MAX, out))
		return err_set(e, ERR_PROTOCOL, "a chunk's size is malformed");
	return 0;
}
