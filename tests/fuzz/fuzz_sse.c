// fuzz_sse: an event stream of a strange server, whole and cut into single bytes: both must tell the same.
// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"
#include "http/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void keep(void *owner, const struct sse_event *ev)
{
	struct buf *out = owner;

	buf_add_span(out, ev->id);
	buf_add_char(out, '|');
	buf_add_span(out, ev->kind);
	buf_add_char(out, '|');
	buf_add_span(out, ev->data);
	buf_add_char(out, '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_sse struct sse_reader whole = { 0 };
	auto_sse struct sse_reader bytes = { 0 };
	auto_buf struct buf a = { 0 };
	auto_buf struct buf b = { 0 };
	struct err e = { 0 };
	int got = 0, single = 0;

	buf_init(&a, 1 << 20);
	buf_init(&b, 1 << 20);
	sse_init(&whole, 256, keep, &a);
	sse_init(&bytes, 256, keep, &b);
	got = sse_feed(&whole, span_make(data, size), &e);
	for (size_t i = 0; i < size && single == 0; i++)
		single = sse_feed(&bytes, span_make(data + i, 1), &e);
	check(got == single);
	check(span_eq(buf_span(&a), buf_span(&b)));
	return 0;
}
