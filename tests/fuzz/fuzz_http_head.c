// fuzz_http_head: a server's answers. Whatever head is taken has one length or none, and whatever body comes behind it
// is taken without a byte beyond it.
// SPDX-License-Identifier: Apache-2.0
#include "codec/http_body.h"
#include "codec/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_body(const struct http_head *h, struct span text)
{
	struct span rest = text, piece;
	struct http_body b;
	struct err e = { 0 };

	http_body_begin(&b, h, false);
	do {
		size_t before = rest.n;

		if (http_body_next(&b, &rest, &piece, &e) < 0)
			return;
		check(rest.n <= before && piece.n <= before - rest.n);
	} while (piece.n);
	check(b.done || rest.n < HTTP_CHUNK_LINE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_make(data, size);
	struct http_head h;
	struct err e = { 0 };
	uint64_t a, b, c;

	if (http_head_parse(in, &h, &e) == 0) {
		check(h.status >= 100 && h.status <= 599);
		check(!h.chunked || h.length < 0);
		check(h.chunked || h.length >= 0 || h.close);
		check(h.field_count <= HTTP_FIELDS_MAX);
		read_body(&h, in);
	}
	read_body(&(struct http_head){ .length = -1, .chunked = true }, in);
	if (http_chunk_size(in, &a, &e) == 0)
		check(a < UINT64_C(1) << 60);
	if (range_of_content(in, &a, &b, &c))
		check(a <= b && b < c);
	return 0;
}
