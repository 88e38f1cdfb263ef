// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "place.h"

#include <stdlib.h>
#include <time.h>

enum { TRIES = 5000 };

static void nap(void)
{
	struct timespec t = { .tv_nsec = 2000000 };

	nanosleep(&t, NULL);
}

static void put_file(const char *dir, const char *name, const char *text)
{
	auto_free char *path = mem_printf("%s/%s", dir, name);
	struct timespec old[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
}

static size_t keys(struct place *p, char *out, size_t size)
{
	struct store_list_options o = { .bucket = SPAN("served"), .limit = 1000 };
	struct store_list list;
	struct err e = { 0 };
	size_t n = 0;

	assert_int_equal(store_list(p->store, &o, &p->mem, &list, &e), 0);
	*out = '\0';
	for (size_t i = 0; i < list.n; i++)
		n += (size_t)snprintf(out + n, size - n, SPAN_FMT " ",
				      SPAN_ARG(list.entries[i].object.key));
	return list.n;
}

static void wait_keys(struct place *p, const char *want)
{
	char now[256];

	for (int i = 0; i < TRIES; i++) {
		keys(p, now, sizeof(now));
		if (strcmp(now, want) == 0)
			return;
		nap();
	}
	assert_string_equal(now, want);
}

static void the_index_follows_the_files(void **state)
{
	struct place *p = *state;
	auto_free char *root = mem_printf("%s-files", p->dir);
	auto_free char *sub = mem_printf("%s/a", root);
	auto_free char *gone = mem_printf("%s/a/b", root);
	const char *const roots[] = { root, NULL }, *const others[] = { "/srv", NULL };
	struct store_directory d = { .path = root, .stable_s = 1 };
	struct store_directory_state s;
	struct store_put_options put = { .bucket = SPAN("served"), .key = SPAN("x"), .owner = 1 };
	struct store_delete_item it = { .key = SPAN("a-") };
	auto_reader struct store_reader *r = NULL;
	struct store_object o;
	struct store_bucket b;
	struct store_put *w;
	struct err e = { 0 };
	char bytes[8];

	assert_int_equal(mkdir(root, 0755), 0);
	assert_int_equal(mkdir(sub, 0755), 0);
	put_file(root, "a-", "1");
	put_file(root, "a/b", "22");
	put_file(root, "ab", "333");
	put_file(root, "bad\xff", "4");
	assert_int_equal(store_directory_create(p->store, SPAN("served"), 1, &d, others, &b, &e),
			 -1);
	assert_int_equal(e.code, ERR_DENIED);
	assert_int_equal(store_directory_create(p->store, SPAN("served"), 1, &d, roots, &b, &e), 0);
	store_directories_start(p->store);
	wait_keys(p, "a- a/b ab ");
	assert_int_equal(p->events, 3);
	assert_int_equal(store_directory_get(p->store, b.id, &p->mem, &d, &s, &e), 0);
	assert_int_equal(s.skipped_names, 1);
	assert_int_equal(store_reader_open(p->store, SPAN("served"), SPAN("a/b"), 0, &p->mem, &o,
					   &r, &e),
			 0);
	assert_int_equal(store_reader_pread(r, 1, bytes, sizeof(bytes), &e), 1);
	assert_int_equal(store_put_begin(p->store, &put, &w, &e), -1);
	assert_int_equal(e.code, ERR_DENIED);
	assert_int_equal(store_delete(p->store, SPAN("served"), &it, NULL, &e), -1);
	assert_int_equal(e.code, ERR_DENIED);
	store_reader_close(mem_take(&r));
	close_all(p); // while nobody looks, one goes and one comes
	assert_int_equal(unlink(gone), 0);
	put_file(root, "a/c", "5");
	open_all(p);
	store_directories_start(p->store);
	wait_keys(p, "a- a/c ab ");
	assert_int_equal(p->events, 5);
	assert_int_equal(store_bucket_delete(p->store, SPAN("served"), &e), 0);
	assert_int_equal(store_bucket_get(p->store, SPAN("served"), &b, &e), -1);
	assert_int_equal(file_remove_tree(AT_FDCWD, root, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_index_follows_the_files, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
