// SPDX-License-Identifier: Apache-2.0
// Layers over layers: what stands in the tree afterwards.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/file.h"
#include "base/mem.h"
#include "image/blob.h"
#include "image/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct bed {
	char path[64];
	int root;
	struct unpack_total total;
};

static int setup(void **state)
{
	struct bed *b = mem_zalloc(sizeof(*b));

	snprintf(b->path, sizeof(b->path), "/tmp/oscar-layer-XXXXXX");
	assert_non_null(mkdtemp(b->path));
	b->root = open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bed *b = *state;
	struct err e = { 0 };

	close(b->root);
	assert_int_equal(file_remove_tree(AT_FDCWD, b->path, &e), 0);
	mem_free(b);
	return 0;
}

// Entries, one a line: "f NAME TEXT", "d NAME", "s NAME TARGET" (symbolic), "h NAME TARGET" (hard).
static int tar_of(const char *entries)
{
	int fd = memfd_create("layer", MFD_CLOEXEC);
	struct archive *a = archive_write_new();
	struct span rest = span_of(entries);

	archive_write_set_format_pax_restricted(a);
	archive_write_open_fd(a, fd);
	while (rest.n) {
		struct span line = span_cut(&rest, '\n'), kind = span_cut(&line, ' '),
			    name = span_cut(&line, ' ');
		auto_free char *path = mem_strndup(name.p, name.n),
			       *value = mem_strndup(line.p ? line.p : "", line.n);
		struct archive_entry *e = archive_entry_new();

		archive_entry_set_pathname(e, path);
		archive_entry_set_perm(e, 0644);
		archive_entry_set_filetype(e, kind.p[0] == 'd'	 ? AE_IFDIR
					      : kind.p[0] == 's' ? AE_IFLNK
								 : AE_IFREG);
		if (kind.p[0] == 's')
			archive_entry_set_symlink(e, value);
		if (kind.p[0] == 'h')
			archive_entry_set_hardlink(e, value);
		archive_entry_set_size(e, kind.p[0] == 'f' ? (la_int64_t)line.n : 0);
		archive_write_header(a, e);
		if (kind.p[0] == 'f')
			archive_write_data(a, value, line.n);
		archive_entry_free(e);
	}
	archive_write_free(a);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static int apply_tar(struct bed *b, int fd, bool lowest, struct err *e)
{
	const struct unpack_limits limits = { .size_max = 1 << 20, .entries_max = 1000 };
	char digest[65];

	return unpack_layer(fd, b->root, lowest, &limits, &b->total, digest, e);
}

static int apply(struct bed *b, const char *entries, bool lowest, struct err *e)
{
	auto_fd int fd = tar_of(entries);

	return apply_tar(b, fd, lowest, e);
}

static void layers(struct bed *b, const char *lower, const char *upper)
{
	struct err e = { 0 };

	if (apply(b, lower, true, &e) < 0 || apply(b, upper, false, &e) < 0)
		fail_msg("%s", e.msg);
}

static void assert_text(struct bed *b, const char *name, const char *text)
{
	auto_buf struct buf got;
	struct err e = { 0 };

	buf_init(&got, 1000);
	if (file_read_path(b->root, name, &got, &e) < 0)
		fail_msg("%s", e.msg);
	assert_string_equal(got.p ? got.p : "", text);
}

static bool there(struct bed *b, const char *name)
{
	struct stat st;

	return fstatat(b->root, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void a_mark_removes_what_lies_below(void **state)
{
	struct bed *b = *state;

	layers(b, "f a one\nd dir\nf dir/x one\nd dir/sub\nf dir/sub/y one\nf kept one",
	       "f .wh.a -\nf .wh.dir -\nf .wh.never-was -");
	assert_false(there(b, "a"));
	assert_false(there(b, "dir"));
	assert_false(there(b, ".wh.a"));
	assert_true(there(b, "kept"));
}

static void a_mark_spares_what_its_own_layer_brings(void **state)
{
	struct bed *b = *state;

	// Before and after the mark.
	layers(b, "f a one\nd dir\nf dir/old one\nd d2\nf d2/old one",
	       "f a two\nf .wh.a -\nd dir\nf dir/new two\nf .wh.dir -\nf .wh.d2 -\nd d2\nf d2/new "
	       "two");
	assert_text(b, "a", "two");
	assert_text(b, "dir/new", "two");
	assert_false(there(b, "dir/old"));
	assert_text(b, "d2/new", "two");
	assert_false(there(b, "d2/old"));
}

static void an_opaque_folder_shows_its_own_layer_only(void **state)
{
	struct bed *b = *state;

	layers(b,
	       "d o\nf o/old one\nd o/sub\nf o/sub/old one\nd o/gone\nf o/gone/x one\nf beside one",
	       "f o/sub/new two\nf o/early two\nf o/.wh..wh..opq -\nf o/late two");
	assert_text(b, "o/early", "two");
	assert_text(b, "o/late", "two");
	assert_text(b, "o/sub/new", "two");
	assert_false(there(b, "o/old"));
	assert_false(there(b, "o/sub/old"));
	assert_false(there(b, "o/gone"));
	assert_true(there(b, "beside"));
}

static void marks_follow_the_links_of_the_image_only(void **state)
{
	struct bed *b = *state;

	layers(b,
	       "d usr\nd usr/lib\nf usr/lib/x one\nf usr/lib/y one\ns lib usr/lib\ns out "
	       "/../../etc",
	       "f lib/.wh.x -\nf usr/lib/y two\nf lib/.wh.y -");
	assert_false(there(b, "usr/lib/x"));
	assert_text(b, "usr/lib/y", "two"); // the same folder by another name
	assert_true(there(b, "lib"));
}

static void an_entry_replaces_what_it_meets(void **state)
{
	struct bed *b = *state;

	layers(b, "d a\nf a/x one\nf b one\ns c b\nd d\nf d/x one\nd e\nf e/kept one",
	       "f a two\nd b\nf b/x two\nd c\nf c/x two\ns d elsewhere\nd e");
	assert_text(b, "a", "two");
	assert_text(b, "b/x", "two");
	assert_text(b, "c/x", "two");
	assert_text(b, "e/kept", "one");
	assert_false(there(b, "d/x"));
}

static void hard_links_reach_lower_layers(void **state)
{
	struct bed *b = *state;

	layers(b, "f low one\nd dir\nf dir/x one", "h high low\nf .wh.low -\nh dir/y dir/x");
	assert_text(b, "high", "one");
	assert_false(there(b, "low"));
	assert_text(b, "dir/y", "one");
}

static void marks_of_the_lowest_layer_mean_nothing(void **state)
{
	struct bed *b = *state;
	struct err e = { 0 };

	assert_int_equal(apply(b, "f a one\nf .wh.a -\nf .wh..wh..opq -", true, &e), 0);
	assert_text(b, "a", "one");
	assert_false(there(b, ".wh.a"));
	assert_false(there(b, ".wh..wh..opq"));
}

static void marks_of_other_tools_mean_nothing(void **state)
{
	struct bed *b = *state;

	layers(b, "f a one", "f .wh..wh.aufs -\nd .wh..wh.plnk");
	assert_text(b, "a", "one");
	assert_false(there(b, ".wh..wh.aufs"));
}

static void marks_that_climb_are_refused(void **state)
{
	static const char *const bad[] = { "f .wh. -", "f .wh.. -", "f .wh... -",
					   "f dir/.wh... -" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = { 0 };

		assert_int_equal(apply(*state, "d dir\nf a one", true, &e), 0);
		assert_int_equal(apply(*state, bad[i], false, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
		assert_text(*state, "a", "one");
	}
}

static void limits_hold_over_all_layers(void **state)
{
	struct bed *b = *state;
	auto_buf struct buf many;
	struct err e = { 0 };

	buf_init(&many, 1 << 20);
	for (int i = 0; i < 600; i++)
		buf_printf(&many, "f x%d -\n", i);
	assert_int_equal(apply(b, many.p, true, &e), 0);
	assert_int_equal(apply(b, many.p, false, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
}

static void an_empty_layer_is_fine(void **state)
{
	struct bed *b = *state;
	struct err e = { 0 };

	assert_int_equal(apply(b, "f a one", true, &e), 0);
	assert_int_equal(apply(b, "", false, &e), 0);
	assert_text(b, "a", "one");
}

// ---- blobs ---------------------------------------------------------------------------------------------

static void a_blob_appears_only_with_its_digest(void **state)
{
	struct bed *b = *state;
	struct descriptor want = { .size = 5 };
	char digest[REFERENCE_DIGEST_MAX];
	struct err e = { 0 };

	blob_digest(SPAN("hello"), want.digest);
	for (int i = 0; i < 3; i++) {
		static const char *const bytes[] = { "hell", "hallo", "hello" };
		auto_blob struct blob_writer w = { .fd = -1 };
		int got;

		assert_int_equal(blob_begin(&w, b->root, 5, &e), 0);
		assert_true(blob_write(&w, span_of(bytes[i])));
		assert_false(blob_have(b->root, &want));
		got = blob_finish(&w, &want, digest, &e);
		assert_int_equal(got, i == 2 ? 0 : -1);
		assert_true(i == 2 || e.code == ERR_PROTOCOL);
	}
	assert_true(blob_have(b->root, &want));
	assert_string_equal(digest, want.digest);
}

static void a_blob_is_never_longer_than_announced(void **state)
{
	struct bed *b = *state;
	auto_blob struct blob_writer w = { .fd = -1 };
	struct err e = { 0 };

	assert_int_equal(blob_begin(&w, b->root, 5, &e), 0);
	assert_true(blob_write(&w, SPAN("12345")));
	assert_false(blob_write(&w, SPAN("6")));
	assert_int_equal(w.err.code, ERR_PROTOCOL);
	assert_int_equal(blob_restart(&w, &e), 0);
	assert_true(blob_write(&w, SPAN("54321")));
}

static void a_blob_that_changed_on_disk_is_not_used(void **state)
{
	struct bed *b = *state;
	char digest[REFERENCE_DIGEST_MAX];
	auto_blob struct blob_writer w = { .fd = -1 };
	auto_buf struct buf text;
	auto_fd int fd = -1;
	struct err e = { 0 };

	buf_init(&text, 100);
	assert_int_equal(blob_begin(&w, b->root, 5, &e), 0);
	assert_true(blob_write(&w, SPAN("hello")));
	assert_int_equal(blob_finish(&w, NULL, digest, &e), 0);
	assert_int_equal(blob_read(b->root, digest, &text, &e), 0);
	fd = openat(b->root, digest + 7, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "j", 1, 0), 1);
	assert_int_equal(blob_read(b->root, digest, &text, &e), -1);
	assert_int_equal(e.code, ERR_CORRUPT);
}

// Two headers of 512 bytes, the first with one block of data, then the text of the second.
static void a_layer_may_end_without_padding_but_not_within_a_file(void **state)
{
	struct bed *b = *state;

	for (off_t size = 3 * 512 + 1; size <= 3 * 512 + 6; size++) {
		auto_fd int fd = tar_of("f first 1\nf second sixsix");
		struct err e = { 0 };

		assert_int_equal(ftruncate(fd, size), 0);
		if (size < 3 * 512 + 6) {
			assert_int_equal(apply_tar(b, fd, true, &e), -1);
			assert_int_equal(e.code, ERR_INVALID);
		} else if (apply_tar(b, fd, true, &e) < 0) {
			fail_msg("%s", e.msg);
		}
		assert_int_equal(unlinkat(b->root, "first", 0), 0);
		if (size == 3 * 512 + 6)
			assert_text(b, "second", "sixsix");
		unlinkat(b->root, "second", 0);
	}
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

static void unpacking_ends_when_it_is_told_to(void **state)
{
	struct bed *b = *state;
	atomic_bool stop = true;
	const struct unpack_limits limits = { .size_max = 1 << 20,
					      .entries_max = 1000,
					      .stop = &stop };
	auto_fd int fd = tar_of("f a x");
	char digest[65];
	struct err e = { 0 };

	assert_int_equal(unpack_layer(fd, b->root, true, &limits, &b->total, digest, &e), -1);
	assert_int_equal(e.code, ERR_CANCELLED);
	stop = false;
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(unpack_layer(fd, b->root, true, &limits, &b->total, digest, &e), 0);
	assert_text(b, "a", "x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_mark_removes_what_lies_below),
		CASE(a_mark_spares_what_its_own_layer_brings),
		CASE(an_opaque_folder_shows_its_own_layer_only),
		CASE(marks_follow_the_links_of_the_image_only),
		CASE(an_entry_replaces_what_it_meets),
		CASE(hard_links_reach_lower_layers),
		CASE(marks_of_the_lowest_layer_mean_nothing),
		CASE(marks_of_other_tools_mean_nothing),
		CASE(marks_that_climb_are_refused),
		CASE(limits_hold_over_all_layers),
		CASE(unpacking_ends_when_it_is_told_to),
		CASE(an_empty_layer_is_fine),
		CASE(a_layer_may_end_without_padding_but_not_within_a_file),
		CASE(a_blob_appears_only_with_its_digest),
		CASE(a_blob_is_never_longer_than_announced),
		CASE(a_blob_that_changed_on_disk_is_not_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
