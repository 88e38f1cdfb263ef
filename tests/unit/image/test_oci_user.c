// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/buf.h"
#include "image/user.h"

#define PASSWD                                                                                     \
	"root:x:0:0:root:/root:/bin/sh\n"                                                          \
	"# a comment\n"                                                                            \
	"app:x:1000:100:App,,,:/home/app:/bin/sh\n"                                                \
	"1001:x:7:8::/:\n"                                                                         \
	"app:x:1:1::/:\n"                                                                          \
	"groupless:x:9\n"                                                                          \
	"wild:x:4294967295:0::/:\n"                                                                \
	"negative:x:-1:0::/:\n"                                                                    \
	"last:x:2147483647:5::/:"
#define GROUP                                                                                      \
	"root:x:0:\nusers:x:100:app\nvideo:x:44:other,app\naudio:x:29:app,other\n"                 \
	"again:x:44:app\nsub:x:30:application,ap\n55:x:56:1001\n"

struct want {
	const char *who;
	long uid, gid; // uid -1 = refused
	const char *groups;
};

static void check_all(const struct want *w, size_t n, const char *passwd, const char *group)
{
	for (size_t i = 0; i < n; i++) {
		struct image_user u;
		struct err e = { 0 };
		auto_buf struct buf groups;
		int got = user_find(span_of(w[i].who), span_of(passwd), span_of(group), &u, &e);

		buf_init(&groups, 1000);
		for (unsigned k = 0; got == 0 && k < u.group_count; k++)
			assert_true(buf_printf(&groups, "%s%u", k ? " " : "", u.groups[k]));
		if (w[i].uid < 0 ? got == 0 || e.code != ERR_INVALID
				 : got < 0 || u.uid != w[i].uid || u.gid != w[i].gid ||
					   !span_is(buf_span(&groups), w[i].groups))
			fail_msg("'%s' gives %d, %u:%u, '" SPAN_FMT "' %s", w[i].who, got, u.uid,
				 u.gid, SPAN_ARG(buf_span(&groups)), e.msg);
	}
}

static void names_and_numbers_are_found_as_engines_find_them(void **state unused_arg)
{
	static const struct want cases[] = {
		{ "", 0, 0, "" },
		{ "root", 0, 0, "" },
		{ "0", 0, 0, "" },
		{ "app", 1000, 100, "44 29" },
		{ "1000", 1000, 100, "44 29" },
		{ "app:", 1000, 100, "44 29" },
		{ "app:video", 1000, 44, "" },
		{ "app:44", 1000, 44, "" },
		{ "app:77", 1000, 77, "" },
		{ "1234", 1234, 0, "" },
		{ "1234:77", 1234, 77, "" },
		{ "1234:users", 1234, 100, "" },
		{ "1001", 7, 8, "56" }, // a name, though it looks like a number
		{ "app:55", 1000, 56, "" },
		{ ":video", 0, 44, "" },
		{ "2147483647", INT32_MAX, 5, "" },
		{ "ghost", -1, 0, "" },
		{ "app:ghost", -1, 0, "" },
		{ "groupless", -1, 0, "" },
		{ "wild", -1, 0, "" },
		{ "negative", -1, 0, "" },
		{ "-1", -1, 0, "" },
		{ "2147483648", -1, 0, "" },
		{ "4294967296", -1, 0, "" },
		{ "1234:2147483648", -1, 0, "" },
		{ "# a comment", -1, 0, "" },
		{ "a:b:c", -1, 0, "" },
	};

	check_all(cases, ARRAY_LEN(cases), PASSWD, GROUP);
}

static void an_image_without_the_files_has_numbers_only(void **state unused_arg)
{
	static const struct want cases[] = { { "1000", 1000, 0, "" },
					     { "1000:7", 1000, 7, "" },
					     { "root", -1, 0, "" } };

	check_all(cases, ARRAY_LEN(cases), "", "");
}

static void too_many_groups_are_refused(void **state unused_arg)
{
	struct image_user u;
	struct err e = { 0 };
	auto_buf struct buf group;

	buf_init(&group, 100000);
	for (unsigned i = 0; i < IMAGE_GROUPS_MAX; i++)
		assert_true(buf_printf(&group, "g%u:x:%u:app\n", i, 500 + i));
	assert_int_equal(user_find(SPAN("app"), SPAN(PASSWD), buf_span(&group), &u, &e), 0);
	assert_int_equal(u.group_count, IMAGE_GROUPS_MAX);
	assert_true(buf_add_str(&group, "more:x:900:app\n"));
	assert_int_equal(user_find(SPAN("app"), SPAN(PASSWD), buf_span(&group), &u, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_numbers_are_found_as_engines_find_them),
		cmocka_unit_test(an_image_without_the_files_has_numbers_only),
		cmocka_unit_test(too_many_groups_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
