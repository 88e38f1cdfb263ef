// What is kept of jobs that are over, and where their logs lie.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "bed.h"
#include "db/feed.h"
#include "exec/joblog.h"

static uint64_t finished(struct bed *b)
{
	uint64_t counts[QUEUE_STATES];
	struct err e = { 0 };

	if (queue_counts(b->place.queue, 0, 0, counts, &e) < 0)
		fail_msg("%s", e.msg);
	return counts[QUEUE_SUCCEEDED] + counts[QUEUE_FAILED] + counts[QUEUE_DEAD] +
	       counts[QUEUE_CANCELLED];
}

static void wait_finished(struct bed *b, uint64_t n)
{
	int64_t deadline = clock_mono_ns() + BED_WAIT_S * NS_PER_S;

	while (finished(b) != n) {
		if (clock_mono_ns() > deadline)
			fail_msg("%llu finished jobs are kept, not %llu",
				 (unsigned long long)finished(b), (unsigned long long)n);
		usleep(5000);
	}
}

static bool log_is(struct bed *b, int64_t job, const char *text)
{
	char data[JOBLOG_RECORD_MAX];
	struct joblog_record r;
	struct err e = { 0 };
	auto_fd int fd = dispatch_log(b->d, job, 1, &e);
	off_t at = 0;

	return fd >= 0 && joblog_read(fd, &at, &r, data, &e) == 1 && r.size == strlen(text) &&
	       memcmp(data, text, r.size) == 0;
}

static unsigned log_files(struct bed *b)
{
	auto_free char *command = mem_printf("find %s/logs -type f | wc -l", b->place.dir);
	FILE *out = popen(command, "r");
	char line[32] = "";

	assert_non_null(out);
	assert_non_null(fgets(line, sizeof(line), out));
	pclose(out);
	return (unsigned)strtoul(line, NULL, 10);
}

static void a_small_log_is_kept_without_a_file(void **state)
{
	struct bed *b = *state;
	struct err e = { 0 };
	int64_t job;

	b->world = exec_fake_world_new();
	bed_service(b, "prints", "print", "");
	bed_service(b, "large", "print-much", "");
	bed_start(b);
	job = bed_call(b, "prints", "x");
	bed_wait(b, job, QUEUE_SUCCEEDED);
	bed_wait_idle(b);
	assert_true(log_is(b, job, "printed\n"));
	assert_int_equal(log_files(b), 0);
	int64_t large = bed_call(b, "large", "x");

	bed_wait(b, large, QUEUE_SUCCEEDED);
	bed_wait_idle(b);
	assert_int_equal(log_files(b), 1);
	bed_stop(b, false);
	bed_reopen(b);
	assert_true(log_is(b, job, "printed\n"));
	assert_int_equal(queue_delete(b->place.queue, job, &e), 0);
	assert_int_equal(dispatch_log(b->d, job, 1, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
}

static void the_newest_jobs_are_kept_with_their_logs(void **state)
{
	struct bed *b = *state;
	int64_t jobs[8], queued;
	struct queue_job j;
	struct err e = { 0 };

	b->world = exec_fake_world_new();
	bed_service(b, "large", "print-much", "");
	bed_service(b, "fails", "fail", "");
	bed_service(b, "never", "never", "");
	bed_start(b);
	queued = bed_call(b, "never", "x");
	for (int i = 0; i < 8; i++) {
		jobs[i] = bed_call(b, i % 2 ? "large" : "fails", "x");
		bed_wait(b, jobs[i], i % 2 ? QUEUE_SUCCEEDED : QUEUE_FAILED);
	}
	bed_stop(b, false);
	b->o.keep_jobs = 3;
	b->o.keep_feed = 4;
	b->o.retain_ms = 20;
	bed_reopen(b);
	wait_finished(b, 3);
	for (int i = 0; i < 8; i++)
		assert_int_equal(queue_job_get(b->place.queue, jobs[i], &b->place.mem, &j, &e) == 0,
				 i >= 5);
	assert_int_equal(log_files(b), 2);
	bed_wait(b, queued, QUEUE_RUNNING); // whatever is not over stays
	int64_t deadline = clock_mono_ns() + BED_WAIT_S * NS_PER_S;
	struct feed_entry *feed;
	size_t n;

	do {
		assert_int_equal(feed_read(b->place.db, 0, 100, &b->place.mem, &feed, &n, &e), 0);
	} while (n > 4 && clock_mono_ns() < deadline);
	assert_int_equal(n, 4);
}

static void old_jobs_go_and_what_was_sent_again_stays(void **state)
{
	struct queue_old old[QUEUE_OLD_MAX];
	struct bed *b = *state;
	int64_t first, second;
	struct err e = { 0 };
	struct queue_job j;
	size_t n;

	bed_service(b, "fails", "fail", "");
	bed_start(b);
	first = bed_call(b, "fails", "x");
	second = bed_call(b, "fails", "x");
	bed_wait(b, first, QUEUE_FAILED);
	bed_wait(b, second, QUEUE_FAILED);
	bed_wait_idle(b);
	assert_int_equal(
		queue_old(b->place.queue, 0, clock_wall_ns() - 3600 * NS_PER_S, 0, old, &n, &e), 0);
	assert_int_equal(n, 0);
	assert_int_equal(queue_old(b->place.queue, 0, clock_wall_ns(), 0, old, &n, &e), 0);
	assert_int_equal(n, 2);
	bed_stop(b, false);
	assert_int_equal(queue_redrive(b->place.queue, first, &e), 0);
	assert_int_equal(queue_forget(b->place.queue, old, n, &e), 0);
	assert_int_equal(queue_job_get(b->place.queue, first, &b->place.mem, &j, &e), 0);
	assert_int_equal(queue_job_get(b->place.queue, second, &b->place.mem, &j, &e), -1);
	assert_int_equal(queue_forget(b->place.queue, old, n, &e), 0);
}

static void run_some(struct bed *b, const char *service, enum queue_state end, int64_t *ids, int n)
{
	for (; n--; ids++) {
		*ids = bed_call(b, service, "x");
		bed_wait(b, *ids, end);
	}
}

// What services say is theirs alone, and the server's bounds hold besides.
static void services_keep_less(void **state)
{
	struct bed *b = *state;
	int64_t few[5], all[3], old;
	struct queue_job j;
	struct err e = { 0 };

	b->world = exec_fake_world_new();
	bed_service(b, "few", "print-much", ",'keep':{'jobs':2}");
	bed_service(b, "all", "fail", "");
	bed_service(b, "old", "print", ",'keep':{'days':1}");
	bed_start(b);
	run_some(b, "few", QUEUE_SUCCEEDED, few, 5);
	run_some(b, "all", QUEUE_FAILED, all, 3);
	run_some(b, "old", QUEUE_SUCCEEDED, &old, 1);
	bed_stop(b, false);
	b->o.retain_ms = 20;
	bed_reopen(b);
	wait_finished(b, 6);
	for (int i = 0; i < 5; i++)
		assert_int_equal(queue_job_get(b->place.queue, few[i], &b->place.mem, &j, &e) == 0,
				 i >= 3);
	assert_int_equal(log_files(b), 2);
	clock_wall_shift((24 * 3600 + 1) * NS_PER_S);
	wait_finished(b, 5);
	clock_wall_shift(0);
	assert_int_equal(queue_job_get(b->place.queue, old, &b->place.mem, &j, &e), -1);
	bed_stop(b, false);
	b->o.keep_jobs = 1;
	bed_reopen(b);
	wait_finished(b, 1);
}

static bool log_gone(struct bed *b, int64_t job, unsigned attempts)
{
	struct queue_job j;
	struct err e = { 0 };

	assert_int_equal(queue_job_get(b->place.queue, job, &b->place.mem, &j, &e), 0);
	if (j.logs_gone != attempts)
		return false;
	return !attempts || dispatch_log(b->d, job, attempts, &e) < 0;
}

static void wait_gone(struct bed *b, int64_t job, unsigned attempts)
{
	int64_t deadline = clock_mono_ns() + BED_WAIT_S * NS_PER_S;

	while (!log_gone(b, job, attempts)) {
		if (clock_mono_ns() > deadline)
			fail_msg("the log of job %lld stays", (long long)job);
		usleep(5000);
	}
}

// Small ones, which are rows, and large ones, which are files; jobs stay.
static void logs_go_before_their_jobs(void **state)
{
	struct bed *b = *state;
	int64_t small[3], large[2], other, fails;
	struct err e = { 0 };

	b->world = exec_fake_world_new();
	bed_service(b, "small", "print", ",'keep':{'logs':1}");
	bed_service(b, "large", "print-much", ",'keep':{'logs':2,'days':9}");
	bed_service(b, "other", "print", "");
	bed_service(b, "fails", "fail", ",'keep':{'logs':1}");
	b->o.retain_ms = 20;
	bed_start(b);
	run_some(b, "small", QUEUE_SUCCEEDED, small, 3);
	run_some(b, "large", QUEUE_SUCCEEDED, large, 2);
	run_some(b, "other", QUEUE_SUCCEEDED, &other, 1);
	run_some(b, "fails", QUEUE_FAILED, &fails, 1);
	bed_wait_idle(b);
	clock_wall_shift((24 * 3600 + 1) * NS_PER_S);
	for (int i = 0; i < 3; i++)
		wait_gone(b, small[i], 1);
	wait_gone(b, fails, 1);
	assert_true(log_gone(b, large[0], 0) && log_gone(b, other, 0));
	assert_true(log_is(b, other, "printed\n"));
	assert_int_equal(log_files(b), 2);
	// One that is sent again has a log again, until that is old.
	assert_int_equal(queue_redrive(b->place.queue, fails, &e), 0);
	bed_wait(b, fails, QUEUE_FAILED);
	bed_wait_idle(b);
	assert_true(log_gone(b, fails, 1));
	clock_wall_shift((2 * 24 * 3600 + 5) * NS_PER_S);
	wait_gone(b, fails, 2);
	for (int i = 0; i < 2; i++)
		wait_gone(b, large[i], 1);
	assert_int_equal(log_files(b), 0);
	// What the server says is for all, also for a service that is not there any more.
	bed_stop(b, false);
	b->o.keep_logs_s = 60;
	bed_reopen(b);
	wait_gone(b, other, 1);
	clock_wall_shift(0);
	assert_int_equal(finished(b), 7);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, bed_setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_small_log_is_kept_without_a_file),
		CASE(the_newest_jobs_are_kept_with_their_logs),
		CASE(old_jobs_go_and_what_was_sent_again_stays),
		CASE(services_keep_less),
		CASE(logs_go_before_their_jobs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
