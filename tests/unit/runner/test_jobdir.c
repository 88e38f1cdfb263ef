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
#include "runner/jobdir.h"
#include "runner/joblog.h"
#include "runner/output.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
	char path[40];
	int dir;
};

static int setup(void **state)
{
	struct place *p = mem_zalloc(sizeof(*p));

	snprintf(p->path, sizeof(p->path), "/tmp/oscar-jobdir-XXXXXX");
	check(mkdtemp(p->path));
	p->dir = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = p;
	return p->dir < 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	int bad = file_remove_tree(AT_FDCWD, p->path, &e);

	close(p->dir);
	mem_free(p);
	return bad;
}

static enum jobdir_state look(struct place *p, struct jobdir_exit *x, int64_t *started)
{
	enum jobdir_state state;
	struct err e = { 0 };

	if (jobdir_look(p->dir, &state, x, started, &e) < 0)
		fail_msg("%s", e.msg);
	return state;
}

static void names_go_both_ways(void **state unused_arg)
{
	static const char *const wrong[] = { "",      "a",    "a.",	      ".1",    "a.0",
					     "a.01",  "a.-1", "A.1",	      "a/b.1", "a.1 ",
					     "a b.1", "..1",  "a.4294967296", "a.b.1" };
	char name[JOBDIR_NAME_MAX], job[80];
	unsigned attempt;

	assert_string_equal(jobdir_name(name, "job-7", 12), "job-7.12");
	assert_true(jobdir_parse(name, job, sizeof(job), &attempt));
	assert_string_equal(job, "job-7");
	assert_int_equal(attempt, 12);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		if (jobdir_parse(wrong[i], job, sizeof(job), &attempt))
			fail_msg("\"%s\" passes", wrong[i]);
}

static void the_lock_and_the_record_tell_the_state(void **state)
{
	struct place *p = *state;
	struct jobdir_exit x = { .outcome = JOBDIR_EXITED, .exit_code = 3 }, got;
	struct err e = { 0 };
	int64_t started;
	int alive;

	assert_int_equal(look(p, &got, &started), JOBDIR_NEW);
	alive = jobdir_alive_make(p->dir, &e);
	assert_true(alive >= 0);
	assert_int_equal(look(p, &got, &started), JOBDIR_RUNNING);
	assert_int_equal(started, 0);
	assert_int_equal(jobdir_alive_write(alive, 77, &e), 0);
	assert_int_equal(look(p, &got, &started), JOBDIR_RUNNING);
	assert_int_equal(started, 77);
	assert_int_equal(jobdir_alive_make(p->dir, &e), -1);
	assert_int_equal(e.code, ERR_EXISTS);
	assert_int_equal(look(p, &got, &started), JOBDIR_RUNNING);
	assert_int_equal(jobdir_exit_write(p->dir, &x, &e), 0);
	assert_int_equal(look(p, &got, &started), JOBDIR_RUNNING); // it still holds the lock
	close(alive);
	assert_int_equal(look(p, &got, &started), JOBDIR_ENDED);
	assert_int_equal(got.exit_code, 3);
	assert_int_equal(unlinkat(p->dir, "exit", 0), 0);
	assert_int_equal(look(p, &got, &started), JOBDIR_GONE);
	assert_int_equal(started, 77);
	assert_int_equal(jobdir_alive_make(p->dir, &e), -1); // it does not begin twice
	assert_int_equal(e.code, ERR_EXISTS);
}

static void a_damaged_record_is_told_from_none(void **state)
{
	struct place *p = *state;
	struct jobdir_exit x = { .outcome = JOBDIR_EXITED };
	struct err e = { 0 };
	enum jobdir_state s;
	int64_t started;

	assert_int_equal(jobdir_exit_write(p->dir, &x, &e), 0);
	auto_fd int fd = openat(p->dir, "exit", O_WRONLY);

	assert_int_equal(ftruncate(fd, 20), 0);
	assert_int_equal(jobdir_look(p->dir, &s, &x, &started, &e), -1);
	assert_int_equal(e.code, ERR_CORRUPT);
	x = (struct jobdir_exit){ .outcome = 99 };
	assert_int_equal(jobdir_exit_write(p->dir, &x, &e), 0);
	assert_int_equal(jobdir_look(p->dir, &s, &x, &started, &e), -1);
	assert_int_equal(e.code, ERR_CORRUPT);
}

static void an_order_needs_a_listener(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	char c = 0;

	assert_int_equal(jobdir_order(p->dir, JOBDIR_CANCEL, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(mkfifoat(p->dir, "ctl", 0600), 0);
	assert_int_equal(jobdir_order(p->dir, JOBDIR_CANCEL, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	auto_fd int fd = openat(p->dir, "ctl", O_RDWR | O_NONBLOCK);

	assert_int_equal(jobdir_order(p->dir, JOBDIR_STOP, &e), 0);
	assert_int_equal(read(fd, &c, 1), 1);
	assert_int_equal(c, JOBDIR_STOP);
	for (int i = 0; i < 100000; i++) // a deaf one is not waited for
		assert_int_equal(jobdir_order(p->dir, JOBDIR_STOP, &e), 0);
	assert_int_equal(unlinkat(p->dir, "ctl", 0), 0);
	auto_fd int plain = openat(p->dir, "ctl", O_RDWR | O_CREAT, 0600);

	assert_true(plain >= 0);
	assert_int_equal(jobdir_order(p->dir, JOBDIR_STOP, &e), -1); // not into any file
	struct stat st;

	assert_true(fstat(plain, &st) == 0 && st.st_size == 0);
}

static void log_records_come_back_as_written(void **state)
{
	struct place *p = *state;
	auto_fd int fd = openat(p->dir, "log", O_RDWR | O_CREAT | O_APPEND, 0600);
	auto_free char *data = mem_alloc(JOBLOG_RECORD_MAX);
	auto_free char *large = mem_zalloc(JOBLOG_RECORD_MAX + 1);
	struct joblog_record r;
	struct err e = { 0 };
	off_t at = 0, whole;

	assert_int_equal(joblog_append(fd, JOBLOG_STDOUT, "one\n", 4, &e), 0);
	assert_int_equal(joblog_append(fd, JOBLOG_STDERR, large, JOBLOG_RECORD_MAX, &e), 0);
	assert_int_equal(joblog_append(fd, JOBLOG_STDOUT, large, JOBLOG_RECORD_MAX + 1, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_int_equal(joblog_append(fd, JOBLOG_STDOUT, large, 0, &e), -1);
	assert_int_equal(joblog_read(fd, &at, &r, data, &e), 1);
	assert_int_equal(r.stream, JOBLOG_STDOUT);
	assert_int_equal(r.size, 4);
	assert_memory_equal(data, "one\n", 4);
	assert_true(r.wall_ns > 0);
	assert_int_equal(joblog_read(fd, &at, &r, data, &e), 1);
	assert_int_equal(r.size, JOBLOG_RECORD_MAX);
	whole = at;
	assert_int_equal(joblog_read(fd, &at, &r, data, &e), 0);
	// A record is taken only when all of it is there.
	assert_int_equal(joblog_append(fd, JOBLOG_SYSTEM, "last", 4, &e), 0);
	off_t end = lseek(fd, 0, SEEK_END);

	for (off_t cut = end - 1; cut >= whole; cut--) {
		assert_int_equal(ftruncate(fd, cut), 0);
		assert_int_equal(joblog_read(fd, &at, &r, data, &e), 0);
		assert_true(at == whole);
	}
}

static void garbage_in_a_log_is_found(void **state)
{
	struct place *p = *state;
	auto_fd int fd = openat(p->dir, "log", O_RDWR | O_CREAT, 0600);
	auto_free char *data = mem_alloc(JOBLOG_RECORD_MAX);
	const struct joblog_record wrong[] = {
		{ .magic = 1, .stream = 1, .size = 1 },
		{ .magic = JOBLOG_MAGIC, .stream = 4, .size = 1 },
		{ .magic = JOBLOG_MAGIC, .stream = 0, .size = 1 },
		{ .magic = JOBLOG_MAGIC, .stream = 1, .size = 0 },
		{ .magic = JOBLOG_MAGIC, .stream = 1, .size = JOBLOG_RECORD_MAX + 1 },
	};
	struct joblog_record r;
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		off_t at = 0;

		assert_int_equal(file_pwrite_all(fd, &wrong[i], sizeof(wrong[i]), 0, &e), 0);
		assert_int_equal(joblog_read(fd, &at, &r, data, &e), -1);
		assert_int_equal(e.code, ERR_CORRUPT);
	}
}

static void make(struct place *p, const char *name, off_t size)
{
	auto_fd int fd = openat(p->dir, name, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0 && ftruncate(fd, size) == 0);
}

static void output_counts_names_lengths_and_no_links(void **state)
{
	struct place *p = *state;
	struct output_size o;

	output_measure(p->dir, UINT64_MAX, &o);
	assert_int_equal(o.bytes, 0);
	make(p, "sparse", 100 << 20); // counts as what would be uploaded
	assert_int_equal(symlinkat("/usr", p->dir, "link"), 0);
	output_measure(p->dir, UINT64_MAX, &o);
	assert_int_equal(o.entries, 2);
	assert_int_equal(o.bytes, (100 << 20) + 2 * OUTPUT_ENTRY_BYTES);
	for (int i = 0; i < 100; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%d", i);
		make(p, name, 0);
	}
	output_measure(p->dir, UINT64_MAX, &o);
	assert_int_equal(o.entries, 102);
	output_measure(p->dir, 10000, &o); // stops when it is too much
	assert_true(o.entries < 102 && o.bytes > 10000);
}

static void output_nested_without_end_is_noticed(void **state)
{
	struct place *p = *state;
	struct output_size o;
	int fd = dup(p->dir);

	for (int i = 0; i <= OUTPUT_DEPTH_MAX + 1; i++) {
		int below;

		assert_int_equal(mkdirat(fd, "d", 0700), 0);
		below = openat(fd, "d", O_RDONLY | O_DIRECTORY);
		close(fd);
		fd = below;
	}
	close(fd);
	output_measure(p->dir, UINT64_MAX, &o);
	assert_true(o.too_deep);
}

static void what_a_script_says_is_in_its_folder(void **state)
{
	struct place *p = *state;
	struct jobdir_progress said = { .size = 5, .wall_ns = 77, .text = "hello" }, got;
	struct err e = { 0 };
	int alive = jobdir_alive_make(p->dir, &e);
	char broken = 'X';

	assert_true(alive >= 0);
	assert_int_equal(jobdir_progress_read(alive, &got, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(jobdir_progress_write(alive, &said, &e), 0);
	assert_int_equal(jobdir_alive_write(alive, 42, &e), 0); // both have their places
	assert_int_equal(jobdir_progress_read(alive, &got, &e), 0);
	assert_memory_equal(got.text, "hello", 5);
	assert_int_equal(got.size, 5);
	assert_int_equal(got.wall_ns, 77);
	// One that is being written.
	assert_int_equal(pwrite(alive, &broken, 1,
				(off_t)(sizeof(struct jobdir_alive) +
					offsetof(struct jobdir_progress, text))),
			 1);
	assert_int_equal(jobdir_progress_read(alive, &got, &e), -1);
	// Its size is not believed.
	said.size = JOBDIR_PROGRESS_MAX;
	assert_int_equal(jobdir_progress_write(alive, &said, &e), 0);
	assert_int_equal(ftruncate(alive, 100), 0);
	assert_int_equal(jobdir_progress_read(alive, &got, &e), -1);
	said.size = 0;
	assert_int_equal(jobdir_progress_write(alive, &said, &e), 0);
	assert_int_equal(jobdir_progress_read(alive, &got, &e), -1);
	// The next attempt in the same folder begins without.
	said.size = 5;
	assert_int_equal(jobdir_progress_write(alive, &said, &e), 0);
	close(alive);
	assert_int_equal(renameat(p->dir, "alive", p->dir, "alive.new"), 0);
	alive = jobdir_alive_make(p->dir, &e);
	assert_true(alive >= 0);
	assert_int_equal(jobdir_progress_read(alive, &got, &e), -1);
	close(alive);
}

#define IN_PLACE(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_go_both_ways),
		IN_PLACE(what_a_script_says_is_in_its_folder),
		IN_PLACE(the_lock_and_the_record_tell_the_state),
		IN_PLACE(a_damaged_record_is_told_from_none),
		IN_PLACE(an_order_needs_a_listener),
		IN_PLACE(log_records_come_back_as_written),
		IN_PLACE(garbage_in_a_log_is_found),
		IN_PLACE(output_counts_names_lengths_and_no_links),
		IN_PLACE(output_nested_without_end_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
