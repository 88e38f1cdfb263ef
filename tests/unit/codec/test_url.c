// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "codec/url.h"

static void assert_span(struct span s, const char *text)
{
	if (!span_is(s, text))
		fail_msg("'" SPAN_FMT "' is not '%s'", SPAN_ARG(s), text);
}

static void decoding_leaves_malformed_escapes(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };

	assert_span(url_decode(&a, SPAN("a%20b%2fc"), URL_PLUS_KEEP), "a b/c");
	assert_span(url_decode(&a, SPAN("%"), URL_PLUS_KEEP), "%");
	assert_span(url_decode(&a, SPAN("%4"), URL_PLUS_KEEP), "%4");
	assert_span(url_decode(&a, SPAN("%4g%41"), URL_PLUS_KEEP), "%4gA");
	assert_span(url_decode(&a, SPAN("%25%34%31"), URL_PLUS_KEEP), "%41"); // once only
	assert_span(url_decode(&a, SPAN("a+b"), URL_PLUS_KEEP), "a+b");
	assert_span(url_decode(&a, SPAN("a+b%2B"), URL_PLUS_BLANK), "a b+");
	assert_int_equal(url_decode(&a, SPAN("%00x"), URL_PLUS_KEEP).n, 2);
}

static void encoding_keeps_the_unreserved_only(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	auto_buf struct buf b;

	assert_span(url_encode_arena(&a, SPAN("a-b_c.d~e/f g+h*\303\244"), "/"),
		    "a-b_c.d~e/f%20g%2Bh%2A%C3%A4");
	assert_span(url_encode_arena(&a, SPAN("/"), ""), "%2F");
	assert_span(url_encode_arena(&a, span_make("\0", 1), "/"), "%00");
	buf_init(&b, 100);
	url_encode_form(&b, SPAN("a b+c"), "");
	assert_span(buf_span(&b), "a+b%2Bc");
}

static void a_query_is_walked_and_searched(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	struct span rest = SPAN("&a=1&&b&c=x=y&%61%62=%2B+"), n, v;

	assert_true(url_query_next(&rest, &n, &v));
	assert_span(n, "a");
	assert_span(v, "1");
	assert_true(url_query_next(&rest, &n, &v));
	assert_span(n, "b");
	assert_span(v, "");
	assert_true(url_query_next(&rest, &n, &v));
	assert_span(n, "c");
	assert_span(v, "x=y");
	assert_true(url_query_next(&rest, &n, &v));
	assert_false(url_query_next(&rest, &n, &v));
	assert_true(url_query_get(&a, SPAN("x&%61%62=%2B+"), "ab", &v));
	assert_span(v, "+ ");
	assert_false(url_query_get(&a, SPAN("x&ab"), "a", &v));
}

static void escaped_bytes_are_found(void **state unused_arg)
{
	assert_true(url_has_escaped(SPAN("/a%00"), 0));
	assert_false(url_has_escaped(SPAN("/a%2500%0"), 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decoding_leaves_malformed_escapes),
		cmocka_unit_test(encoding_keeps_the_unreserved_only),
		cmocka_unit_test(a_query_is_walked_and_searched),
		cmocka_unit_test(escaped_bytes_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
