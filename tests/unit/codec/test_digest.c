// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/crc.h"
#include "codec/digest.h"
#include "codec/md5_lanes.h"
#include "codec/text.h"

// RFC 1321, RFC 3174, FIPS 180-4 examples.
static void digests_of_the_standards(void **state unused_arg)
{
	static const struct {
		enum digest_kind kind;
		const char *text, *sum;
	} cases[] = {
		{ DIGEST_MD5, "", "d41d8cd98f00b204e9800998ecf8427e" },
		{ DIGEST_MD5, "message digest", "f96b697d7cb7938d525a2f31aaf161d0" },
		{ DIGEST_SHA1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d" },
		{ DIGEST_SHA256, "abc",
		  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t sum[DIGEST_MAX];
		char hex[TEXT_HEX_SIZE(DIGEST_MAX)];
		struct digest d;

		digest_init(&d, cases[i].kind);
		for (const char *p = cases[i].text; *p; p++) // a byte at a time
			digest_update(&d, span_make(p, 1));
		digest_final(&d, sum);
		assert_string_equal(text_hex(hex, sum, digest_size(cases[i].kind)), cases[i].sum);
	}
}

// RFC 4231 2.2 and 4.7 (a key longer than a block), RFC 2202 for SHA-1.
static void hmac_of_the_standards(void **state unused_arg)
{
	uint8_t sum[DIGEST_MAX], key[131];
	char hex[TEXT_HEX_SIZE(DIGEST_MAX)];

	memset(key, 0x0b, 20);
	digest_hmac(DIGEST_SHA256, span_make(key, 20), SPAN("Hi There"), sum);
	assert_string_equal(text_hex(hex, sum, 32),
			    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	digest_hmac(DIGEST_SHA1, span_make(key, 20), SPAN("Hi There"), sum);
	assert_string_equal(text_hex(hex, sum, 20), "b617318655057264e28bc0b6fb378c8ef146be00");
	memset(key, 0xaa, 131);
	digest_hmac(DIGEST_SHA256, span_make(key, 131),
		    SPAN("Test Using Larger Than Block-Size Key - Hash Key First"), sum);
	assert_string_equal(text_hex(hex, sum, 32),
			    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void base64_round_trip_and_refusals(void **state unused_arg)
{
	static const char *const bad[] = { "a",	   "Zg=",      "Zg",   "Z===",	 "Zh==",
					   "Zm9=", "Zg==Zg==", "Z g=", "Zm9v\n", "====" };
	char text[64];
	uint8_t out[16];

	assert_string_equal(text_base64(text, "", 0), "");
	assert_string_equal(text_base64(text, "f", 1), "Zg==");
	assert_string_equal(text_base64(text, "fo", 2), "Zm8=");
	assert_string_equal(text_base64(text, "foo", 3), "Zm9v");
	assert_int_equal(text_unbase64(out, 16, SPAN("Zm9vYg==")), 4);
	assert_memory_equal(out, "foob", 4);
	assert_int_equal(text_unbase64(out, 16, SPAN("")), 0);
	assert_int_equal(text_unbase64(out, 3, SPAN("Zm9vYg==")), -1);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(text_unbase64(out, 16, span_of(bad[i])), -1);
}

static void hexadecimal_is_exact(void **state unused_arg)
{
	uint8_t out[2];

	assert_true(text_unhex(out, 2, SPAN("0aFf")));
	assert_int_equal(out[0], 10);
	assert_int_equal(out[1], 255);
	assert_false(text_unhex(out, 2, SPAN("0aF")));
	assert_false(text_unhex(out, 2, SPAN("0aFg")));
}

static void a_number_of_hexadecimal_digits_has_some_and_not_too_many(void **state unused_arg)
{
	uint64_t n = 7;

	assert_true(text_hex_number(SPAN("0aFf"), 4, &n));
	assert_int_equal(n, 0x0aff);
	assert_true(text_hex_number(SPAN("ffffffffffffffff"), 16, &n));
	assert_true(n == UINT64_MAX);
	assert_false(text_hex_number(SPAN(""), 16, &n));
	assert_false(text_hex_number(SPAN("fffff"), 4, &n));
	assert_false(text_hex_number(SPAN("1g"), 16, &n));
	assert_false(text_hex_number(SPAN("-1"), 16, &n));
	assert_true(n == UINT64_MAX);
}

// The check values of the catalogue of parametrised CRC algorithms.
static void crc_check_values(void **state unused_arg)
{
	assert_true(crc_update(CRC_32, 0, SPAN("123456789")) == 0xcbf43926);
	assert_true(crc_update(CRC_32C, 0, SPAN("123456789")) == 0xe3069283);
	assert_true(crc_update(CRC_64NVME, 0, SPAN("123456789")) == 0xae8b14860a799888);
}

static void crc_folded_equals_plain(void **state unused_arg)
{
	char bytes[700];

	rand_bytes(bytes, sizeof(bytes));
	for (int kind = CRC_32; kind <= CRC_64NVME; kind++)
		for (size_t n = 0; n < 600; n++) {
			struct span s = span_make(bytes + n % 17, n);
			uint64_t start = crc_update_plain((enum crc_kind)kind, 0, SPAN("start"));

			assert_true(crc_update((enum crc_kind)kind, start, s) ==
				    crc_update_plain((enum crc_kind)kind, start, s));
		}
}

static void crc_combine_equals_the_sum_of_both(void **state unused_arg)
{
	char bytes[1000];

	rand_bytes(bytes, sizeof(bytes));
	for (int k = CRC_32; k <= CRC_64NVME; k++)
		for (size_t at = 0; at <= 1000; at += 125) {
			enum crc_kind kind = (enum crc_kind)k;
			uint64_t a = crc_update(kind, 0, span_make(bytes, at));
			uint64_t b = crc_update(kind, 0, span_make(bytes + at, 1000 - at));

			assert_true(crc_combine(kind, a, b, 1000 - at) ==
				    crc_update(kind, 0, span_make(bytes, 1000)));
		}
}

static void speeds(void **state unused_arg)
{
	enum { SIZE = 1 << 20, ROUNDS = 64 };
	char *bytes = mem_zalloc(SIZE);
	int64_t start = clock_mono_ns();
	uint64_t crc = 0;

	for (int i = 0; i < ROUNDS; i++)
		crc = crc_update(CRC_64NVME, crc, span_make(bytes, SIZE));
	print_message("# CRC-64/NVME %.1f GB/s (%llx)\n",
		      (double)SIZE * ROUNDS / (double)(clock_mono_ns() - start),
		      (unsigned long long)crc);
	mem_free(bytes);
}

// Streams of all counts, also where they cannot go side by side.
static void md5_side_by_side_is_md5(void **state unused_arg)
{
	static unsigned char bytes[DIGEST_SIDE_BY_SIDE][1024];
	static const size_t sizes[] = { 64, 1024, 100, 0 };

	rand_bytes(bytes, sizeof(bytes));
	for (size_t n = 1; n <= DIGEST_SIDE_BY_SIDE; n++) {
		struct digest d[DIGEST_SIDE_BY_SIDE], *p[DIGEST_SIDE_BY_SIDE], alone;
		const unsigned char *b[DIGEST_SIDE_BY_SIDE];
		uint8_t sum[DIGEST_MAX], want[DIGEST_MAX];

		for (size_t i = 0; i < n; i++) {
			digest_init(p[i] = &d[i], DIGEST_MD5);
			b[i] = bytes[i];
		}
		for (size_t k = 0; k < ARRAY_LEN(sizes); k++)
			digest_update_md5s(p, b, sizes[k], n);
		for (size_t i = 0; i < n; i++) {
			digest_init(&alone, DIGEST_MD5);
			for (size_t k = 0; k < ARRAY_LEN(sizes); k++)
				digest_update(&alone, span_make(b[i], sizes[k]));
			digest_final(&alone, want);
			digest_final(&d[i], sum);
			assert_memory_equal(sum, want, 16);
		}
	}
}

// The first block of "abc" padded, RFC 1321 A.5, beside seven others, in each way this machine can.
static void all_kinds_of_lanes_agree(void **state unused_arg)
{
	static const uint32_t begin[4] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };
	unsigned char blocks[MD5_LANES][2 * MD5_BLOCK] = { { 'a', 'b', 'c', 0x80 } };
	const unsigned char *data[MD5_LANES];
	uint32_t first[MD5_LANES][4], other[MD5_LANES][4];
	md5_lanes_fn *fn;

	blocks[0][56] = 24; // bits
	rand_bytes(blocks[1], sizeof(blocks) - sizeof(blocks[0]));
	for (unsigned kind = 0; (fn = md5_lanes(kind)); kind++) {
		for (int i = 0; i < MD5_LANES; i++) {
			memcpy(other[i], begin, sizeof(begin));
			data[i] = blocks[i];
		}
		fn(other, data, 1);
		// 90015098 3cd24fb0 d6963f7d 28e17f72, little-endian
		assert_int_equal(other[0][0], 0x98500190);
		assert_int_equal(other[0][3], 0x727fe128);
		fn(other, data, 2);
		if (kind)
			assert_memory_equal(other, first, sizeof(first));
		memcpy(first, other, sizeof(first));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests_of_the_standards),
		cmocka_unit_test(hmac_of_the_standards),
		cmocka_unit_test(md5_side_by_side_is_md5),
		cmocka_unit_test(all_kinds_of_lanes_agree),
		cmocka_unit_test(base64_round_trip_and_refusals),
		cmocka_unit_test(hexadecimal_is_exact),
		cmocka_unit_test(a_number_of_hexadecimal_digits_has_some_and_not_too_many),
		cmocka_unit_test(crc_check_values),
		cmocka_unit_test(crc_folded_equals_plain),
		cmocka_unit_test(crc_combine_equals_the_sum_of_both),
		cmocka_unit_test(speeds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
