// adler: known sums, and the same one however the bytes are cut.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/mem.h"
#include "codec/adler.h"

static void known_sums(void **state unused_arg)
{
	assert_int_equal(adler_update(ADLER_START, SPAN("")), 1);
	assert_int_equal(adler_update(ADLER_START, SPAN("a")), 0x00620062);
	assert_int_equal(adler_update(ADLER_START, SPAN("Wikipedia")), 0x11e60398);
}

static void largest_sums_do_not_overflow(void **state unused_arg)
{
	enum { SIZE = 100000 };
	auto_free unsigned char *bytes = mem_alloc(SIZE);
	uint64_t a = 1, b = 0;
	uint32_t cut = ADLER_START;

	for (size_t i = 0; i < SIZE; i++) {
		bytes[i] = 0xff;
		a = (a + 0xff) % 65521;
		b = (b + a) % 65521;
	}
	assert_int_equal(adler_update(ADLER_START, span_make(bytes, SIZE)), b << 16 | a);
	for (size_t at = 0, n = 1; at < SIZE; at += n, n = n * 3 + 1) {
		n = n < SIZE - at ? n : SIZE - at;
		cut = adler_update(cut, span_make(bytes + at, n));
	}
	assert_int_equal(cut, b << 16 | a);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_sums),
		cmocka_unit_test(largest_sums_do_not_overflow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
