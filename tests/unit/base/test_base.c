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
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/histogram.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void err_wrap_puts_context_in_front(void **state unused_arg)
{
	struct err e = { 0 };

	assert_int_equal(err_set(&e, ERR_NOT_FOUND, "no such %s", "key"), -1);
	assert_int_equal(err_wrap(&e, "get %s", "a/b"), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_string_equal(e.msg, "get a/b: no such key");
}

static void err_sys_turns_a_full_disk_into_full(void **state unused_arg)
{
	struct err e = { 0 };

	err_sys(&e, ERR_IO, ENOSPC, "write x");
	assert_int_equal(e.code, ERR_FULL);
	assert_int_equal(e.sys, ENOSPC);
}

static void long_error_text_is_cut_not_overrun(void **state unused_arg)
{
	struct err e = { 0 };

	err_set(&e, ERR_INVALID, "%0300d", 1);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	err_wrap(&e, "%0300d", 2);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
}

static void span_cut_walks_a_list(void **state unused_arg)
{
	struct span rest = SPAN("a,,bc");

	assert_true(span_is(span_cut(&rest, ','), "a"));
	assert_true(span_is(span_cut(&rest, ','), ""));
	assert_true(span_is(span_cut(&rest, ','), "bc"));
	assert_int_equal(rest.n, 0);
}

static void numbers_refuse_signs_blanks_and_overflow(void **state unused_arg)
{
	uint64_t v = 7;

	assert_true(span_to_u64(SPAN("18446744073709551615"), &v));
	assert_true(v == UINT64_MAX);
	assert_false(span_to_u64(SPAN("18446744073709551616"), &v));
	assert_false(span_to_u64(SPAN("-1"), &v));
	assert_false(span_to_u64(SPAN(" 1"), &v));
	assert_false(span_to_u64(SPAN(""), &v));
}

static void utf8_refuses_surrogates_and_overlong_forms(void **state unused_arg)
{
	assert_true(span_is_utf8(SPAN("a\xc3\xb1\xe2\x82\xac\xf0\x9f\x98\x80")));
	assert_false(span_is_utf8(SPAN("\xc0\x80")));
	assert_false(span_is_utf8(SPAN("\xed\xa0\x80")));
	assert_false(span_is_utf8(SPAN("\xf4\x90\x80\x80")));
	assert_false(span_is_utf8(SPAN("\xe2\x82")));
}

static void buf_prints_what_fits_and_what_does_not(void **state unused_arg)
{
	char want[700] = "";

	for (size_t before = 0; before < 300; before++) { // its memory begins with 256 bytes
		auto_buf struct buf b;

		buf_init(&b, 600);
		for (size_t i = 0; i < before; i++)
			buf_add_char(&b, '-');
		assert_true(buf_printf(&b, "%0*d", 250, 7));
		snprintf(want, sizeof(want), "%.*s%0*d", (int)before, buf_span(&b).p, 250, 7);
		assert_true(span_is(buf_span(&b), want));
		assert_int_equal(buf_span(&b).p[b.n], 0);
		buf_clear(&b);
		assert_false(buf_printf(&b, "%0*d", 601, 7));
		assert_true(b.over && b.n == 0 && b.p[0] == '\0');
	}
}

static void buf_refuses_what_is_over_its_maximum(void **state unused_arg)
{
	auto_buf struct buf b;

	buf_init(&b, 10);
	assert_true(buf_add_str(&b, "12345678"));
	assert_false(buf_add_str(&b, "abc"));
	assert_true(b.over);
	assert_true(span_is(buf_span(&b), "12345678"));
	buf_drop(&b, 7);
	assert_string_equal(b.p, "8");
}

static void arena_pieces_are_aligned_and_apart(void **state unused_arg)
{
	auto_arena struct arena a = { 0 };
	char *p = arena_alloc(&a, 3), *q = arena_alloc(&a, 9000);

	assert_int_equal((uintptr_t)p % 16, 0);
	memset(p, 1, 3);
	memset(q, 2, 9000);
	assert_int_equal(p[2], 1);
	assert_string_equal(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
}

static void map_keeps_what_was_put_through_growth_and_removal(void **state unused_arg)
{
	struct map m = { 0 };
	static int values[1000];
	size_t at = 0, seen = 0;

	for (uint64_t i = 0; i < 1000; i++)
		assert_null(map_put(&m, map_key_u64(&i), &values[i]));
	for (uint64_t i = 0; i < 1000; i += 2)
		assert_ptr_equal(map_remove(&m, map_key_u64(&i)), &values[i]);
	for (uint64_t i = 0; i < 1000; i++)
		assert_ptr_equal(map_get(&m, map_key_u64(&i)), i % 2 ? &values[i] : NULL);
	while (map_next(&m, &at, NULL, NULL))
		seen++;
	assert_int_equal(seen, 500);
	map_release(&m);
}

static void times_survive_print_and_parse(void **state unused_arg)
{
	char text[CLOCK_TEXT_MAX];
	int64_t t = INT64_C(1795445208449) * NS_PER_MS;

	assert_string_equal(clock_iso_ms(t, text), "2026-11-23T14:46:48.449Z");
	assert_true(clock_parse_iso(text) == t);
	assert_string_equal(clock_iso_s(t, text), "2026-11-23T14:46:48Z");
	assert_string_equal(clock_iso_ms(0, text), "1970-01-01T00:00:00.000Z");
	assert_string_equal(clock_iso_ms(INT64_MAX, text), "2262-04-11T23:47:16.854Z");
	assert_string_equal(clock_http(t, text), "Mon, 23 Nov 2026 14:46:48 GMT");
	assert_true(clock_parse_http(text) == t / NS_PER_S * NS_PER_S);
	assert_string_equal(clock_basic(t, text), "20261123T144648Z");
	assert_true(clock_parse_basic(text) == t / NS_PER_S * NS_PER_S);
	assert_true(clock_parse_basic("20261123T144648") == -1);
}

static void plain_paths_lead_nowhere_else(void **state unused_arg)
{
	static const char *const good[] = { "", "a", "a/b", "a/b/", ".a/..b/c.", "..." };
	static const char *const bad[] = { "/a", "a//b", ".", "a/./b", "..", "a/..", "../a", "/" };
	char longest[300];

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(file_path_is_plain(span_of(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(file_path_is_plain(span_of(bad[i])));
	memset(longest, 'x', sizeof(longest));
	assert_true(file_path_is_plain(span_make(longest, 255)));
	assert_false(file_path_is_plain(span_make(longest, 256)));
}

static void a_histogram_counts_by_steps(void **state unused_arg)
{
	static struct histogram h;
	struct histogram_view v;

	histogram_add(&h, -5);
	histogram_add(&h, NS_PER_MS / 2); // bounds belong to their step
	histogram_add(&h, NS_PER_MS / 2 + 1);
	histogram_add(&h, 21600 * NS_PER_S + 1);
	v = histogram_look(&h);
	assert_int_equal(v.counts[0], 2);
	assert_int_equal(v.counts[1], 1);
	assert_int_equal(v.counts[HISTOGRAM_BOUNDS], 1);
	assert_true(v.sum_s > 21600.0009 && v.sum_s < 21600.0011);
	for (size_t i = 1; i < HISTOGRAM_BOUNDS; i++)
		assert_true(histogram_bounds_s[i - 1] < histogram_bounds_s[i]);
}

static void uuids_are_in_time_order_and_unique(void **state unused_arg)
{
	uint8_t a[16], b[16];
	char text[RAND_UUID_TEXT];

	rand_uuid(a);
	rand_uuid(b);
	assert_true(memcmp(a, b, 6) <= 0);
	assert_memory_not_equal(a, b, 16);
	assert_int_equal(rand_uuid_text(a, text)[14], '7');
	assert_int_equal(strlen(text), 36);
}

static void replace_and_remove_tree_leave_nothing(void **state unused_arg)
{
	char dir[] = "/tmp/oscar-test-XXXXXX";
	auto_free char *path = NULL;
	auto_buf struct buf b;
	struct err e = { 0 };
	atomic_bool stop;
	struct stat st;

	assert_non_null(mkdtemp(dir));
	path = mem_printf("%s/a/b/c", dir);
	assert_int_equal(file_mkdirs(path, 0700, &e), 0);
	mem_free(path);
	path = mem_printf("%s/a/b/c/f", dir);
	assert_int_equal(file_replace(AT_FDCWD, path, 0600, "hello", 5, &e), 0);
	assert_int_equal(file_replace(AT_FDCWD, path, 0600, "world", 5, &e), 0);
	buf_init(&b, 100);
	assert_int_equal(file_read_path(AT_FDCWD, path, &b, &e), 0);
	assert_string_equal(b.p, "world");
	stop = true;
	assert_int_equal(file_remove_tree_unless(AT_FDCWD, dir, &stop, &e), -1);
	assert_int_equal(e.code, ERR_CANCELLED);
	assert_int_equal(stat(path, &st), 0);
	stop = false;
	assert_int_equal(file_remove_tree_unless(AT_FDCWD, dir, &stop, &e), 0);
	assert_int_equal(stat(dir, &st), -1);
	assert_int_equal(file_remove_tree(AT_FDCWD, dir, &e), 0);
}

static void read_over_the_maximum_is_a_limit_error(void **state unused_arg)
{
	auto_buf struct buf b;
	struct err e = { 0 };

	buf_init(&b, 4);
	assert_int_equal(file_read_path(AT_FDCWD, "/proc/self/status", &b, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
}

static void times_far_away_neither_overflow_nor_vanish(void **state unused_arg)
{
	int64_t far = clock_parse_http("Tue, 07 Jul 9999 21:53:04 GMT");

	assert_true(far > clock_parse_iso("2262-01-01T00:00:00Z"));
	assert_true(clock_parse_iso("9999-12-31T23:59:59.999999999Z") >= far);
	assert_true(clock_parse_basic("99991231T235959Z") == far);
	assert_int_equal(clock_parse_http("Tue, 07 Jul 1950 21:53:04 GMT"), -1);
	assert_int_equal(clock_parse_iso("0001-01-01T00:00:00Z"), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_far_away_neither_overflow_nor_vanish),
		cmocka_unit_test(err_wrap_puts_context_in_front),
		cmocka_unit_test(err_sys_turns_a_full_disk_into_full),
		cmocka_unit_test(long_error_text_is_cut_not_overrun),
		cmocka_unit_test(span_cut_walks_a_list),
		cmocka_unit_test(numbers_refuse_signs_blanks_and_overflow),
		cmocka_unit_test(utf8_refuses_surrogates_and_overlong_forms),
		cmocka_unit_test(buf_prints_what_fits_and_what_does_not),
		cmocka_unit_test(buf_refuses_what_is_over_its_maximum),
		cmocka_unit_test(arena_pieces_are_aligned_and_apart),
		cmocka_unit_test(map_keeps_what_was_put_through_growth_and_removal),
		cmocka_unit_test(times_survive_print_and_parse),
		cmocka_unit_test(plain_paths_lead_nowhere_else),
		cmocka_unit_test(a_histogram_counts_by_steps),
		cmocka_unit_test(uuids_are_in_time_order_and_unique),
		cmocka_unit_test(replace_and_remove_tree_leave_nothing),
		cmocka_unit_test(read_over_the_maximum_is_a_limit_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
