// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/mem.h"
#include "s3/cors.h"

static const char document[] =
	"<CORSConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
	"<CORSRule><AllowedOrigin>http://*.a.org</AllowedOrigin><AllowedMethod>PUT</AllowedMethod>"
	"<AllowedMethod>GET</AllowedMethod><AllowedHeader>x-amz-*</AllowedHeader></CORSRule>"
	"<CORSRule><ID>all</ID><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"
	"<ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>5</MaxAgeSeconds></CORSRule>"
	"</CORSConfiguration>";

static void the_first_fitting_rule_counts(void **state unused_arg)
{
	auto_arena struct arena mem = { 0 };
	struct span allowed;
	struct s3_cors c;
	struct err e = { 0 };

	assert_int_equal(s3_cors_parse(&mem, span_of(document), &c, &e), 0);
	assert_ptr_equal(s3_cors_find(&c, SPAN("http://x.a.org"), SPAN("PUT"),
				      SPAN("X-AMZ-Date, x-amz-acl"), &allowed),
			 &c.rules[0]);
	assert_true(span_is(allowed, "http://x.a.org"));
	assert_null(
		s3_cors_find(&c, SPAN("http://x.a.org"), SPAN("PUT"), SPAN("x-other"), &allowed));
	assert_null(s3_cors_find(&c, SPAN("http://.a.or"), SPAN("PUT"), SPAN(""), &allowed));
	assert_null(s3_cors_find(&c, SPAN("http://x.a.org"), SPAN("put"), SPAN(""), &allowed));
	assert_ptr_equal(s3_cors_find(&c, SPAN("http://b"), SPAN("GET"), SPAN(""), &allowed),
			 &c.rules[1]);
	assert_true(span_is(allowed, "*"));
	assert_null(s3_cors_find(&c, SPAN("http://b"), SPAN("GET"), SPAN("x-amz-a"), &allowed));
}

static void what_was_read_is_written(void **state unused_arg)
{
	auto_arena struct arena mem = { 0 };
	auto_buf struct buf b = { 0 };
	struct s3_cors c;
	struct err e = { 0 };

	assert_int_equal(s3_cors_parse(&mem, span_of(document), &c, &e), 0);
	buf_init(&b, 65536);
	s3_cors_print(&b, &c);
	assert_non_null(strstr(document, b.p));
}

static enum err_code fault(const char *rule)
{
	auto_free char *doc = mem_printf("<CORSConfiguration>%s</CORSConfiguration>", rule);
	auto_arena struct arena mem = { 0 };
	struct s3_cors c;
	struct err e = { 0 };

	return s3_cors_parse(&mem, span_of(doc), &c, &e) < 0 ? e.code : ERR_NONE;
}

static void what_is_no_rule_is_refused(void **state unused_arg)
{
	assert_int_equal(fault(""), ERR_INVALID);
	assert_int_equal(fault("<CORSRule/>"), ERR_INVALID);
	assert_int_equal(fault("<CORSRule><AllowedOrigin>*</AllowedOrigin></CORSRule>"),
			 ERR_INVALID);
	assert_int_equal(fault("<CORSRule><AllowedOrigin>*</AllowedOrigin>"
			       "<AllowedMethod>OPTIONS</AllowedMethod></CORSRule>"),
			 ERR_UNSUPPORTED);
	assert_int_equal(fault("<CORSRule><AllowedOrigin>*.*</AllowedOrigin>"
			       "<AllowedMethod>GET</AllowedMethod></CORSRule>"),
			 ERR_UNSUPPORTED);
	assert_int_equal(fault("<"), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_fitting_rule_counts),
		cmocka_unit_test(what_was_read_is_written),
		cmocka_unit_test(what_is_no_rule_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
