// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/file.h"
#include "base/mem.h"
#include "db/db.h"
#include "db/feed.h"
#include "db/schema.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct place {
	char dir[32];
	char *path;
	struct db *db;
};

static struct db *open_at(const char *path)
{
	struct db_options o = { .path = path,
				.migrations = schema_migrations,
				.migration_count = schema_migration_count };
	struct err e = { 0 };
	struct db *d = NULL;

	if (db_open(&d, &o, &e) < 0)
		fail_msg("%s", e.msg);
	return d;
}

static int setup(void **state)
{
	struct place *p = mem_zalloc(sizeof(*p));

	memcpy(p->dir, "/tmp/oscar-db-XXXXXX", 21);
	assert_non_null(mkdtemp(p->dir));
	p->path = mem_printf("%s/oscar.db", p->dir);
	p->db = open_at(p->path);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	struct err e;

	db_close(p->db);
	assert_int_equal(file_remove_tree(AT_FDCWD, p->dir, &e), 0);
	mem_free(p->path);
	mem_free(p);
	return 0;
}

static int put_setting(struct db_conn *c, void *arg, struct err *e)
{
	return db_exec(c, "INSERT INTO settings VALUES(?1,'x')", DB_ARGS(db_str(arg)), e) < 0 ? -1
											      : 0;
}

static int put_then_fail(struct db_conn *c, void *arg, struct err *e)
{
	return put_setting(c, arg, e) < 0 ? -1 : err_set(e, ERR_CONFLICT, "changed my mind");
}

static int64_t count_settings(struct db *d)
{
	struct err e = { 0 };
	int64_t n = -1;

	assert_int_equal(db_get_int(db_reader(d, &e), "SELECT count(*) FROM settings", DB_NO_ARGS,
				    0, &n, &e),
			 0);
	return n;
}

static void a_failed_request_changes_nothing(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };

	assert_int_equal(db_write(p->db, put_setting, "a", &e), 0);
	assert_int_equal(db_write(p->db, put_then_fail, "b", &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(db_write(p->db, put_setting, "a", &e), -1);
	assert_int_equal(e.code, ERR_EXISTS);
	assert_int_equal(count_settings(p->db), 1);
}

static void *write_many(void *arg)
{
	struct db *d = arg;
	struct err e = { 0 };

	for (int i = 0; i < 200; i++) {
		auto_free char *name = mem_printf("%p-%d", (void *)&e, i);

		assert_int_equal(db_write(d, put_setting, name, &e), 0);
	}
	return NULL;
}

static void many_writers_share_commits_and_all_arrive(void **state)
{
	struct place *p = *state;
	pthread_t t[8];

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, write_many, p->db), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
	assert_int_equal(count_settings(p->db), 1600);
}

static void a_lazy_write_is_on_disk_soon(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };

	assert_int_equal(db_write_lazy(p->db, put_setting, "lazy", &e), 0);
	assert_int_equal(db_write(p->db, put_setting, "other", &e), 0); // orders behind it
	assert_int_equal(count_settings(p->db), 2);
}

static int take_number(struct db_conn *c, void *arg, struct err *e)
{
	return db_next(c, "version", arg, e);
}

static int take_number_and_fail(struct db_conn *c, void *arg, struct err *e)
{
	return db_next(c, "version", arg, e) < 0 ? -1 : err_set(e, ERR_CONFLICT, "no");
}

static void numbers_never_come_twice(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	int64_t last = 0, now;

	assert_int_equal(db_write(p->db, take_number_and_fail, &now, &e), -1);
	for (int life = 0; life < 3; life++) {
		for (int i = 0; i < 1500; i++) {
			assert_int_equal(db_write_lazy(p->db, take_number, &now, &e), 0);
			assert_true(now > last);
			last = now;
		}
		db_close(p->db);
		p->db = open_at(p->path);
	}
}

static void a_newer_schema_is_refused(void **state)
{
	struct place *p = *state;
	struct db_options o = { .path = p->path,
				.migrations = schema_migrations,
				.migration_count = 0 };
	struct err e = { 0 };
	struct db *d = NULL;

	assert_int_equal(db_open(&d, &o, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_non_null(strstr(e.msg, "newer program"));
}

static int say(struct db_conn *c, void *arg, struct err *e)
{
	return feed_append(c, "job", 1, span_of(arg), e);
}

static void the_feed_resumes_by_number(void **state)
{
	struct place *p = *state;
	auto_arena struct arena mem = { 0 };
	struct feed_entry *got;
	struct err e = { 0 };
	size_t n;

	for (int i = 0; i < 5; i++)
		assert_int_equal(db_write(p->db, say, "{}", &e), 0);
	assert_int_equal(feed_read(p->db, 0, 2, &mem, &got, &n, &e), 0);
	assert_int_equal(n, 2);
	assert_int_equal(feed_read(p->db, got[1].seq, 10, &mem, &got, &n, &e), 0);
	assert_int_equal(n, 3);
	assert_true(span_is(got[0].kind, "job"));
}

// A process that is killed with -9 right after a write was acknowledged has kept it.
static void an_acknowledged_write_survives_kill(void **state)
{
	struct place *p = *state;
	int status;
	pid_t pid;

	db_close(p->db);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct db *d = open_at(p->path);
		struct err e;

		for (int i = 0; i < 50; i++) {
			auto_free char *name = mem_printf("%d", i);

			if (db_write(d, put_setting, name, &e) < 0)
				_exit(1);
		}
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	p->db = open_at(p->path);
	assert_int_equal(count_settings(p->db), 50);
}

static void a_damaged_file_is_refused_with_its_name(void **state)
{
	struct place *p = *state;
	struct db_options o = { .migrations = schema_migrations,
				.migration_count = schema_migration_count };
	auto_free char *path = mem_printf("%s/bad.db", p->dir);
	struct err e = { 0 };
	struct db *d = NULL;

	assert_int_equal(
		file_replace(AT_FDCWD, path, 0600, "this is not a database, for sure", 32, &e), 0);
	o.path = path;
	assert_int_equal(db_open(&d, &o, &e), -1);
	assert_int_equal(e.code, ERR_CORRUPT);
}

static void reads_between_begin_and_end_see_one_moment(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	int64_t before;

	db_read_begin(p->db);
	before = count_settings(p->db);
	assert_int_equal(db_write(p->db, put_setting, "later", &e), 0);
	assert_int_equal(count_settings(p->db), before);
	db_read_end(p->db);
	assert_int_equal(count_settings(p->db), before + 1);
	db_read_end(p->db); // none has begun: nothing happens
	assert_int_equal(count_settings(p->db), before + 1);
}

static void sections_nest_and_can_be_renewed(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	int64_t before;

	db_read_begin(p->db);
	db_read_begin(p->db);
	before = count_settings(p->db);
	assert_int_equal(db_write(p->db, put_setting, "nested", &e), 0);
	db_read_end(p->db);
	assert_int_equal(count_settings(p->db), before); // the outer one goes on
	db_read_renew(p->db);
	assert_int_equal(count_settings(p->db), before + 1);
	assert_int_equal(db_write(p->db, put_setting, "renewed", &e), 0);
	assert_int_equal(count_settings(p->db), before + 1);
	db_read_end(p->db);
	assert_int_equal(count_settings(p->db), before + 2);
	db_read_renew(p->db); // none has begun: nothing happens
	assert_int_equal(count_settings(p->db), before + 2);
}

// ---- a full disk ---------------------------------------------------------------------------------------

static int put_large(struct db_conn *c, void *arg, struct err *e)
{
	int *n = arg;
	auto_free char *name = mem_printf("large-%d", (*n)++);

	return db_exec(c, "INSERT INTO settings VALUES(?1,hex(randomblob(200000)))",
		       DB_ARGS(db_str(name)), e) < 0
		       ? -1
		       : 0;
}

static int remove_large(struct db_conn *c, void *arg unused_arg, struct err *e)
{
	return db_exec(c, "DELETE FROM settings WHERE name LIKE 'large-%'", DB_NO_ARGS, e) < 0 ? -1
											       : 0;
}

// The database of the test on a disk of its own, of 64 MiB. Root alone may make one.
static bool move_to_small_disk(struct place *p)
{
	auto_free char *dir = mem_printf("%s/disk", p->dir);

	if (geteuid() != 0)
		return false;
	assert_int_equal(mkdir(dir, 0700), 0);
	if (mount("tmpfs", dir, "tmpfs", 0, "size=64m") < 0)
		return false;
	db_close(p->db);
	mem_free(p->path);
	p->path = mem_printf("%s/oscar.db", dir);
	p->db = open_at(p->path);
	return true;
}

static void leave_small_disk(struct place *p)
{
	auto_free char *dir = mem_printf("%s/disk", p->dir);

	db_close(p->db);
	assert_int_equal(umount(dir), 0);
	mem_free(p->path);
	p->path = mem_printf("%s/oscar.db", p->dir);
	p->db = open_at(p->path);
}

static int fill_disk(struct place *p)
{
	auto_free char *path = mem_printf("%s/disk/fill", p->dir);
	static const char zeros[4096];
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);

	assert_true(fd >= 0);
	while (write(fd, zeros, sizeof(zeros)) > 0)
		;
	close(fd);
	return 0;
}

static void deletes_commit_when_nothing_is_free(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	int n = 0;

	if (!move_to_small_disk(p))
		skip();
	for (int i = 0; i < 20; i++)
		assert_int_equal(db_write(p->db, put_large, &n, &e), 0);
	fill_disk(p);
	if (db_write(p->db, remove_large, NULL, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(count_settings(p->db), 0);
	assert_int_equal(db_write(p->db, put_setting, "small", &e), 0);
	leave_small_disk(p);
}

struct gate {
	pthread_mutex_t lock;
};

static int wait_at_gate(struct db_conn *c unused_arg, void *arg, struct err *e unused_arg)
{
	struct gate *g = arg;

	pthread_mutex_lock(&g->lock);
	pthread_mutex_unlock(&g->lock);
	return 0;
}

static int put_too_large(struct db_conn *c, void *arg unused_arg, struct err *e)
{
	return db_exec(c, "INSERT INTO settings VALUES('huge',hex(randomblob(50000000)))",
		       DB_NO_ARGS, e) < 0
		       ? -1
		       : 0;
}

static void remember(struct db_request *r, int result, const struct err *e unused_arg)
{
	r->result = result;
}

// SQLite ends the transaction of a batch by itself when the disk is full: what came before and what comes after it
// in the batch must not be told apart from what was committed.
static void a_batch_that_meets_a_full_disk_is_told_so_whole(void **state)
{
	struct place *p = *state;
	struct gate g;
	struct db_request r[5] = {
		{ .fn = wait_at_gate, .arg = &g },
		{ .fn = put_setting, .arg = "before" },
		{ .fn = put_too_large },
		{ .fn = put_setting, .arg = "after" },
		{ .fn = put_setting, .arg = "last" },
	};
	struct err e = { 0 };
	int64_t kept;
	int next;

	if (!move_to_small_disk(p))
		skip();
	pthread_mutex_init(&g.lock, NULL);
	pthread_mutex_lock(&g.lock);
	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		r[i].done = remember;
		db_submit(p->db, &r[i]);
	}
	pthread_mutex_unlock(&g.lock);
	next = db_write(p->db, put_setting, "next", &e); // may belong to the same batch
	assert_int_equal(db_write(p->db, put_setting, "end", &e), 0);
	kept = count_settings(p->db);
	assert_int_equal(kept, 1 + (next == 0) + (r[1].result >= 0) + (r[2].result >= 0) +
				       (r[3].result >= 0) + (r[4].result >= 0));
	assert_int_equal(r[2].result, -1);
	pthread_mutex_destroy(&g.lock);
	leave_small_disk(p);
}

static void what_was_submitted_has_ended_when_it_settles(void **state)
{
	struct place *p = *state;
	struct db_request r[] = {
		{ .fn = put_setting, .arg = "a", .done = remember, .lazy = true },
		{ .fn = put_setting, .arg = "a", .done = remember },
	};

	r[0].result = r[1].result = 7;
	db_submit(p->db, &r[0]);
	db_submit(p->db, &r[1]);
	db_settle(p->db);
	assert_int_equal(r[0].result, 0);
	assert_int_equal(r[1].result, -1); // there is one
	assert_int_equal(count_settings(p->db), 1);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_failed_request_changes_nothing),
		CASE(many_writers_share_commits_and_all_arrive),
		CASE(a_lazy_write_is_on_disk_soon),
		CASE(what_was_submitted_has_ended_when_it_settles),
		CASE(numbers_never_come_twice),
		CASE(a_newer_schema_is_refused),
		CASE(reads_between_begin_and_end_see_one_moment),
		CASE(sections_nest_and_can_be_renewed),
		CASE(the_feed_resumes_by_number),
		CASE(an_acknowledged_write_survives_kill),
		CASE(a_damaged_file_is_refused_with_its_name),
		CASE(deletes_commit_when_nothing_is_free),
		CASE(a_batch_that_meets_a_full_disk_is_told_so_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
