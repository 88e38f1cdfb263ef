// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "codec/aws_chunked.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

static int collect(void *owner, struct span bytes, struct err *e)
{
	return buf_add_span(owner, bytes) ? 0 : err_set(e, ERR_LIMIT, "too much");
}

static const struct sigv4_scope scope = { { "20130524", 8 }, { "us-east-1", 9 }, { "s3", 2 } };

struct rig {
	struct arena arena;
	struct aws_chunked c;
	struct buf out;
	uint8_t key[32];
};

static void rig_init(struct rig *r, enum aws_chunked_form form, uint64_t size, const char *seed)
{
	struct aws_chunked_options o = { .form = form,
					 .size = size,
					 .arena = &r->arena,
					 .key = span_make(r->key, 32),
					 .time = SPAN("20130524T000000Z"),
					 .scope = scope,
					 .seed = span_of(seed),
					 .sink = collect,
					 .owner = &r->out };

	r->arena = (struct arena){ 0 };
	buf_init(&r->out, 1 << 20);
	sigv4_key(SPAN(SECRET), &scope, r->key);
	aws_chunked_init(&r->c, &o);
}

static void rig_release(struct rig *r)
{
	aws_chunked_release(&r->c);
	buf_release(&r->out);
	arena_release(&r->arena);
}

// Feeds the body in pieces of every given size; the result of the whole.
static int feed(struct rig *r, struct span body, size_t piece, struct err *e)
{
	while (body.n) {
		if (aws_chunked_feed(&r->c, span_head(body, piece), e) < 0)
			return -1;
		body = span_from(body, piece);
	}
	return aws_chunked_end(&r->c, e);
}

static void add_letters(struct buf *b, size_t n)
{
	memset(buf_room(b, n), 'a', n);
	buf_grown(b, n);
}

// "Transferring payload in multiple chunks" in the S3 API reference: 66560 letters 'a'.
static void signed_example(struct buf *b, const char *last)
{
	buf_init(b, 1 << 20);
	buf_add_str(b, "10000;chunk-signature="
		       "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n");
	add_letters(b, 65536);
	buf_add_str(b, "\r\n400;chunk-signature="
		       "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n");
	add_letters(b, 1024);
	buf_printf(b, "\r\n0;chunk-signature=%s\r\n\r\n", last);
}

#define SIGNED_SEED "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
#define SIGNED_LAST "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"

static void the_signed_example_of_the_reference(void **state unused_arg)
{
	static const size_t pieces[] = { 1, 7, 65536, 1 << 20 };
	auto_buf struct buf body;

	signed_example(&body, SIGNED_LAST);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct err e = { 0 };
		struct rig r;

		rig_init(&r, AWS_CHUNKED_SIGNED, 66560, SIGNED_SEED);
		if (feed(&r, buf_span(&body), pieces[i], &e) < 0)
			fail_msg("%s", e.msg);
		assert_int_equal(r.out.n, 66560);
		rig_release(&r);
	}
}

// "Transferring payload in multiple chunks with trailing headers" in the same place.
static void the_signed_trailer_example_of_the_reference(void **state unused_arg)
{
	static const char *const ends[] = {
		"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:%s\r\n\r\n",
		// as another client writes it
		"x-amz-checksum-crc32c:sOO8/Q==\n\r\nx-amz-trailer-signature:%s\r\n\r\n\r\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		struct err e = { 0 };
		struct rig r;
		auto_buf struct buf body;

		buf_init(&body, 1 << 20);
		buf_add_str(&body,
			    "10000;chunk-signature="
			    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n");
		add_letters(&body, 65536);
		buf_add_str(&body,
			    "\r\n400;chunk-signature="
			    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n");
		add_letters(&body, 1024);
		buf_add_str(&body,
			    "\r\n0;chunk-signature="
			    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n");
		if (i == 0)
			buf_printf(
				&body,
				"x-amz-checksum-crc32c:sOO8/"
				"Q==\r\nx-amz-trailer-signature:%s\r\n\r\n",
				"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435");
		else
			buf_printf(
				&body,
				"x-amz-checksum-crc32c:sOO8/Q==\n\r\n"
				"x-amz-trailer-signature:%s\r\n\r\n\r\n",
				"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435");
		rig_init(&r, AWS_CHUNKED_SIGNED_TRAILER, 66560,
			 "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e");
		if (feed(&r, buf_span(&body), 100, &e) < 0)
			fail_msg("%s", e.msg);
		assert_true(
			span_is(aws_chunked_trailer(&r.c, "x-amz-checksum-crc32c"), "sOO8/Q=="));
		rig_release(&r);
	}
}

static void an_unsigned_body_with_a_trailer(void **state unused_arg)
{
	static const char *const bodies[] = {
		"4\r\nWiki\r\n5\r\npedia\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
		"9\r\nWikipedia\r\n0\r\nx-amz-checksum-crc32: AAAAAA==\n\r\n",
		"00009\r\nWikipedia\r\n0\r\nX-Amz-Checksum-CRC32:AAAAAA==\r\n\r\n\r\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		for (size_t piece = 1; piece < 5; piece++) {
			struct err e = { 0 };
			struct rig r;

			rig_init(&r, AWS_CHUNKED_TRAILER, 9, "");
			if (feed(&r, span_of(bodies[i]), piece, &e) < 0)
				fail_msg("%s: %s", bodies[i], e.msg);
			assert_true(span_is(buf_span(&r.out), "Wikipedia"));
			assert_true(span_is(aws_chunked_trailer(&r.c, "x-amz-checksum-crc32"),
					    "AAAAAA=="));
			assert_null(aws_chunked_trailer(&r.c, "x-amz-checksum-sha1").p);
			rig_release(&r);
		}
}

static void broken_framing_is_refused(void **state unused_arg)
{
	static const char *const bodies[] = {
		"",
		"Wikipedia",
		"9\r\nWikipedia",
		"9\r\nWikipedia\r\n",
		"9\r\nWikipedia\r\n0\r\n",
		"9\r\nWikipedia\r\n0\r\nx-amz-checksum-crc32:A",
		"8\r\nWikipedia\r\n0\r\n\r\n",
		"8\r\nWikipedi\r\n0\r\n\r\n",
		"a\r\nWikipediaX\r\n0\r\n\r\n",
		"9\nWikipedia\r\n0\r\n\r\n",
		"-9\r\nWikipedia\r\n0\r\n\r\n",
		"0x9\r\nWikipedia\r\n0\r\n\r\n",
		"\r\n9\r\nWikipedia\r\n0\r\n\r\n",
		"ffffffffffffffff\r\nWikipedia\r\n0\r\n\r\n",
		"10000000000000009\r\nWikipedia\r\n0\r\n\r\n",
		"9\r\nWikipedia\r\n0\r\nnocolon\r\n\r\n",
		"9\r\nWikipedia\r\n0\r\n:x\r\n\r\n",
		"9\r\nWikipedia\r\n0\r\n\r\nmore",
		"9\r\nWikipedia\r\n0\r\n\r\nmore:x\r\n",
		"9\r\nWikipedia\r\n0\r\nx-amz-trailer-signature:00\r\n\r\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct err e = { 0 };
		struct rig r;

		rig_init(&r, AWS_CHUNKED_TRAILER, 9, "");
		if (feed(&r, span_of(bodies[i]), 3, &e) == 0)
			fail_msg("accepted: %s", bodies[i]);
		assert_int_equal(e.code, ERR_PROTOCOL);
		rig_release(&r);
	}
}

static void changed_chunks_are_refused(void **state unused_arg)
{
	auto_buf struct buf body;
	static const size_t places[] = { 30, 100, 65536, 66000 };

	signed_example(&body, SIGNED_LAST);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		struct err e = { 0 };
		struct rig r;

		body.p[places[i]] ^= 1;
		rig_init(&r, AWS_CHUNKED_SIGNED, 66560, SIGNED_SEED);
		assert_int_equal(feed(&r, buf_span(&body), 4096, &e), -1);
		assert_int_equal(e.code, ERR_UNAUTH);
		rig_release(&r);
		body.p[places[i]] ^= 1;
	}
	// A chunk left out, by whole signatures: the chain breaks.
	buf_release(&body);
	signed_example(&body, SIGNED_LAST);
	buf_drop(&body, 65536 + 7 + 16 + 64 + 2);
	struct err e = { 0 };
	struct rig r;

	rig_init(&r, AWS_CHUNKED_SIGNED, 1024, SIGNED_SEED);
	assert_int_equal(feed(&r, buf_span(&body), 4096, &e), -1);
	rig_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_signed_example_of_the_reference),
		cmocka_unit_test(the_signed_trailer_example_of_the_reference),
		cmocka_unit_test(an_unsigned_body_with_a_trailer),
		cmocka_unit_test(broken_framing_is_refused),
		cmocka_unit_test(changed_chunks_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
