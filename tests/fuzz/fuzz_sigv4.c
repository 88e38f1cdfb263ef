// fuzz_sigv4: a request head of a stranger, as lines: method, path, query, signed headers, then "name: value".
// The canonical query is a fixed point of itself.
// SPDX-License-Identifier: Apache-2.0
#include "codec/sigv4.h"

#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = { 0 };
	struct span rest = span_make(data, size), query;
	struct sigv4_header headers[16];
	struct sigv4_request r = { .headers = headers, .payload = SPAN(SIGV4_UNSIGNED) };

	r.method = span_cut(&rest, '\n');
	r.path = span_cut(&rest, '\n');
	r.query = span_cut(&rest, '\n');
	r.signed_headers = span_cut(&rest, '\n');
	while (rest.n && r.header_count < ARRAY_LEN(headers)) {
		struct span line = span_cut(&rest, '\n');

		headers[r.header_count].name = span_cut(&line, ':');
		headers[r.header_count++].value = line;
	}
	query = sigv4_query(&a, r.query, NULL);
	check(span_eq(sigv4_query(&a, query, NULL), query));
	check(span_starts(sigv4_canonical(&a, &r), r.method));
	sigv2_string_to_sign(&a, &r, SPAN("bucket"), SPAN("1"));
	return 0;
}
