// loop: which services would start themselves, and how that is told.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/mem.h"
#include "fdl/fdl.h"

#include <stdio.h>

// name, input path and its filters, output path and its filters; as JSON lists or "" for none.
struct row {
	const char *name, *in, *in_suffix, *in_prefix, *out, *out_suffix, *out_prefix;
};

static struct fdl_service *make(const struct row *r)
{
	auto_free char *json = mem_printf(
		"{\"name\":\"%s\",\"image\":\"host\",\"script\":\"s\",\"input\":[{\"path\":\"%s\","
		"\"suffix\":[%s],\"prefix\":[%s]}],\"output\":[{\"path\":\"%s\",\"suffix\":[%s],"
		"\"prefix\":[%s]}]}",
		r->name, r->in, r->in_suffix, r->in_prefix, r->out, r->out_suffix, r->out_prefix);
	struct fdl_service *s = NULL;
	struct err e = { 0 };

	if (fdl_service_parse(span_of(json), &s, &e) < 0)
		fail_msg("%s: %s", json, e.msg);
	return s;
}

static int check_row(const struct row *r, struct err *e)
{
	auto_fdl_service struct fdl_service *s = make(r);

	return fdl_loop_check(NULL, 0, s, e);
}

static void a_service_alone(void **state unused_arg)
{
	static const struct {
		struct row row;
		bool loop;
	} rows[] = {
		{ { "one", "bkt/in", "", "", "bkt/out", "", "" }, false },
		{ { "one", "bkt/in", "", "", "other/in", "", "" }, false },
		{ { "one", "bkt/in", "", "", "bkt/in", "", "" }, true },
		{ { "one", "bkt/in", "", "", "bkt/in/sub", "", "" }, true },
		{ { "one", "bkt/in/sub", "", "", "bkt/in", "", "" }, true },
		{ { "one", "bkt/in", "", "", "bkt/input", "", "" }, false },
		{ { "one", "bkt/in", "\".mp4\"", "", "bkt/in", "\".jpg\"", "" }, false },
		{ { "one", "bkt/in", "\".jpg\"", "", "bkt/in", "\".jpg\"", "" }, true },
		{ { "one", "bkt/in", "\".gz\"", "", "bkt/in", "\".tar.gz\"", "" }, true },
		{ { "one", "bkt/in", "\".tar.gz\"", "", "bkt/in", "\".gz\"", "" }, true },
		{ { "one", "bkt/in", "\".mp4\"", "", "bkt/in", "", "" }, true },
		{ { "one", "bkt/in", "\".a\",\".b\"", "", "bkt/in", "\".c\",\".b\"", "" }, true },
		{ { "one", "bkt/in", "", "\"raw\"", "bkt/in", "", "\"done\"" }, false },
		{ { "one", "bkt/in", "", "\"raw\"", "bkt/in", "", "\"raw-done\"" }, true },
		{ { "one", "bkt/in", "", "\"sub/\"", "bkt/in/sub", "", "" }, true },
		{ { "one", "bkt/in", "", "\"sub/\"", "bkt/in/pub", "", "" }, false },
		{ { "one", "bkt/in", "\".x\"", "\"raw\"", "bkt/in", "\".x\"", "\"done\"" }, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { 0 };
		int got = check_row(&rows[i].row, &e);

		if ((got < 0) != rows[i].loop)
			fail_msg("row %zu: %s", i, got < 0 ? e.msg : "no loop");
		if (got < 0)
			assert_int_equal(e.code, ERR_CONFLICT);
	}
}

static void a_chain_that_comes_back_is_told_step_by_step(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "video-split", "video/in", "", "", "frames/raw", "", "" },
		{ "detect", "frames/raw", "", "", "results/json", "\".json\"", "" },
		{ "other", "frames/raw", "", "", "elsewhere/x", "", "" },
	};
	static const struct row back = { "join", "results/json", "", "", "video/in", "", "" };
	const struct fdl_service *all[ARRAY_LEN(rows)];
	auto_fdl_service struct fdl_service *added = make(&back);
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		all[i] = make(&rows[i]);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(fdl_loop_check(all, ARRAY_LEN(rows), all[i], &e), 0);
	assert_int_equal(fdl_loop_check(all, ARRAY_LEN(rows), added, &e), -1);
	assert_string_equal(e.msg,
			    "this service would start itself: join writes video/in, which triggers "
			    "video-split; video-split writes frames/raw, which triggers detect; "
			    "detect writes results/json, which triggers join");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		fdl_service_free((struct fdl_service *)all[i]);
}

static void a_service_of_the_same_name_is_replaced(void **state unused_arg)
{
	static const struct row old_row = { "one", "bkt/b", "", "", "bkt/a", "", "" };
	static const struct row new_row = { "one", "bkt/a", "", "", "bkt/b", "", "" };
	auto_fdl_service struct fdl_service *old = make(&old_row);
	auto_fdl_service struct fdl_service *new = make(&new_row);
	const struct fdl_service *all[] = { old };
	struct err e = { 0 };

	assert_int_equal(fdl_loop_check(all, 1, new, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_service_alone),
		cmocka_unit_test(a_chain_that_comes_back_is_told_step_by_step),
		cmocka_unit_test(a_service_of_the_same_name_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
