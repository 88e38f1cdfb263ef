// SPDX-License-Identifier: Apache-2.0
#include "codec/http_body.h"

void http_body_begin(struct http_body *b, const struct http_head *h, bool no_content)
{
	*b = (struct http_body){ .kind = h->chunked	 ? HTTP_BODY_CHUNKED
					 : h->length < 0 ? HTTP_BODY_UNTIL_CLOSE
							 : HTTP_BODY_SIZED };
	if (h->length > 0)
		b->left = (uint64_t)h->length;
	b->done = no_content || (b->kind == HTTP_BODY_SIZED && !b->left);
}

static void take_content(struct http_body *b, struct span *in, struct span *piece)
{
	*piece = span_head(
		*in, b->kind == HTTP_BODY_UNTIL_CLOSE || b->left > in->n ? in->n : (size_t)b->left);
	*in = span_from(*in, piece->n);
	if (b->kind == HTTP_BODY_UNTIL_CLOSE)
		return;
	b->left -= piece->n;
	if (b->left)
		return;
	b->done = b->kind == HTTP_BODY_SIZED;
	b->at = HTTP_CHUNK_END;
}

// 1 = *line is one, without its end; 0 = it has not come whole.
static int take_line(struct span *in, struct span *line, struct err *e)
{
	ptrdiff_t end = span_find(*in, '\n');

	if (end > HTTP_CHUNK_LINE_MAX || (end < 0 && in->n >= HTTP_CHUNK_LINE_MAX))
		return err_set(e, ERR_LIMIT, "a line between chunks is over %d bytes",
			       HTTP_CHUNK_LINE_MAX);
	if (end < 0)
		return 0;
	*line = span_head(*in, (size_t)end);
	if (line->n && line->p[line->n - 1] == '\r')
		line->n--;
	*in = span_from(*in, (size_t)end + 1);
	return 1;
}

static int take_framing(struct http_body *b, struct span line, struct err *e)
{
	switch (b->at) {
	case HTTP_CHUNK_SIZE:
		if (http_chunk_size(line, &b->left, e) < 0)
			return -1;
		b->at = b->left ? HTTP_CHUNK_DATA : HTTP_CHUNK_TRAILER;
		return 0;
	case HTTP_CHUNK_END:
		if (line.n)
			return err_set(e, ERR_PROTOCOL, "a chunk is longer than it said");
		b->at = HTTP_CHUNK_SIZE;
		return 0;
	case HTTP_CHUNK_TRAILER:
		b->trailer += line.n;
		if (b->trailer > HTTP_TRAILER_MAX)
			return err_set(e, ERR_LIMIT, "a trailer of over %d bytes",
				       HTTP_TRAILER_MAX);
		b->done = !line.n;
		return 0;
	case HTTP_CHUNK_DATA:
		break;
	}
	return err_set(e, ERR_BUG, "no line is due");
}

int http_body_next(struct http_body *b, struct span *in, struct span *piece, struct err *e)
{
	*piece = SPAN("");
	while (!b->done && in->n) {
		struct span line;
		int got;

		if (b->kind != HTTP_BODY_CHUNKED || b->at == HTTP_CHUNK_DATA) {
			take_content(b, in, piece);
			return 0;
		}
		got = take_line(in, &line, e);
		if (got <= 0)
			return got;
		if (take_framing(b, line, e) < 0)
			return -1;
	}
	return 0;
}

int http_body_end(struct http_body *b, struct err *e)
{
	if (!b->done && b->kind != HTTP_BODY_UNTIL_CLOSE)
		return err_set(e, ERR_PROTOCOL, "the connection ended within an answer");
	b->done = true;
	return 0;
}
