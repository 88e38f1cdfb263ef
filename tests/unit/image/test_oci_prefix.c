// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "image/prefix.h"

#define HEAD "#!/usr/bin/env python\nx = ['(']\n\n_prefix_records = [\n"
#define OLD "/opt/anaconda1anaconda2anaconda3"

static void the_list_is_read_as_python_writes_it(void **state unused_arg)
{
	static const struct span text = SPAN(HEAD "('bin/tool', '/opt/old', 'text'),\n"
						  "(\"lib/it's.so\", '/opt/old', 'binary'),\n"
						  "('share/back\\\\slash', '/opt/\\'old\\'', "
						  "'text')\n]\n\nif __name__ == '__main__':\n");
	auto_arena struct arena mem = { 0 };
	struct prefix_record *r;
	struct err e = { 0 };
	size_t n;

	if (prefix_records(text, &mem, &r, &n, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(n, 3);
	assert_true(span_is(r[0].path, "bin/tool") && span_is(r[0].placeholder, "/opt/old") &&
		    !r[0].binary);
	assert_true(span_is(r[1].path, "lib/it's.so") && r[1].binary);
	assert_true(span_is(r[2].path, "share/back\\slash") &&
		    span_is(r[2].placeholder, "/opt/'old'"));
	assert_int_equal(prefix_records(SPAN(HEAD "\n]\n"), &mem, &r, &n, &e), 0);
	assert_int_equal(n, 0);
}

static void what_is_no_list_is_refused(void **state unused_arg)
{
	static const char *const texts[] = {
		"",
		"import os\n",
		HEAD,
		HEAD "('a', '/b', 'text'),\n",
		HEAD "('a', '/b', 'texts'),\n]\n",
		HEAD "('a', '/b'),\n]\n",
		HEAD "('', '/b', 'text'),\n]\n",
		HEAD "('a', '', 'text'),\n]\n",
		HEAD "('a', '/b', 'text'), os.system('x')\n]\n",
		HEAD "('a\\x41', '/b', 'text'),\n]\n",
		HEAD "('a\\",
		HEAD "('a",
		HEAD "f('a', '/b', 'text'),\n]\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		auto_arena struct arena mem = { 0 };
		struct prefix_record *r;
		struct err e = { 0 };
		size_t n;

		if (prefix_records(span_of(texts[i]), &mem, &r, &n, &e) == 0 ||
		    e.code != ERR_INVALID)
			fail_msg("text %zu is taken", i);
	}
}

static void prefixes_are_put_in(void **state unused_arg)
{
	static const struct {
		bool binary;
		struct span in, out;
	} cases[] = {
		{ false, SPAN("#!" OLD "/bin/python\np='" OLD "'\n"),
		  SPAN("#!/opt/env/bin/python\np='/opt/env'\n") },
		{ false, SPAN("nothing"), SPAN("nothing") },
		{ false, SPAN(""), SPAN("") },
		{ true, SPAN("\1\2" OLD "/lib\0\3"),
		  SPAN("\1\2/opt/env/lib\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\3") },
		{ true, SPAN(OLD ":" OLD "\0x"),
		  SPAN("/opt/env:/opt/"
		       "env\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
		       "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0x") },
		{ true, SPAN("never ends " OLD), SPAN("never ends " OLD) },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct prefix_record r = { SPAN("f"), SPAN(OLD), cases[i].binary };
		struct err e = { 0 };
		auto_buf struct buf out;

		buf_init(&out, 1000);
		if (prefix_fix(&r, cases[i].in, SPAN("/opt/env"), &out, &e) < 0)
			fail_msg("case %zu: %s", i, e.msg);
		if (cases[i].binary)
			assert_int_equal(out.n, cases[i].in.n);
		if (!span_eq(buf_span(&out), cases[i].out))
			fail_msg("case %zu: " SPAN_FMT, i, SPAN_ARG(buf_span(&out)));
	}
}

static void a_program_without_room_is_refused(void **state unused_arg)
{
	const struct prefix_record r = { SPAN("f"), SPAN("/a"), true };
	struct err e = { 0 };
	auto_buf struct buf out;

	buf_init(&out, 1000);
	assert_int_equal(prefix_fix(&r, SPAN("/a\0"), SPAN("/opt/env"), &out, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
}

static void sizes_are_bounded(void **state unused_arg)
{
	const struct prefix_record r = { SPAN("f"), SPAN("/a"), false };
	struct err e = { 0 };
	auto_buf struct buf out;

	buf_init(&out, 20);
	assert_int_equal(prefix_fix(&r, SPAN("/a/a/a"), SPAN("/opt/env"), &out, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_list_is_read_as_python_writes_it),
		cmocka_unit_test(what_is_no_list_is_refused),
		cmocka_unit_test(prefixes_are_put_in),
		cmocka_unit_test(a_program_without_room_is_refused),
		cmocka_unit_test(sizes_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
