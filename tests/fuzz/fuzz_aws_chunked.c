// fuzz_aws_chunked: a framed body of a stranger; the first byte chooses the form. Taken whole or a byte at a
// time it must give the same bytes and the same verdict.
// SPDX-License-Identifier: Apache-2.0
#include "codec/aws_chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int collect(void *owner, struct span bytes, struct err *e)
{
	return buf_add_span(owner, bytes) ? 0 : err_set(e, ERR_LIMIT, "too much");
}

static int run(enum aws_chunked_form form, struct span in, size_t piece, struct buf *out)
{
	static const uint8_t key[32];
	auto_arena struct arena a = { 0 };
	struct aws_chunked_options o = {
		.form = form,
		.size = UINT64_MAX,
		.arena = &a,
		.key = span_make(key, 32),
		.time = SPAN("20130524T000000Z"),
		.scope = { SPAN("20130524"), SPAN("us-east-1"), SPAN("s3") },
		.seed = SPAN(SIGV4_EMPTY_SHA256),
		.sink = collect,
		.owner = out,
	};
	struct aws_chunked c;
	struct err e = { 0 };
	int result = 0;

	aws_chunked_init(&c, &o);
	while (in.n && result == 0) {
		result = aws_chunked_feed(&c, span_head(in, piece), &e);
		in = span_from(in, piece);
	}
	if (result == 0)
		result = aws_chunked_end(&c, &e);
	aws_chunked_release(&c);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf struct buf whole;
	auto_buf struct buf bytes;
	struct span in = span_make(data, size);
	enum aws_chunked_form form;
	int a, b;

	buf_init(&whole, 1 << 20);
	buf_init(&bytes, 1 << 20);
	if (!size)
		return 0;
	form = (enum aws_chunked_form)(data[0] % 3);
	a = run(form, span_from(in, 1), size, &whole);
	b = run(form, span_from(in, 1), 1, &bytes);
	check(a == b);
	if (a == 0)
		check(span_eq(buf_span(&whole), buf_span(&bytes)));
	return 0;
}
