// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "codec/sigv4.h"

// The examples of "Signature Calculations for the Authorization Header" in the S3 API reference.
#define ACCESS "AKIAIOSFODNN7EXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define HOST "examplebucket.s3.amazonaws.com"
#define TIME "20130524T000000Z"
static const int64_t example_time_ns = INT64_C(1369353600) * 1000000000;

static struct sigv4_client example_client(void)
{
	return (struct sigv4_client){ .access = SPAN(ACCESS),
				      .secret = SPAN(SECRET),
				      .time_ns = example_time_ns };
}

static void assert_signed(struct sigv4_request r, const char *signature)
{
	auto_arena struct arena a = { 0 };
	struct sigv4_client c = example_client();
	struct span got = sigv4_authorization(&a, &c, &r);

	if (!span_ends(got, span_of(signature)))
		fail_msg(SPAN_FMT " does not end in %s", SPAN_ARG(got), signature);
}

static void the_examples_of_the_reference(void **state unused_arg)
{
	const struct sigv4_header get[] = {
		{ SPAN("Host"), SPAN(HOST) },
		{ SPAN("Range"), SPAN("bytes=0-9") },
		{ SPAN("x-amz-content-sha256"), SPAN(SIGV4_EMPTY_SHA256) },
		{ SPAN("x-amz-date"), SPAN(TIME) },
	};
	const struct sigv4_header plain[] = { get[0], get[2], get[3] };
	const struct span put_sum =
		SPAN("44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
	const struct sigv4_header put[] = {
		{ SPAN("Host"), SPAN(HOST) },
		{ SPAN("Date"), SPAN("Fri, 24 May 2013 00:00:00 GMT") },
		{ SPAN("x-amz-date"), SPAN(TIME) },
		{ SPAN("X-Amz-Storage-Class"), SPAN("REDUCED_REDUNDANCY") },
		{ SPAN("x-amz-content-sha256"), put_sum },
	};

	assert_signed((struct sigv4_request){ .method = SPAN("GET"),
					      .path = SPAN("/test.txt"),
					      .query = SPAN(""),
					      .headers = get,
					      .header_count = 4,
					      .payload = SPAN(SIGV4_EMPTY_SHA256) },
		      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
	assert_signed((struct sigv4_request){ .method = SPAN("PUT"),
					      .path = SPAN("/test%24file.text"),
					      .query = SPAN(""),
					      .headers = put,
					      .header_count = 5,
					      .payload = put_sum },
		      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
	assert_signed((struct sigv4_request){ .method = SPAN("GET"),
					      .path = SPAN("/"),
					      .query = SPAN("lifecycle"),
					      .headers = plain,
					      .header_count = 3,
					      .payload = SPAN(SIGV4_EMPTY_SHA256) },
		      "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
	assert_signed((struct sigv4_request){ .method = SPAN("GET"),
					      .path = SPAN("/"),
					      .query = SPAN("prefix=J&max-keys=2"),
					      .headers = plain,
					      .header_count = 3,
					      .payload = SPAN(SIGV4_EMPTY_SHA256) },
		      "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void the_presigned_example_of_the_reference(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	struct sigv4_client c = example_client();
	const struct sigv4_header host = { SPAN("host"), SPAN(HOST) };
	struct sigv4_request r = { .method = SPAN("GET"),
				   .path = SPAN("/test.txt"),
				   .query = SPAN(""),
				   .headers = &host,
				   .header_count = 1 };
	struct span query = sigv4_presign(&a, &c, &r, 86400);

	assert_true(span_ends(
		query, SPAN("&X-Amz-Signature="
			    "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")));
}

static void queries_are_decoded_once_encoded_and_sorted(void **state unused_arg)
{
	static const struct {
		struct span query;
		const char *canonical;
	} cases[] = {
		{ SPAN(""), "" },
		{ SPAN("b=2&a=1&a=0"), "a=0&a=1&b=2" },
		{ SPAN("uploads"), "uploads=" },
		{ SPAN("k=a/b c"), "k=a%2Fb%20c" },
		{ SPAN("k=a%2fb%20c~"), "k=a%2Fb%20c~" },
		{ SPAN("k=a+b"), "k=a%20b" },
		{ SPAN("k=%252F"), "k=%252F" },
		{ SPAN("a=x=y&&="), "=&a=x%3Dy" },
		{ SPAN("A=1&a=1&%41=0"), "A=0&A=1&a=1" },
		{ SPAN("X-Amz-Signature=x&z"), "z=" },
		// The encoded names are sorted, not the raw ones: '.' is below '%'... as bytes it is above.
		{ SPAN("a.=1&a%20=2"), "a%20=2&a.=1" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_arena struct arena a = { 0 };
		struct span got = sigv4_query(&a, cases[i].query, "X-Amz-Signature");

		if (!span_is(got, cases[i].canonical))
			fail_msg("'" SPAN_FMT "' is not '%s'", SPAN_ARG(got), cases[i].canonical);
	}
}

static void headers_are_joined_trimmed_and_folded(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	const struct sigv4_header headers[] = {
		{ SPAN("Host"), SPAN("h:9000") },  { SPAN("X-Amz-Meta-A"), SPAN("  one \t  two ") },
		{ SPAN("Not-Signed"), SPAN("x") }, { SPAN("x-amz-meta-a"), SPAN("three") },
		{ SPAN("x-empty"), SPAN("") },
	};
	struct sigv4_request r = { .method = SPAN("GET"),
				   .path = SPAN("/b//./k%2Fx"),
				   .query = SPAN(""),
				   .headers = headers,
				   .header_count = 5,
				   .signed_headers = SPAN("host;x-amz-meta-a;x-empty;x-gone"),
				   .payload = SPAN("P") };
	struct span got = sigv4_canonical(&a, &r);

	// What S3 encodes is the decoded path: an encoded slash comes out as a plain one, unless as is.
	assert_true(span_is(got, "GET\n/b//./k/x\n\nhost:h:9000\nx-amz-meta-a:one two,three\n"
				 "x-empty:\nx-gone:\n\nhost;x-amz-meta-a;x-empty;x-gone\nP"));
	r.path_as_is = true;
	got = sigv4_canonical(&a, &r);
	assert_true(span_starts(got, SPAN("GET\n/b//./k%2Fx\n")));
}

// "Signing and authenticating REST requests (version 2)" in the S3 developer guide.
static void the_version_2_examples_of_the_guide(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	char signature[32];
	const struct sigv4_header upload[] = {
		{ SPAN("Host"), SPAN("static.example.com:8080") },
		{ SPAN("x-amz-acl"), SPAN("public-read") },
		{ SPAN("content-type"), SPAN("application/x-download") },
		{ SPAN("Content-MD5"), SPAN("4gJE4saaMU4BqNR0kLY+lw==") },
		{ SPAN("X-Amz-Meta-ReviewedBy"), SPAN("joe@example.com") },
		{ SPAN("X-Amz-Meta-ReviewedBy"), SPAN("jane@example.com") },
		{ SPAN("X-Amz-Meta-FileChecksum"), SPAN("0x02661779") },
		{ SPAN("X-Amz-Meta-ChecksumAlgorithm"), SPAN("crc32") },
	};
	struct sigv4_request get = { .method = SPAN("GET"),
				     .path = SPAN("/photos/puppy.jpg"),
				     .query = SPAN("AWSAccessKeyId=x&Expires=1175139620") };
	struct sigv4_request put = { .method = SPAN("PUT"),
				     .path = SPAN("/db-backup.dat.gz"),
				     .query = SPAN("versionId=v%201&uploadId=u&x=y"),
				     .headers = upload,
				     .header_count = 8 };
	struct span text =
		sigv2_string_to_sign(&a, &get, SPAN("awsexamplebucket1"), SPAN("1175139620"));

	assert_true(span_is(text, "GET\n\n\n1175139620\n/awsexamplebucket1/photos/puppy.jpg"));
	text = sigv2_string_to_sign(&a, &put, SPAN("static.example.com"), SPAN("1"));
	assert_true(span_is(text, "PUT\n4gJE4saaMU4BqNR0kLY+lw==\napplication/x-download\n1\n"
				  "x-amz-acl:public-read\n"
				  "x-amz-meta-checksumalgorithm:crc32\n"
				  "x-amz-meta-filechecksum:0x02661779\n"
				  "x-amz-meta-reviewedby:joe@example.com,jane@example.com\n"
				  "/static.example.com/db-backup.dat.gz?uploadId=u&versionId=v 1"));
	// RFC 2202 case 2.
	sigv2_sign(SPAN("Jefe"), SPAN("what do ya want for nothing?"), signature);
	assert_string_equal(signature, "7/zfauXrL6LSdBbV8YTfnCWafHk=");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_examples_of_the_reference),
		cmocka_unit_test(the_presigned_example_of_the_reference),
		cmocka_unit_test(queries_are_decoded_once_encoded_and_sorted),
		cmocka_unit_test(headers_are_joined_trimmed_and_folded),
		cmocka_unit_test(the_version_2_examples_of_the_guide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
