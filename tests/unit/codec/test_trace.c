// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/attr.h"
#include "codec/trace.h"

#include <string.h>

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

// Those of the specification and of its test suite.
static void contexts_are_read(void **state unused_arg)
{
	static const struct {
		const char *text, *again; // NULL: it is none
	} rows[] = {
		{ "00-" ID "-" PARENT "-01", "00-" ID "-" PARENT "-01" },
		{ "00-" ID "-" PARENT "-00", "00-" ID "-" PARENT "-00" },
		// Of the flags only "sampled" has a meaning.
		{ "00-" ID "-" PARENT "-09", "00-" ID "-" PARENT "-01" },
		{ "00-" ID "-" PARENT "-ff", "00-" ID "-" PARENT "-01" },
		{ "00-" ID "-" PARENT "-02", "00-" ID "-" PARENT "-00" },
		// Later versions begin as this one.
		{ "cc-" ID "-" PARENT "-01", "00-" ID "-" PARENT "-01" },
		{ "cc-" ID "-" PARENT "-01-what-the-future-will-be-like",
		  "00-" ID "-" PARENT "-01" },
		{ "cc-" ID "-" PARENT "-01.what-the-future-will-not-be-like", NULL },
		{ "ff-" ID "-" PARENT "-01", NULL },
		// Version 00 ends there.
		{ "00-" ID "-" PARENT "-01-", NULL },
		{ "00-" ID "-" PARENT "-01-extra", NULL },
		{ "00-" ID "-" PARENT "-01 ", NULL },
		{ " 00-" ID "-" PARENT "-01", NULL },
		// Digits are lower-case ones, and as many as there should be.
		{ "0-" ID "-" PARENT "-01", NULL },
		{ ".0-" ID "-" PARENT "-01", NULL },
		{ "0.-" ID "-" PARENT "-01", NULL },
		{ "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", NULL },
		{ "00-" ID "-00F067AA0BA902B7-01", NULL },
		{ "00-" ID "-" PARENT "-0A", NULL },
		{ "00-" ID "-" PARENT "-1", NULL },
		{ "00-" ID "-" PARENT "-.0", NULL },
		{ "00-4bf92f3577b34da6a3ce929d0e0e473-" PARENT "-01", NULL },
		{ "00-4bf92f3577b34da6a3ce929d0e0e47361-" PARENT "-01", NULL },
		{ "00-.bf92f3577b34da6a3ce929d0e0e4736-" PARENT "-01", NULL },
		{ "00-" ID "-00f067aa0ba902b-01", NULL },
		{ "00-" ID "-00f067aa0ba902b71-01", NULL },
		{ "00_" ID "-" PARENT "-01", NULL },
		{ "00-" ID "_" PARENT "-01", NULL },
		{ "00-" ID "-" PARENT "_01", NULL },
		// Zeros are no identity.
		{ "00-00000000000000000000000000000000-" PARENT "-01", NULL },
		{ "00-" ID "-0000000000000000-01", NULL },
		{ "00-" ID "-" PARENT, NULL },
		{ "", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct trace_context t;
		char text[TRACE_TEXT];
		bool good = trace_parse(span_of(rows[i].text), &t);

		if (good != (rows[i].again != NULL) || good != trace_is(&t) ||
		    (good && strcmp(trace_text(&t, text), rows[i].again) != 0))
			fail_msg("%s", rows[i].text);
	}
}

static void ids_alone(void **state unused_arg)
{
	struct trace_context t = { 0 };
	char text[TRACE_ID_TEXT];

	assert_true(trace_id_parse(SPAN(ID), t.id));
	assert_string_equal(trace_id_text(&t, text), ID);
	assert_false(trace_id_parse(SPAN(ID "0"), t.id));
	assert_false(trace_id_parse(SPAN("4BF92F3577B34DA6A3CE929D0E0E4736"), t.id));
	assert_false(trace_id_parse(SPAN("00000000000000000000000000000000"), t.id));
	assert_false(trace_id_parse(SPAN(""), t.id));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(contexts_are_read),
		cmocka_unit_test(ids_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
