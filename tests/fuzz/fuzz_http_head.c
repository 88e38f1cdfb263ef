// fuzz_http_head: heads of a server's answers. Whatever is taken has one length or none.
// SPDX-License-Identifier: Apache-2.0
#include "codec/range.h"
#include "supervisor/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	}
	if (http_chunk_size(in, &a, &e) == 0)
		check(a < UINT64_C(1) << 60);
	if (range_of_content(in, &a, &b, &c))
		check(a <= b && b < c);
	return 0;
}
