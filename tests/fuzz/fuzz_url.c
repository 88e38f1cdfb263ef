// fuzz_url: percent coding and queries of a stranger. What is encoded must decode to the same bytes.
// SPDX-License-Identifier: Apache-2.0
#include "codec/url.h"

#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = { 0 };
	struct span in = span_make(data, size), rest = in, name, value;
	struct span plain = url_decode(&a, in, URL_PLUS_KEEP);

	check(span_eq(url_decode(&a, url_encode_arena(&a, plain, "/"), URL_PLUS_KEEP), plain));
	check(url_has_escaped(url_encode_arena(&a, plain, ""), 0) == (span_find(plain, 0) >= 0));
	while (url_query_next(&rest, &name, &value))
		check(name.n + value.n <= size);
	url_query_get(&a, in, "uploads", &value);
	return 0;
}
