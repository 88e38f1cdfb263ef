// SPDX-License-Identifier: Apache-2.0
// The rules of the wire that need no server: ranges, checksums, the table of errors.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "codec/crc.h"
#include "codec/range.h"
#include "s3/request.h"

static void ranges_are_read_as_the_peers_do(void **state unused_arg)
{
	static const struct {
		const char *text;
		uint64_t size;
		enum range kind;
		uint64_t from, n;
	} cases[] = {
		{ "", 10, RANGE_WHOLE, 0, 0 },
		{ "bytes=0-0", 10, RANGE_PART, 0, 1 },
		{ "bytes=2-", 10, RANGE_PART, 2, 8 },
		{ "bytes=9-99", 10, RANGE_PART, 9, 1 },
		{ "bytes=-4", 10, RANGE_PART, 6, 4 },
		{ "bytes=-40", 10, RANGE_PART, 0, 10 },
		{ "bytes=10-", 10, RANGE_NOT, 0, 0 },
		{ "bytes=-0", 10, RANGE_NOT, 0, 0 },
		{ "bytes=0-", 0, RANGE_NOT, 0, 0 },
		{ "bytes=-1", 0, RANGE_NOT, 0, 0 },
		{ "bytes=5-4", 10, RANGE_WHOLE, 0, 0 },
		{ "bytes=-", 10, RANGE_WHOLE, 0, 0 },
		{ "bytes=a-b", 10, RANGE_WHOLE, 0, 0 },
		{ "bytes=0-1,4-5", 10, RANGE_WHOLE, 0, 0 },
		{ "items=0-1", 10, RANGE_WHOLE, 0, 0 },
		{ "bytes=0-18446744073709551615", 10, RANGE_PART, 0, 10 },
		{ "bytes=0-18446744073709551616", 10, RANGE_WHOLE, 0, 0 },
		{ "bytes=18446744073709551615-", 10, RANGE_NOT, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t from = 0, n = 0;
		enum range kind = range_parse(span_of(cases[i].text), cases[i].size, &from, &n);

		if (kind != cases[i].kind || from != cases[i].from || n != cases[i].n)
			fail_msg("%s of %d: %d, %d, %d", cases[i].text, (int)cases[i].size, kind,
				 (int)from, (int)n);
	}
}

static void sum(enum s3_sum_kind kind, const char *text, char out[static S3_SUM_TEXT])
{
	struct s3_sum s;

	s3_sum_init(&s, kind);
	s3_sum_update(&s, span_of(text));
	s3_sum_final(&s, out);
}

// Check values of the algorithms, in base64 and with the highest byte first.
static void checksums_are_written_as_s3_does(void **state unused_arg)
{
	static const char *const wanted[] = {
		[S3_SUM_NONE] = "",
		[S3_SUM_CRC32] = "y/Q5Jg==",
		[S3_SUM_CRC32C] = "4waSgw==",
		[S3_SUM_CRC64NVME] = "rosUhgp5mIg=",
		[S3_SUM_SHA1] = "98O8HYCOBHMq32eZZczDTKeuNEE=",
		[S3_SUM_SHA256] = "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
	};

	for (int k = S3_SUM_NONE; k < S3_SUM_KINDS; k++) {
		char text[S3_SUM_TEXT];

		sum((enum s3_sum_kind)k, "123456789", text);
		assert_string_equal(text, wanted[k]);
		if (k)
			assert_true(s3_sum_valid((enum s3_sum_kind)k, span_of(text)));
		assert_false(s3_sum_valid((enum s3_sum_kind)k, SPAN("AAA=")));
	}
	assert_int_equal(s3_sum_named(SPAN("crc64nvme")), S3_SUM_CRC64NVME);
	assert_int_equal(s3_sum_named(SPAN("MD5")), S3_SUM_NONE);
	assert_int_equal(s3_sum_of_header(SPAN("X-Amz-Checksum-SHA1")), S3_SUM_SHA1);
}

static void full_object_sums_are_those_of_the_whole(void **state unused_arg)
{
	for (int k = S3_SUM_CRC32; k <= S3_SUM_CRC64NVME; k++) {
		enum s3_sum_kind kind = (enum s3_sum_kind)k;
		char a[S3_SUM_TEXT], b[S3_SUM_TEXT], whole[S3_SUM_TEXT], joined[S3_SUM_TEXT];

		sum(kind, "the first part, ", a);
		sum(kind, "and the second", b);
		sum(kind, "the first part, and the second", whole);
		const struct s3_sum_part parts[] = { { span_of(a), 16 }, { span_of(b), 14 } };
		assert_true(s3_sum_full(kind, parts, 2, joined));
		assert_string_equal(joined, whole);
		assert_true(s3_sum_composite(kind, parts, 2, joined));
		assert_true(span_ends(span_of(joined), SPAN("-2")));
	}
	const struct s3_sum_part none[] = { { SPAN(""), 1 } };
	char text[S3_SUM_TEXT];

	assert_false(s3_sum_full(S3_SUM_CRC32, none, 1, text));
	assert_false(s3_sum_composite(S3_SUM_SHA1, none, 1, text));
	assert_false(s3_sum_full(S3_SUM_SHA1, none, 0, text));
}

static void kept_checksums_are_read_back(void **state unused_arg)
{
	struct s3_sum_kept k = s3_sum_parse(SPAN("CRC32:AAAAAA==-2:COMPOSITE"));

	assert_int_equal(k.kind, S3_SUM_CRC32);
	assert_true(span_is(k.value, "AAAAAA==-2"));
	assert_true(span_is(k.type, "COMPOSITE"));
	k = s3_sum_parse(SPAN("SHA1::COMPOSITE"));
	assert_int_equal(k.kind, S3_SUM_SHA1);
	assert_int_equal(k.value.n, 0);
	assert_int_equal(s3_sum_parse(SPAN("")).kind, S3_SUM_NONE);
}

static void every_error_has_its_status_and_code(void **state unused_arg)
{
	for (int c = S3_ACCESS_DENIED; c < S3_CODES; c++) {
		const struct s3_error *f = s3_error((enum s3_code)c);

		assert_in_range(f->status, 304, 599);
		assert_non_null(f->code);
		assert_non_null(f->text);
	}
	for (int c = ERR_INVALID; c <= ERR_BUG; c++) {
		struct err e = { .code = (enum err_code)c };

		assert_in_range(s3_error(s3_code_of_store(&e))->status, 400, 599);
	}
	for (int fault = AUTHN_MALFORMED; fault <= AUTHN_UNSUPPORTED; fault++) {
		struct err e = { .code = ERR_DENIED, .sys = fault };

		assert_int_not_equal(s3_code_of_authn(&e), S3_INTERNAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_read_as_the_peers_do),
		cmocka_unit_test(checksums_are_written_as_s3_does),
		cmocka_unit_test(full_object_sums_are_those_of_the_whole),
		cmocka_unit_test(kept_checksums_are_read_back),
		cmocka_unit_test(every_error_has_its_status_and_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
