// quantity: the amounts that Kubernetes knows, rounding, and what must be refused.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/attr.h"
#include "fdl/quantity.h"

static void amounts_become_numbers(void **state unused_arg)
{
	static const struct {
		const char *text;
		uint64_t milli, units;
	} rows[] = {
		{ "0", 0, 0 },
		{ "1", 1000, 1 },
		{ "0.2", 200, 1 },
		{ "200m", 200, 1 },
		{ "1.5", 1500, 2 },
		{ ".5", 500, 1 },
		{ "2.", 2000, 2 },
		{ "+3", 3000, 3 },
		{ "0.0001", 1, 1 },
		{ "1n", 1, 1 },
		{ "1000u", 1, 1 },
		{ "1e3", 1000000, 1000 },
		{ "1E3", 1000000, 1000 },
		{ "12e-1", 1200, 2 },
		{ "2E", 0, UINT64_C(2000000000000000000) },
		{ "1k", 1000000, 1000 },
		{ "1Ki", 1024000, 1024 },
		{ "1.5Ki", 1536000, 1536 },
		{ "256Mi", 268435456000, 268435456 },
		{ "1Gi", 1073741824000, 1073741824 },
		{ "128974848", 128974848000, 128974848 },
		{ "129e6", 129000000000, 129000000 },
		{ "15Ei", 0, UINT64_C(17293822569102704640) },
		{ "0Ei", 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { 0 };
		uint64_t got;

		assert_int_equal(fdl_quantity_units(span_of(rows[i].text), &got, &e), 0);
		if (got != rows[i].units)
			fail_msg("%s: %lu units", rows[i].text, (unsigned long)got);
		if (rows[i].milli == 0 && rows[i].units != 0)
			continue; // over 64 bits in thousandths
		assert_int_equal(fdl_quantity_milli(span_of(rows[i].text), &got, &e), 0);
		if (got != rows[i].milli)
			fail_msg("%s: %lu thousandths", rows[i].text, (unsigned long)got);
	}
}

static void what_is_no_amount_is_refused(void **state unused_arg)
{
	static const char *const texts[] = { "",      " ",    "x",   "1x",	"1 Gi",
					     "1gi",   "1KI",  "m",   ".",	"1..",
					     "1.2.3", "--1",  "1e",  "1e+",	"1ee3",
					     "1e99",  "0x10", "1,5", "\xc2\xb5" };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct err e = { 0 };
		uint64_t got = 7;

		if (fdl_quantity_units(span_of(texts[i]), &got, &e) == 0)
			fail_msg("\"%s\" was taken for %lu", texts[i], (unsigned long)got);
		assert_int_equal(e.code, ERR_INVALID);
		assert_int_equal(got, 7);
	}
}

static void too_much_is_refused_not_wrapped(void **state unused_arg)
{
	static const char *const texts[] = { "16Ei", "99999Ei", "1e30", "18446744073709551616k",
					     "99999999999999999E" };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct err e = { 0 };
		uint64_t got;

		assert_int_equal(fdl_quantity_units(span_of(texts[i]), &got, &e), -1);
		assert_int_equal(fdl_quantity_milli(span_of(texts[i]), &got, &e), -1);
	}
}

static void a_negative_amount_is_refused(void **state unused_arg)
{
	struct err e = { 0 };
	uint64_t got;

	assert_int_equal(fdl_quantity_milli(SPAN("-1"), &got, &e), -1);
	assert_non_null(strstr(e.msg, "negative"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(amounts_become_numbers),
		cmocka_unit_test(what_is_no_amount_is_refused),
		cmocka_unit_test(too_much_is_refused_not_wrapped),
		cmocka_unit_test(a_negative_amount_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
