// http_head, http_body: heads of answers, how long their bodies are, and what is in them.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "codec/http_body.h"
#include "codec/range.h"

#include <stdio.h>

static int parse(const char *text, struct http_head *out)
{
	struct err e = { 0 };

	return http_head_parse(span_of(text), out, &e);
}

static void bodies_end_where_the_head_says(void **state unused_arg)
{
	struct http_head h;

	assert_int_equal(parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"x\" \r\n\r\n", &h),
			 0);
	assert_int_equal(h.status, 200);
	assert_int_equal(h.length, 5);
	assert_false(h.close);
	assert_true(span_is(http_head_get(&h, "etag"), "\"x\""));
	assert_null(http_head_get(&h, "date").p);
	assert_int_equal(parse("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", &h), 0);
	assert_true(h.chunked);
	assert_false(h.close);
	assert_int_equal(parse("HTTP/1.1 200 OK\r\n\r\n", &h), 0);
	assert_int_equal(h.length, -1);
	assert_true(h.close);
	assert_int_equal(parse("HTTP/1.0 200 OK\nContent-Length: 1\n\n", &h), 0);
	assert_true(h.close);
	assert_int_equal(parse("HTTP/1.1 204 No Content\r\n\r\n", &h), 0);
	assert_int_equal(h.length, 0);
	assert_false(h.close);
}

static void disputed_heads_are_refused(void **state unused_arg)
{
	static const char *const bad[] = {
		"",
		"HTTP/1.1 200 OK\r\n",
		"HTTP/2 200 OK\r\n\r\n",
		"HTTP/1.1 2x0 OK\r\n\r\n",
		"HTTP/1.1 2000\r\n\r\n",
		"HTTP/1.1 99 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA(b): 5\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: c\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\x01\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
	};
	struct http_head h;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (parse(bad[i], &h) == 0)
			fail_msg("taken: %s", bad[i]);
}

static void chunk_sizes_and_ranges(void **state unused_arg)
{
	struct err e = { 0 };
	uint64_t n, last, total;

	assert_int_equal(http_chunk_size(SPAN("1aF;x=y\r\n"), &n, &e), 0);
	assert_int_equal(n, 0x1af);
	assert_int_equal(http_chunk_size(SPAN("\r\n"), &n, &e), -1);
	assert_int_equal(http_chunk_size(SPAN("-1"), &n, &e), -1);
	assert_int_equal(http_chunk_size(SPAN("ffffffffffffffff"), &n, &e), -1);
	assert_true(range_of_content(SPAN("bytes 5-9/10"), &n, &last, &total));
	assert_int_equal(n + last + total, 24);
	assert_true(range_of_content(SPAN("bytes 0-0/*"), &n, &last, &total));
	assert_false(range_of_content(SPAN("bytes 5-10/10"), &n, &last, &total));
	assert_false(range_of_content(SPAN("bytes 5-4/10"), &n, &last, &total));
	assert_false(range_of_content(SPAN("bytes */10"), &n, &last, &total));
}

// What a body holds when it comes in pieces of `step` bytes; NULL when it is refused or does not end.
static const char *content(const char *head, const char *text, size_t step, bool ends)
{
	static char out[256], in[256];
	size_t n = 0, held = 0, size = strlen(text);
	struct err e = { 0 };
	struct http_head h;
	struct http_body b;

	assert_int_equal(parse(head, &h), 0);
	http_body_begin(&b, &h, false);
	for (size_t at = 0; at < size && !b.done;) {
		size_t k = size - at < step ? size - at : step;
		struct span rest, piece;

		memcpy(in + held, text + at, k);
		at += k;
		rest = span_make(in, held + k);
		do {
			if (http_body_next(&b, &rest, &piece, &e) < 0)
				return NULL;
			memcpy(out + n, piece.p, piece.n);
			n += piece.n;
		} while (piece.n);
		held = rest.n;
		memmove(in, rest.p, held);
	}
	out[n] = '\0';
	return (ends ? http_body_end(&b, &e) == 0 : b.done) ? out : NULL;
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

static void bodies_are_read_in_pieces_of_any_size(void **state unused_arg)
{
	for (size_t step = 1; step < 40; step++) {
		assert_string_equal(content(CHUNKED,
					    "3\r\nabc\r\n4;x=\"y\"\r\ndefg\r\n0\r\nT: v\r\n\r\n",
					    step, false),
				    "abcdefg");
		assert_string_equal(content("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "abcd",
					    step, false),
				    "abc");
		assert_string_equal(content("HTTP/1.1 200 OK\r\n\r\n", "abc", step, true), "abc");
		assert_null(
			content("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "abc", step, true));
		assert_null(content(CHUNKED, "3\r\nabcd\r\n0\r\n\r\n", step, false));
		assert_null(content(CHUNKED, "3\r\nabc\r\nzz\r\n", step, false));
		assert_null(content(CHUNKED, "3\r\nabc\r\n", step, true));
	}
}

static void bodies_that_do_not_come_are_done(void **state unused_arg)
{
	struct http_head h;
	struct http_body b;

	assert_int_equal(parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &h), 0);
	http_body_begin(&b, &h, true);
	assert_true(b.done);
	assert_int_equal(parse("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", &h), 0);
	http_body_begin(&b, &h, false);
	assert_true(b.done);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_end_where_the_head_says),
		cmocka_unit_test(disputed_heads_are_refused),
		cmocka_unit_test(chunk_sizes_and_ranges),
		cmocka_unit_test(bodies_are_read_in_pieces_of_any_size),
		cmocka_unit_test(bodies_that_do_not_come_are_done),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
