// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "auth/post_policy.h"
#include "base/clock.h"
#include "base/mem.h"

static const struct post_field form[] = {
	{ SPAN("key"), SPAN("user/ana/a.txt") }, { SPAN("ACL"), SPAN("private") },
	{ SPAN("x-ignore-me"), SPAN("x") },	 { SPAN("policy"), SPAN("…") },
	{ SPAN("bucket"), SPAN("b") },
};

#define UNTIL "{\"expiration\":\"2026-12-01T12:00:00.000Z\",\"conditions\":["
#define ALL "{\"bucket\":\"b\"},[\"starts-with\",\"$key\",\"user/\"],[\"eq\",\"$acl\",\"private\"]"

static enum err_code asked(const char *json, struct post_range *range)
{
	int64_t now = clock_parse_iso("2026-11-30T12:00:00Z");
	struct err e = { 0 };

	if (post_policy_check(span_of(json), now, form, ARRAY_LEN(form), range, &e) < 0)
		return e.code;
	return ERR_NONE;
}

static void a_form_is_according_to_its_policy_or_not(void **state unused_arg)
{
	struct post_range range = { 0, UINT64_MAX };

	assert_int_equal(asked(UNTIL ALL "]}", &range), ERR_NONE);
	assert_true(range.max == UINT64_MAX);
	assert_int_equal(asked(UNTIL ALL ",[\"content-length-range\",1,\"20\"]]}", &range),
			 ERR_NONE);
	assert_true(range.min == 1 && range.max == 20);
	static const char *const denied[] = {
		UNTIL "]}",
		UNTIL "{\"bucket\":\"b\"},[\"starts-with\",\"$key\",\"user/\"]]}",
		UNTIL ALL ",{\"acl\":\"Private\"}]}",
		UNTIL ALL ",[\"starts-with\",\"$key\",\"User/\"]]}",
		UNTIL ALL ",{\"missing\":\"x\"}]}",
		"{\"expiration\":\"2026-11-30T12:00:00Z\",\"conditions\":[" ALL "]}",
	};
	for (size_t i = 0; i < ARRAY_LEN(denied); i++)
		assert_int_equal(asked(denied[i], &range), ERR_DENIED);
}

static void what_is_no_policy_is_told(void **state unused_arg)
{
	struct post_range range = { 0, UINT64_MAX };
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"conditions\":[]}",
		"{\"expiration\":\"tomorrow\",\"conditions\":[]}",
		UNTIL "[\"content-length-range\",2,1]]}",
		UNTIL "[\"content-length-range\",-1,1]]}",
		UNTIL "[\"content-length-range\",1]]}",
		UNTIL "[\"eq\",\"acl\",\"x\"]]}",
		UNTIL "[\"eq\",\"$\",\"x\"]]}",
		UNTIL "[\"eq\",\"$acl\",null]]}",
		UNTIL "[]]}",
		UNTIL "{}]}",
		UNTIL "\"x\"]}",
		// told before what the form lacks
		UNTIL "{\"missing\":\"x\"},7]}",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(asked(bad[i], &range), ERR_INVALID);
}

static void every_value_of_a_field_given_twice_counts(void **state unused_arg)
{
	static const struct post_field twice[] = { { SPAN("key"), SPAN("good") },
						   { SPAN("Key"), SPAN("evil") } };
	static const char json[] = UNTIL "{\"key\":\"good\"}]}";
	struct post_range range = { 0, UINT64_MAX };
	struct err e = { 0 };

	assert_int_equal(post_policy_check(span_of(json), 0, twice, 1, &range, &e), 0);
	assert_int_equal(post_policy_check(span_of(json), 0, twice, 2, &range, &e), -1);
	assert_int_equal(e.code, ERR_DENIED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_form_is_according_to_its_policy_or_not),
		cmocka_unit_test(what_is_no_policy_is_told),
		cmocka_unit_test(every_value_of_a_field_given_twice_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
