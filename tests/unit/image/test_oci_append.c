// SPDX-License-Identifier: Apache-2.0
// The layer that is put onto an image: the same bytes whatever the machine, and nothing that climbs.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/file.h"
#include "base/mem.h"
#include "image/layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int setup(void **state)
{
	char *path = mem_strdup("/tmp/oscar-append-XXXXXX");

	assert_non_null(mkdtemp(path));
	*state = path;
	return 0;
}

static int teardown(void **state)
{
	struct err e = { 0 };

	assert_int_equal(file_remove_tree(AT_FDCWD, *state, &e), 0);
	mem_free(*state);
	return 0;
}

static char *put(const char *dir, const char *name, const char *text, mode_t mode)
{
	char *path = mem_printf("%s/%s", dir, name);
	struct err e = { 0 };

	assert_int_equal(file_replace(AT_FDCWD, path, mode, text, strlen(text), &e), 0);
	return path;
}

static void make(const struct layer_file *files, size_t n, struct layer *out)
{
	struct err e = { 0 };

	if (layer_make(files, n, NULL, out, &e) < 0)
		fail_msg("%s", e.msg);
}

static void the_same_files_give_the_same_bytes(void **state)
{
	auto_free char *first = put(*state, "b", "two", 0600),
		       *second = put(*state, "a", "one", 0700);
	struct layer_file one[] = { { .to = "/z/b", .from = first },
				    { .to = "/a", .from = second } };
	struct layer_file other[2];
	struct timespec old[2] = { { .tv_sec = 5 }, { .tv_sec = 5 } };
	auto_layer struct layer l = { .fd = -1 }, m = { .fd = -1 };

	make(one, 2, &l);
	// Another order, other times, other bits for others.
	assert_int_equal(utimensat(AT_FDCWD, first, old, 0), 0);
	assert_int_equal(chmod(first, 0644), 0);
	other[0] = one[1];
	other[1] = one[0];
	make(other, 2, &m);
	assert_string_equal(l.blob.digest, m.blob.digest);
	assert_string_equal(l.diff_id, m.diff_id);
	assert_true(l.blob.size > 0 && l.blob.size == m.blob.size);
}

static void entries_are_roots_and_of_1970(void **state)
{
	auto_free char *dir = mem_printf("%s/d", (char *)*state), *link = mem_printf("%s/l", dir);
	auto_free char *file = NULL;
	struct layer_file files[] = {
		{ .to = "/opt/d", .from = dir },
		{ .to = "/run.sh", .bytes = SPAN("#!/bin/sh\n"), .executable = true }
	};
	static const char *const names[] = { "opt/d", "opt/d/f", "opt/d/l", "run.sh" };
	static const unsigned modes[] = { 0755, 0644, 0777, 0755 };
	auto_layer struct layer l = { .fd = -1 };
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	size_t n = 0;

	assert_int_equal(mkdir(dir, 0700), 0);
	file = put(dir, "f", "text", 0600);
	assert_int_equal(symlink("f", link), 0);
	make(files, ARRAY_LEN(files), &l);
	archive_read_support_filter_gzip(a);
	archive_read_support_format_tar(a);
	lseek(l.fd, 0, SEEK_SET);
	assert_int_equal(archive_read_open_fd(a, l.fd, 65536), ARCHIVE_OK);
	while (archive_read_next_header(a, &entry) == ARCHIVE_OK) {
		struct span name = span_of(archive_entry_pathname(entry));

		if (name.n && name.p[name.n - 1] == '/')
			name.n--;
		assert_true(n < ARRAY_LEN(names) && span_is(name, names[n]));
		assert_int_equal(archive_entry_perm(entry), modes[n++]);
		assert_int_equal(archive_entry_mtime(entry), 0);
		assert_int_equal(archive_entry_uid(entry), 0);
		assert_int_equal(archive_entry_gid(entry), 0);
	}
	assert_int_equal(n, ARRAY_LEN(names));
	archive_read_free(a);
}

static void places_that_are_none_are_refused(void **state unused_arg)
{
	static const char *const places[] = { "",      "a",    "/",	   "/a/../b",
					      "/a//b", "/./a", "/a/.wh.b", "/.wh..wh..opq",
					      "//" };

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		struct layer_file f = { .to = places[i], .bytes = SPAN("x") };
		auto_layer struct layer l = { .fd = -1 };
		struct err e = { 0 };

		assert_int_equal(layer_make(&f, 1, NULL, &l, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
	}
}

static void two_files_for_one_place_and_none_at_all_are_refused(void **state unused_arg)
{
	struct layer_file twice[] = { { .to = "/a", .bytes = SPAN("x") },
				      { .to = "/a", .bytes = SPAN("y") } };
	struct layer_file missing = { .to = "/a", .from = "/nonexistent/oscar" };
	struct layer_file device = { .to = "/a", .from = "/dev/null" };
	auto_layer struct layer l = { .fd = -1 }, m = { .fd = -1 }, o = { .fd = -1 },
				p = { .fd = -1 };
	struct err e = { 0 };

	assert_int_equal(layer_make(twice, 2, NULL, &l, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_int_equal(layer_make(twice, 0, NULL, &m, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_int_equal(layer_make(&missing, 1, NULL, &o, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(layer_make(&device, 1, NULL, &p, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_same_files_give_the_same_bytes, setup,
						teardown),
		cmocka_unit_test_setup_teardown(entries_are_roots_and_of_1970, setup, teardown),
		cmocka_unit_test(places_that_are_none_are_refused),
		cmocka_unit_test(two_files_for_one_place_and_none_at_all_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
