// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/attr.h"
#include "codec/prefer.h"

static void how_long_a_client_waits(void **state unused_arg)
{
	static const struct {
		const char *text;
		int64_t seconds;
	} rows[] = {
		{ "wait=10", 10 },   { "respond-async, Wait = \"5\"; x=y, wait=9", 5 },
		{ "wait=0", 0 },     { "wait=99999999999", PREFER_WAIT_MAX_S },
		{ "wait=1.5", -1 },  { "wait=-1", -1 },
		{ "wait", -1 },	     { "wait=", -1 },
		{ "waiting=3", -1 }, { "", -1 },
		{ ",,;=", -1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (prefer_wait_s(span_of(rows[i].text)) != rows[i].seconds)
			fail_msg("%s", rows[i].text);
	assert_int_equal(prefer_wait_s((struct span){ 0 }), -1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(how_long_a_client_waits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
