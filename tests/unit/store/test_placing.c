// SPDX-License-Identifier: Apache-2.0
// What jobs make, as files of a directory served in place.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/clock.h"
#include "place.h"

#include <stdlib.h>

enum { TRIES = 5000 };

struct served {
	struct place *p;
	char root[64];
	struct store_bucket bucket;
};

static char *path_of(const struct served *s, const char *name)
{
	return mem_printf("%s/%s", s->root, name);
}

static bool there(const struct served *s, const char *name)
{
	auto_free char *path = path_of(s, name);

	return access(path, F_OK) == 0;
}

static void open_served(struct served *s, struct place *p, bool outputs, bool started)
{
	const char *const roots[] = { s->root, NULL };
	struct store_directory d = {
		.path = s->root, .stable_s = 1, .interval_s = 1, .outputs = outputs
	};
	struct err e = { 0 };

	s->p = p;
	snprintf(s->root, sizeof(s->root), "%s-files", p->dir);
	assert_int_equal(mkdir(s->root, 0755), 0);
	assert_int_equal(
		store_directory_create(p->store, SPAN("served"), 1, &d, roots, &s->bucket, &e), 0);
	if (started)
		store_directories_start(p->store);
}

static void drop_served(struct served *s)
{
	struct err e = { 0 };

	assert_int_equal(file_remove_tree(AT_FDCWD, s->root, &e), 0);
}

// Until all of the directory was looked through once more, from its begin.
static void look(struct served *s)
{
	struct store_directory_state was, now;
	struct store_directory d;
	struct err e = { 0 };

	assert_int_equal(store_directory_get(s->p->store, s->bucket.id, &s->p->mem, &d, &was, &e),
			 0);
	for (int i = 0; i < TRIES; i++) {
		assert_int_equal(store_directory_get(s->p->store, s->bucket.id, &s->p->mem, &d,
						     &now, &e),
				 0);
		if (now.scans > was.scans + 1)
			return;
		usleep(2000);
	}
	fail_msg("the place does not look");
}

static struct store_put_options options(const char *key)
{
	return (struct store_put_options){ .bucket = SPAN("served"),
					   .key = span_of(key),
					   .owner = 1,
					   .size = UINT64_MAX,
					   .by_link = true,
					   .cause = { .job = 7, .run = 5, .depth = 1 } };
}

static int begin(struct served *s, const char *key, struct store_put **out, struct err *e)
{
	struct store_put_options o = options(key);

	return store_put_begin(s->p->store, &o, out, e);
}

// Until the directory is open.
static void ready(struct served *s)
{
	for (int i = 0; i < TRIES; i++) {
		struct store_put *w;
		struct err e = { 0 };

		if (begin(s, "probe", &w, &e) == 0) {
			store_put_abort(w);
			return;
		}
		usleep(2000);
	}
	fail_msg("the directory is not opened");
}

// An output of a job, ready to be committed.
static struct store_put *staged(struct served *s, const char *key, const char *text)
{
	auto_free char *made = mem_printf("%s/made", s->p->dir);
	FILE *f = fopen(made, "w");
	struct store_put *w = NULL;
	struct err e = { 0 };

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	if (begin(s, key, &w, &e) < 0 || store_put_take_file(w, AT_FDCWD, made, &e) < 0 ||
	    store_put_stage(w, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(unlink(made), 0);
	return w;
}

static int apply(struct db_conn *c, void *put, struct err *e)
{
	return store_put_apply(put, c, e);
}

static void commit(struct served *s, struct store_put *w)
{
	struct err e = { 0 };

	if (db_write(s->p->db, apply, w, &e) < 0)
		fail_msg("%s", e.msg);
}

static void assert_text(struct served *s, const char *key, const char *want)
{
	auto_reader struct store_reader *r = NULL;
	struct store_object o;
	struct err e = { 0 };
	char got[64];
	ssize_t n;

	if (store_reader_open(s->p->store, SPAN("served"), span_of(key), 0, &s->p->mem, &o, &r,
			      &e) < 0)
		fail_msg("%s: %s", key, e.msg);
	n = store_reader_pread(r, 0, got, sizeof(got), &e);
	assert_int_equal(n, strlen(want));
	assert_memory_equal(got, want, strlen(want));
	assert_int_equal(o.job, 7);
	assert_int_equal(o.run, 5);
}

static size_t parts(struct served *s, const char *folder)
{
	auto_free char *path = path_of(s, folder);
	DIR *d = opendir(path);
	size_t n = 0;

	assert_non_null(d);
	for (struct dirent *f; (f = readdir(d));)
		n += strncmp(f->d_name, ".oscar-part-", 12) == 0;
	closedir(d);
	return n;
}

static void an_output_is_a_file_with_one_event(void **state)
{
	struct served s;
	struct store_put *w;

	open_served(&s, *state, true, true);
	ready(&s);
	s.p->events = 0;
	w = staged(&s, "a/b/out", "made");
	assert_int_equal(parts(&s, "a/b"), 1);
	assert_false(there(&s, "a/b/out"));
	commit(&s, w);
	assert_text(&s, "a/b/out", "made"); // not renamed yet
	store_put_committed(w);
	store_put_abort(w);
	assert_true(there(&s, "a/b/out"));
	assert_int_equal(parts(&s, "a/b"), 0);
	assert_text(&s, "a/b/out", "made");
	assert_int_equal(s.p->events, 1);
	look(&s);
	assert_int_equal(s.p->events, 1);
	w = staged(&s, "a/b/out", "made anew");
	commit(&s, w);
	assert_text(&s, "a/b/out", "made anew");
	store_put_committed(w);
	store_put_abort(w);
	look(&s);
	assert_text(&s, "a/b/out", "made anew");
	assert_int_equal(s.p->events, 2);
	drop_served(&s);
}

static void what_is_not_committed_leaves_nothing(void **state)
{
	struct served s;
	struct store_put *w;

	open_served(&s, *state, true, true);
	ready(&s);
	s.p->events = 0;
	w = staged(&s, "out", "made");
	assert_int_equal(parts(&s, "."), 1);
	store_put_abort(w);
	assert_int_equal(parts(&s, "."), 0);
	look(&s);
	assert_false(there(&s, "out"));
	assert_int_equal(s.p->events, 0);
	drop_served(&s);
}

static void a_key_is_written_by_one_at_a_time(void **state)
{
	struct served s;
	struct store_put *w, *other = NULL;
	struct err e = { 0 };

	open_served(&s, *state, true, true);
	ready(&s);
	w = staged(&s, "out", "first");
	assert_int_equal(begin(&s, "out", &other, &e), -1);
	assert_int_equal(e.code, ERR_BUSY);
	assert_int_equal(begin(&s, "other", &other, &e), 0);
	store_put_abort(other);
	store_put_abort(w);
	assert_int_equal(begin(&s, "out", &other, &e), 0);
	store_put_abort(other);
	drop_served(&s);
}

// In a process of its own, which ends like a crash.
static void crash_after(struct served *s, void (*what)(struct served *))
{
	pid_t pid;
	int status;

	close_all(s->p);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		open_all(s->p);
		store_directories_start(s->p->store);
		ready(s);
		what(s);
		_exit(s->p->events);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	s->p->events = WEXITSTATUS(status);
	open_all(s->p);
}

static void stage_only(struct served *s)
{
	s->p->events = 0;
	(void)staged(s, "sub/out", "made");
}

static void stage_and_commit(struct served *s)
{
	s->p->events = 0;
	commit(s, staged(s, "sub/out", "made"));
}

static void a_crash_before_the_rename_loses_and_doubles_nothing(void **state)
{
	struct served s;

	open_served(&s, *state, true, true);
	ready(&s);
	crash_after(&s, stage_and_commit);
	assert_int_equal(s.p->events, 1);
	assert_false(there(&s, "sub/out"));
	store_directories_start(s.p->store);
	for (int i = 0; i < TRIES && !there(&s, "sub/out"); i++)
		usleep(2000);
	assert_text(&s, "sub/out", "made");
	look(&s);
	assert_text(&s, "sub/out", "made");
	assert_int_equal(s.p->events, 1);
	assert_int_equal(parts(&s, "sub"), 0);
	drop_served(&s);
}

enum { MANY = 600 }; // more than are settled at a time

static void commit_many(struct served *s)
{
	s->p->events = 0;
	for (int i = 0; i < MANY; i++) {
		auto_free char *key = mem_printf("sub/%d", i);

		commit(s, staged(s, key, "made"));
	}
	_exit(s->p->events == MANY ? 0 : 1);
}

static void all_that_is_left_is_done_at_once(void **state)
{
	struct served s;

	open_served(&s, *state, true, true);
	ready(&s);
	crash_after(&s, commit_many);
	assert_int_equal(s.p->events, 0);
	store_directories_start(s.p->store);
	look(&s);
	assert_int_equal(parts(&s, "sub"), 0);
	for (int i = 0; i < MANY; i++) {
		auto_free char *key = mem_printf("sub/%d", i);

		assert_true(there(&s, key));
	}
	look(&s);
	assert_int_equal(s.p->events, 0); // all were told before
	drop_served(&s);
}

static void a_crash_before_the_commit_is_written_over(void **state)
{
	struct served s;
	struct store_put *w;

	open_served(&s, *state, true, true);
	ready(&s);
	crash_after(&s, stage_only);
	assert_int_equal(s.p->events, 0);
	assert_int_equal(parts(&s, "sub"), 1);
	store_directories_start(s.p->store);
	look(&s);
	assert_int_equal(s.p->events, 0);
	w = staged(&s, "sub/out", "again");
	assert_int_equal(parts(&s, "sub"), 1);
	commit(&s, w);
	store_put_committed(w);
	store_put_abort(w);
	assert_text(&s, "sub/out", "again");
	assert_int_equal(parts(&s, "sub"), 0);
	drop_served(&s);
}

static void what_nobody_finishes_is_removed_after_a_day(void **state)
{
	struct served s;

	open_served(&s, *state, true, true);
	ready(&s);
	crash_after(&s, stage_only);
	clock_wall_shift(23 * 3600 * NS_PER_S);
	store_directories_start(s.p->store);
	look(&s);
	assert_int_equal(parts(&s, "sub"), 1);
	clock_wall_shift(26 * 3600 * NS_PER_S);
	look(&s);
	for (int i = 0; i < TRIES && parts(&s, "sub"); i++)
		usleep(2000);
	assert_int_equal(parts(&s, "sub"), 0);
	clock_wall_shift(0);
	drop_served(&s);
}

static void nothing_is_written_elsewhere(void **state)
{
	static const char *const wrong[] = {
		"link/out", "../out", "a/../../out",   "./out",	   "/out",
		"a//out",   "out/",   ".oscar-part-1", "file/out", "a/.oscar-part-0123456789abcdef"
	};
	struct served s;
	auto_free char *file = NULL, *link = NULL;
	struct store_put *w;
	struct err e = { 0 };
	FILE *f;

	open_served(&s, *state, true, true);
	ready(&s);
	file = path_of(&s, "file");
	link = path_of(&s, "link");
	f = fopen(file, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(symlink("/tmp", link), 0);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_int_equal(begin(&s, wrong[i], &w, &e), -1);
		if (e.code != ERR_INVALID && e.code != ERR_DENIED)
			fail_msg("%s: %s", wrong[i], e.msg);
	}
	drop_served(&s);
}

static void outputs_must_be_allowed(void **state)
{
	struct store_put_options plain = options("out");
	struct served s;
	struct store_put *w;
	struct err e = { 0 };

	open_served(&s, *state, false, true);
	assert_int_equal(begin(&s, "out", &w, &e), -1);
	assert_int_equal(e.code, ERR_DENIED);
	drop_served(&s);
	assert_int_equal(store_bucket_delete(s.p->store, SPAN("served"), &e), 0);
	open_served(&s, *state, true, false); // begun with the first one
	ready(&s);
	plain.by_link = false; // bytes of a client
	assert_int_equal(store_put_begin(s.p->store, &plain, &w, &e), -1);
	assert_int_equal(e.code, ERR_DENIED);
	drop_served(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_output_is_a_file_with_one_event, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_is_not_committed_leaves_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_key_is_written_by_one_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(a_crash_before_the_rename_loses_and_doubles_nothing,
						setup, teardown),
		cmocka_unit_test_setup_teardown(all_that_is_left_is_done_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_crash_before_the_commit_is_written_over, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_nobody_finishes_is_removed_after_a_day, setup,
						teardown),
		cmocka_unit_test_setup_teardown(nothing_is_written_elsewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(outputs_must_be_allowed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
