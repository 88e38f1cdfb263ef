// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "codec/lifecycle.h"

static struct lifecycle_rule one(struct arena *a, const char *filter)
{
	struct lifecycle l = { 0 };
	struct err e = { 0 };
	const char *doc = arena_printf(a,
				       "<LifecycleConfiguration><Rule>%s<Status>Enabled</Status>"
				       "<Expiration><Days>1</Days></Expiration></Rule>"
				       "</LifecycleConfiguration>",
				       filter);

	assert_int_equal(lifecycle_parse(a, span_of(doc), &l, &e), 0);
	assert_int_equal(l.n, 1);
	return l.rules[0];
}

static void filters_fit_what_they_say(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	struct lifecycle_rule r = one(&a, "<Prefix>in/</Prefix>");

	assert_true(lifecycle_fits(&r, SPAN("in/x"), 0, SPAN("")));
	assert_false(lifecycle_fits(&r, SPAN("in"), 0, SPAN("")));
	assert_true(lifecycle_fits_key(&r, SPAN("in/")));
	r = one(&a, "<Filter><Tag><Key>a b</Key><Value>c&amp;d</Value></Tag></Filter>");
	assert_true(lifecycle_fits(&r, SPAN("x"), 0, SPAN("z=1&a%20b=c%26d")));
	assert_false(lifecycle_fits(&r, SPAN("x"), 0, SPAN("a%20b=c")));
	assert_false(lifecycle_fits_key(&r, SPAN("x")));
	r = one(&a, "<Filter><And><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan>"
		    "<ObjectSizeLessThan>8</ObjectSizeLessThan></And></Filter>");
	assert_false(lifecycle_fits(&r, SPAN("x"), 5, SPAN("")));
	assert_true(lifecycle_fits(&r, SPAN("x"), 6, SPAN("")));
	assert_false(lifecycle_fits(&r, SPAN("x"), 8, SPAN("")));
	r = one(&a, "<Filter/>");
	assert_true(lifecycle_fits(&r, SPAN("x"), 8, SPAN("")));
	r.enabled = false;
	assert_false(lifecycle_fits(&r, SPAN("x"), 8, SPAN("")));
}

static void faults_say_of_which_kind_they_are(void **state unused_arg)
{
	static const struct {
		const char *doc;
		enum lifecycle_fault fault;
	} bad[] = {
		{ "", LIFECYCLE_MALFORMED },
		{ "<Rules/>", LIFECYCLE_MALFORMED },
		{ "<LifecycleConfiguration/>", LIFECYCLE_MALFORMED },
		{ "<LifecycleConfiguration><Rule><Status>On</Status></Rule>"
		  "</LifecycleConfiguration>",
		  LIFECYCLE_MALFORMED },
		{ "<LifecycleConfiguration><Rule><Status>Enabled</Status><Expiration><Days>0"
		  "</Days></Expiration></Rule></LifecycleConfiguration>",
		  LIFECYCLE_ARGUMENT },
		{ "<LifecycleConfiguration><Rule><Status>Enabled</Status></Rule>"
		  "</LifecycleConfiguration>",
		  LIFECYCLE_REQUEST },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_arena struct arena a = { 0 };
		struct lifecycle l;
		struct err e = { 0 };

		assert_int_equal(lifecycle_parse(&a, span_of(bad[i].doc), &l, &e), -1);
		assert_int_equal(e.sys, bad[i].fault);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filters_fit_what_they_say),
		cmocka_unit_test(faults_say_of_which_kind_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
