// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "place.h"
#include "store/check.h"

#include <sys/mount.h>

// Opens the store with these content directories, names below the test's folder.
static int open_with(struct place *p, struct err *e, const char *a, const char *b)
{
	auto_free char *path = mem_printf("%s/oscar.db", p->dir);
	auto_free char *first = mem_printf("%s/%s", p->dir, a);
	auto_free char *second = b ? mem_printf("%s/%s", p->dir, b) : NULL;
	const char *const dirs[] = { first, second, NULL };
	struct db_options o = { .path = path,
				.migrations = schema_migrations,
				.migration_count = schema_migration_count };
	struct store_options so = { .data_dir = p->dir, .content_dirs = dirs };
	int bad;

	assert_int_equal(db_open(&p->db, &o, e), 0);
	so.db = p->db;
	bad = store_open(&p->store, &so, e);
	if (bad < 0) {
		db_close(p->db);
		p->db = NULL;
		p->store = NULL;
	}
	return bad;
}

static size_t count_files(struct place *p, const char *dir)
{
	size_t n = 0;

	for (int i = 0; i < 256; i++) {
		auto_free char *path = mem_printf("%s/%s/%02x", p->dir, dir, (unsigned)i);
		DIR *d = opendir(path);

		assert_non_null(d);
		for (struct dirent *f; (f = readdir(d));)
			n += f->d_name[0] != '.';
		closedir(d);
	}
	return n;
}

// A directory on a file system of its own has more room than the rest of it in proportion, or less: what matters is
// that both are used and both are found again.
static void a_directory_is_added_and_both_are_read(void **state)
{
	struct place *p = *state;
	struct store_checked found;
	struct store_check_options co = { .repair = false };
	struct err e = { 0 };

	put(p, "old", pattern(p, 50000));
	close_all(p);
	assert_int_equal(open_with(p, &e, "content", "more"), 0);
	put(p, "new", pattern(p, 60000));
	assert_content(p, "old", pattern(p, 50000));
	assert_content(p, "new", pattern(p, 60000));
	assert_int_equal(count_files(p, "content") + count_files(p, "more"), 2);
	close_all(p);
	// In the other order: the mark says which is which.
	assert_int_equal(open_with(p, &e, "more", "content"), 0);
	assert_content(p, "old", pattern(p, 50000));
	assert_content(p, "new", pattern(p, 60000));
	assert_int_equal(store_check(p->store, &co, &found, &e), 0);
	assert_int_equal(found.files, 2);
	assert_int_equal(found.orphans + found.damaged + found.missing, 0);
}

static void a_directory_that_is_missing_is_named(void **state)
{
	struct place *p = *state;
	auto_free char *more = mem_printf("%s/more", p->dir);
	auto_free char *gone = mem_printf("%s/gone", p->dir);
	auto_free char *mark = mem_printf("%s/more/.oscar-content", p->dir);
	struct err e = { 0 };

	close_all(p);
	assert_int_equal(open_with(p, &e, "content", "more"), 0);
	close_all(p);
	assert_int_equal(open_with(p, &e, "content", NULL), -1);
	assert_non_null(strstr(e.msg, more));
	assert_non_null(strstr(e.msg, "missing"));
	// As when its disk is not mounted: nothing is written into the empty folder.
	assert_int_equal(rename(more, gone), 0);
	e = (struct err){ 0 };
	assert_int_equal(open_with(p, &e, "content", "more"), -1);
	assert_non_null(strstr(e.msg, "missing"));
	assert_int_equal(access(mark, F_OK), -1);
	assert_int_equal(rmdir(more), 0);
	assert_int_equal(rename(gone, more), 0);
	assert_int_equal(open_with(p, &e, "content", "more"), 0);
}

static void a_directory_of_others_is_refused(void **state)
{
	struct place *p = *state;
	auto_free char *mark = mem_printf("%s/content/.oscar-content", p->dir);
	static const char *const wrong[] = {
		"content 0 of 00000000000000000000000000000000\n",
		"content 99 of 00000000000000000000000000000000\n",
		"content -1 of 00000000000000000000000000000000\n",
		"content",
		"",
	};
	auto_buf struct buf was = { .max = 200 };
	struct err e = { 0 };

	close_all(p);
	assert_int_equal(file_read_path(AT_FDCWD, mark, &was, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_int_equal(file_replace(AT_FDCWD, mark, 0600, wrong[i], strlen(wrong[i]), &e),
				 0);
		assert_int_equal(open_with(p, &e, "content", NULL), -1);
		assert_int_equal(e.code, ERR_INVALID);
	}
	assert_int_equal(file_replace(AT_FDCWD, mark, 0600, was.p, was.n, &e), 0);
	assert_int_equal(open_with(p, &e, "content", "content"), -1);
	assert_int_equal(open_with(p, &e, "content", NULL), 0);
}

// Root may mount; others see that it was skipped.
static bool mount_small(const char *path, const char *options)
{
	assert_int_equal(mkdir(path, 0700), 0);
	return mount("tmpfs", path, "tmpfs", 0, options) == 0;
}

static void the_roomier_directory_takes_the_next_and_a_full_one_none(void **state)
{
	struct place *p = *state;
	auto_free char *small = mem_printf("%s/small", p->dir);
	auto_free char *large = mem_printf("%s/large", p->dir);
	auto_free char *fill = mem_printf("%s/large/fill", p->dir);
	auto_free char *db = mem_printf("%s/oscar.db", p->dir);
	struct err e = { 0 };

	if (geteuid() != 0 || !mount_small(small, "size=4m"))
		skip();
	assert_true(mount_small(large, "size=16m"));
	close_all(p);
	assert_int_equal(unlink(db), 0); // another installation
	assert_int_equal(open_with(p, &e, "small", "large"), 0);
	struct store_bucket b;
	assert_int_equal(store_bucket_create(p->store, SPAN("photos"), 1, 0, &b, &e), 0);
	put(p, "a", pattern(p, 50000));
	assert_int_equal(count_files(p, "small"), 0);
	assert_int_equal(count_files(p, "large"), 1);
	assert_true(store_room(p->store) == STORE_ROOM_PLENTY);

	int fd = open(fill, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(posix_fallocate(fd, 0, (16 << 20) - (640 << 10)), 0);
	put(p, "b", pattern(p, 50000));
	assert_int_equal(count_files(p, "small"), 1);
	close(fd);
	close_all(p);
	assert_int_equal(umount(small), 0);
	assert_int_equal(umount(large), 0);
	p->store = NULL;
	p->db = NULL;
}

static void little_room_is_told_and_none_refuses_puts(void **state)
{
	struct place *p = *state;
	struct store_put_options o = {
		.bucket = SPAN("photos"), .key = SPAN("k"), .owner = 1, .size = UINT64_MAX
	};
	auto_free char *path = mem_printf("%s/oscar.db", p->dir);
	struct db_options dbo = { .path = path,
				  .migrations = schema_migrations,
				  .migration_count = schema_migration_count };
	struct store_options so = { .data_dir = p->dir,
				    .free_low_percent = 100,
				    .free_stop_percent = 1 };
	struct err e = { 0 };
	struct store_put *w;

	put(p, "there", pattern(p, 50000));
	close_all(p);
	assert_int_equal(db_open(&p->db, &dbo, &e), 0);
	so.db = p->db;
	assert_int_equal(store_open(&p->store, &so, &e), 0);
	assert_true(store_room(p->store) == STORE_ROOM_LOW);
	put(p, "k", pattern(p, 50000));
	store_close(p->store);
	so.free_stop_percent = 100;
	assert_int_equal(store_open(&p->store, &so, &e), 0);
	assert_true(store_room(p->store) == STORE_ROOM_NONE);
	assert_int_equal(store_put_begin(p->store, &o, &w, &e), -1);
	assert_int_equal(e.code, ERR_FULL);
	// Reading and deleting go on.
	struct store_deleted done;

	assert_content(p, "there", pattern(p, 50000));
	assert_int_equal(drop(p->store, SPAN("photos"), SPAN("there"), 0, &done, &e), 0);
	assert_true(done.existed);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_directory_is_added_and_both_are_read),
		CASE(a_directory_that_is_missing_is_named),
		CASE(a_directory_of_others_is_refused),
		CASE(the_roomier_directory_takes_the_next_and_a_full_one_none),
		CASE(little_room_is_told_and_none_refuses_puts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
