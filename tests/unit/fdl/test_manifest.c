// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "fdl/fdl.h"

static const struct fdl_io io = { .bucket = "b", .folder = "in", .manifest = ".list" };

static void files_are_named_once(void **state unused_arg)
{
	static const char text[] = "a.tif\nsub/b.tif\r\n\n  # not this\n  ./c.tif  \n/other/d.tif\n"
				   "a.tif\nx.list\nwith blank\nlast";
	static const char *const want[] = { "in/s/x.list", "in/s/a.tif",     "in/s/sub/b.tif",
					    "in/s/c.tif",  "in/other/d.tif", "in/s/with blank",
					    "in/s/last" };
	auto_arena struct arena mem = { 0 };
	struct err e = { 0 };
	const char **keys;
	size_t n;

	assert_int_equal(
		fdl_manifest_read(&io, SPAN("in/s/x.list"), span_of(text), &mem, &keys, &n, &e), 0);
	assert_int_equal(n, ARRAY_LEN(want));
	for (size_t i = 0; i < n; i++)
		assert_string_equal(keys[i], want[i]);
}

static void what_is_no_file_below_is_refused(void **state unused_arg)
{
	static const struct {
		struct span text;
		const char *why;
	} cases[] = {
		{ SPAN(""), "names no file" },
		{ SPAN("# only words\n\n"), "names no file" },
		{ SPAN("x.list\n"), "names no file" },
		{ SPAN("a\n../b\n"), "line 2: " },
		{ SPAN("a/../../b"), "\"..\"" },
		{ SPAN("a//b"), "empty part" },
		{ SPAN("//b"), "empty part" },
		{ SPAN("a/./b"), "\".\"" },
		{ SPAN("/"), "an empty name" },
		{ SPAN("./"), "an empty name" },
		{ SPAN("folder/"), "a folder" },
		{ SPAN("a\0b"), "control character" },
		{ SPAN("\xff"), "not UTF-8" },
	};
	auto_arena struct arena mem = { 0 };
	struct err e = { 0 };
	const char **keys;
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(fdl_manifest_read(&io, SPAN("in/x.list"), cases[i].text, &mem,
						   &keys, &n, &e),
				 -1);
		if (e.code != ERR_INVALID || !strstr(e.msg, cases[i].why))
			fail_msg("%zu: %s", i, e.msg);
	}
}

static void sizes_are_bounded(void **state unused_arg)
{
	auto_arena struct arena mem = { 0 };
	auto_buf struct buf text = { .max = 4 << 20 };
	struct err e = { 0 };
	const char **keys;
	size_t n;

	for (int i = 1; i < FDL_GROUP_RUN_MAX; i++)
		buf_printf(&text, "%d\n", i);
	assert_int_equal(
		fdl_manifest_read(&io, SPAN("in/x.list"), buf_span(&text), &mem, &keys, &n, &e), 0);
	assert_int_equal(n, FDL_GROUP_RUN_MAX);
	buf_add_str(&text, "one more\n");
	assert_int_equal(fdl_manifest_read(&io, SPAN("in/x.list"), buf_span(&text), &mem, &keys, &n,
					   &e),
			 -1);
	assert_int_equal(e.code, ERR_LIMIT);
	buf_clear(&text);
	for (int i = 0; i <= FDL_KEY_MAX; i++)
		buf_add_char(&text, 'k');
	assert_int_equal(fdl_manifest_read(&io, SPAN("in/x.list"), buf_span(&text), &mem, &keys, &n,
					   &e),
			 -1);
	assert_int_equal(e.code, ERR_LIMIT);
	while (text.n <= FDL_MANIFEST_MAX)
		buf_add_str(&text, "#\n");
	assert_int_equal(fdl_manifest_read(&io, SPAN("in/x.list"), buf_span(&text), &mem, &keys, &n,
					   &e),
			 -1);
	assert_int_equal(e.code, ERR_LIMIT);
}

static void a_bucket_may_be_the_folder(void **state unused_arg)
{
	const struct fdl_io whole = { .bucket = "b", .folder = "", .manifest = ".list" };
	auto_arena struct arena mem = { 0 };
	struct err e = { 0 };
	const char **keys;
	size_t n;

	assert_int_equal(
		fdl_manifest_read(&whole, SPAN("x.list"), SPAN("a\n/b/c"), &mem, &keys, &n, &e), 0);
	assert_string_equal(keys[1], "a");
	assert_string_equal(keys[2], "b/c");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_named_once),
		cmocka_unit_test(what_is_no_file_below_is_refused),
		cmocka_unit_test(sizes_are_bounded),
		cmocka_unit_test(a_bucket_may_be_the_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
