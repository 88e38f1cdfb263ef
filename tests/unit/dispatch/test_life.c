// Cancelling, answers to calls that wait, restarts, and engines and disks that do not answer for a while.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "answer.h"
#include "base/file.h"
#include "base/lock.h"
#include "bed.h"

#include <fcntl.h>

// ---- cancelling ----------------------------------------------------------------------------------------

static void jobs_are_cancelled_wherever_they_are(void **state)
{
	struct bed *b = *state;
	struct queue_attempt *a;
	struct err e = { 0 };

	b->o.active_max = 1;
	bed_service(b, "never", "never", "");
	bed_start(b);
	int64_t first = bed_call(b, "never", "x");

	bed_wait(b, first, QUEUE_RUNNING);
	int64_t second = bed_call(b, "never", "x");

	assert_int_equal(dispatch_cancel(b->d, second, &e), 0); // it waits
	assert_int_equal(bed_wait(b, second, QUEUE_CANCELLED).attempt, 0);
	assert_int_equal(dispatch_cancel(b->d, first, &e), 0); // it runs
	bed_wait(b, first, QUEUE_CANCELLED);
	assert_int_equal(bed_attempts(b, first, &a), 1);
	assert_string_equal(a[0].outcome, "cancelled");
	assert_int_equal(dispatch_cancel(b->d, first, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(dispatch_cancel(b->d, 999, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(bed_objects(b, "never", "out/"), 0);
	bed_wait_idle(b);
}

// Whatever moment it hits: leasing, staging, submitting, running.
static void a_cancel_at_any_moment_ends_the_job_once(void **state)
{
	enum { JOBS = 120 };
	struct bed *b = *state;
	uint64_t counts[QUEUE_STATES];
	int64_t jobs[JOBS];
	struct err e = { 0 };

	bed_service(b, "never", "never", "");
	bed_start(b);
	for (int i = 0; i < JOBS; i++) {
		jobs[i] = bed_call(b, "never", "x");
		usleep((unsigned)(i * 37 % 1500));
		assert_int_equal(dispatch_cancel(b->d, jobs[i], &e), 0);
	}
	bed_wait_all(b, "never", counts);
	assert_int_equal(counts[QUEUE_CANCELLED], JOBS);
	for (int i = 0; i < JOBS; i++)
		assert_true(bed_job(b, jobs[i]).attempt <= 1);
	bed_wait_idle(b);
}

static void all_jobs_of_a_service_are_cancelled(void **state)
{
	struct bed *b = *state;
	uint64_t counts[QUEUE_STATES];
	struct err e = { 0 };

	b->o.active_max = 5;
	bed_service(b, "never", "never", "");
	bed_service(b, "other", "never", "");
	bed_start(b);
	int64_t kept = bed_call(b, "other", "x");

	bed_wait(b, kept, QUEUE_RUNNING);
	for (int i = 0; i < 20; i++)
		bed_call(b, "never", "x");
	assert_int_equal(dispatch_cancel_service(b->d, place_service_id(&b->place, "never"), &e),
			 0);
	bed_wait(b, kept, QUEUE_RUNNING);
	assert_int_equal(queue_counts(b->place.queue, place_service_id(&b->place, "never"), 0,
				      counts, &e),
			 0);
	assert_int_equal(counts[QUEUE_CANCELLED], 20);
}

// ---- answers -------------------------------------------------------------------------------------------

static void a_waiting_call_gets_its_answer(void **state)
{
	static const struct {
		const char *script, *payload, *body, *reason;
		bool ok, timed_out;
	} rows[] = {
		{ "ok", "hello", "aGVsbG8=", "", true, false },
		{ "print", "x", "printed\n", "", true, false },
		{ "fail", "x", "", "the script ended with status 7", false, false },
		{ "timeout", "x", "", "timeout", false, true },
	};
	struct bed *b = *state;
	struct queue_attempt *attempts;
	struct queue_job j;

	bed_start(b);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct answer a;

		print_message("# %s\n", rows[i].script);
		auto_free char *name = mem_printf("call-%zu", i);

		bed_service(b, name, rows[i].script, "");
		int64_t job = answer_ask(b, &a, name, rows[i].payload);

		answer_wait(&a);
		// It was written down before its caller heard of it.
		j = bed_job(b, job);
		assert_int_equal(j.state, rows[i].ok ? QUEUE_SUCCEEDED : QUEUE_FAILED);
		assert_int_equal(j.attempt, 1);
		assert_int_equal(j.run, -job);
		assert_string_equal(j.reason, rows[i].reason);
		assert_int_equal(bed_attempts(b, job, &attempts), 1);
		assert_true(attempts[0].started_ns && attempts[0].ended_ns);
		assert_int_equal(a.got.ok, rows[i].ok);
		assert_int_equal(a.got.timed_out, rows[i].timed_out);
		assert_string_equal(a.got.reason, rows[i].reason);
		assert_string_equal(a.body, rows[i].body);
	}
}

static void a_caller_that_leaves_is_not_called(void **state)
{
	struct bed *b = *state;
	struct answer a, other;

	bed_service(b, "never", "never", "");
	bed_service(b, "slow", "slow", "");
	bed_start(b);
	int64_t dropped = answer_ask(b, &a, "never", "x"),
		kept = answer_ask(b, &other, "slow", "x");

	dispatch_call_forget(b->d, dropped, true);
	dispatch_call_forget(b->d, kept, false);
	bed_wait(b, dropped, QUEUE_CANCELLED);
	bed_wait(b, kept, QUEUE_SUCCEEDED);
	bed_wait_idle(b);
	assert_int_equal(a.calls + other.calls, 0);
}

static void a_cancelled_call_is_answered(void **state)
{
	struct bed *b = *state;
	struct answer queued, running;
	struct err e = { 0 };

	b->o.active_max = 1;
	bed_service(b, "never", "never", "");
	bed_start(b);
	int64_t first = answer_ask(b, &running, "never", "x");

	bed_wait_active(b, 1);
	int64_t second = answer_ask(b, &queued, "never", "x");

	assert_int_equal(queue_calls_waiting(b->place.queue), 1);
	assert_int_equal(dispatch_cancel(b->d, second, &e), 0);
	assert_int_equal(queue_calls_waiting(b->place.queue), 0);
	assert_int_equal(queued.calls, 1);
	assert_false(queued.got.ok);
	assert_int_equal(bed_job(b, second).attempt, 0);
	assert_int_equal(bed_job(b, second).state, QUEUE_CANCELLED);
	assert_int_equal(dispatch_cancel(b->d, first, &e), 0);
	answer_wait(&running);
	assert_false(running.got.ok);
	assert_int_equal(bed_job(b, first).state, QUEUE_CANCELLED);
}

// ---- restarts ------------------------------------------------------------------------------------------

static void jobs_go_on_while_nobody_listens(void **state)
{
	struct bed *b = *state;
	struct queue_attempt *a;

	b->world = exec_fake_world_new();
	bed_service(b, "slow", "slow", "");
	bed_service(b, "never", "never", "");
	bed_start(b);
	int64_t ends = bed_call(b, "slow", "mine"), stays = bed_call(b, "never", "x");

	bed_wait(b, ends, QUEUE_RUNNING);
	bed_wait(b, stays, QUEUE_RUNNING);
	bed_stop(b, false);
	usleep(400000); // it ends in the meantime
	bed_reopen(b);
	assert_int_equal(bed_wait(b, ends, QUEUE_SUCCEEDED).attempt, 1);
	assert_true(bed_object_is(b, "slow", "out/out", "mine") || bed_objects(b, "slow", "out/"));
	assert_int_equal(bed_objects(b, "slow", "out/"), 1);
	assert_int_equal(bed_attempts(b, ends, &a), 1);
	assert_int_equal(bed_job(b, stays).attempt, 1);
	struct err e = { 0 };

	assert_int_equal(dispatch_cancel(b->d, stays, &e), 0);
	bed_wait(b, stays, QUEUE_CANCELLED);
	assert_int_equal(b->asked, 2);
}

static void jobs_that_the_engine_never_had_run_again(void **state)
{
	struct bed *b = *state;
	struct queue_attempt *a;

	bed_service(b, "slow", "slow", ",'retry':{'attempts':1}");
	bed_start(b);
	int64_t job = bed_call(b, "slow", "x");

	bed_wait(b, job, QUEUE_RUNNING);
	bed_stop(b, false);
	bed_reopen(b); // its world is gone
	assert_int_equal(bed_wait(b, job, QUEUE_SUCCEEDED).attempt, 2);
	assert_int_equal(bed_attempts(b, job, &a), 2);
	assert_string_equal(a[0].outcome, "stopped");
}

static void jobs_ended_with_the_daemon_cost_no_attempt(void **state)
{
	struct bed *b = *state;
	uint64_t counts[QUEUE_STATES];

	bed_service(b, "slow", "slow", ",'retry':{'attempts':1}");
	bed_start(b);
	int64_t first = bed_call(b, "slow", "x");

	for (int i = 1; i < 10; i++)
		bed_call(b, "slow", "x");
	bed_wait(b, first, QUEUE_RUNNING);
	bed_stop(b, true);
	assert_int_equal(bed_job(b, first).state, QUEUE_QUEUED);
	bed_reopen(b);
	bed_wait_all(b, "slow", counts);
	assert_int_equal(counts[QUEUE_SUCCEEDED], 10);
	assert_int_equal(bed_objects(b, "slow", "out/"), 10);
}

static int end_behind_its_back(struct db_conn *c, void *arg unused_arg, struct err *e)
{
	return db_exec(c, "UPDATE jobs SET state=6", DB_NO_ARGS, e) < 0 ? -1 : 0;
}

static void count_one(void *owner, const char *job unused_arg, unsigned attempt unused_arg)
{
	++*(unsigned *)owner;
}

// As when the database comes from a backup, or a crash came between a job's account and its removal.
static void what_the_engine_keeps_for_nobody_is_ended_and_removed(void **state)
{
	struct bed *b = *state;
	int64_t deadline;
	struct err e = { 0 };
	unsigned kept = 0;

	b->world = exec_fake_world_new();
	bed_service(b, "never", "never", "");
	bed_start(b);
	int64_t job = bed_call(b, "never", "x");

	bed_wait(b, job, QUEUE_RUNNING);
	bed_stop(b, false);
	assert_int_equal(db_write(b->place.db, end_behind_its_back, NULL, &e), 0);
	auto_free char *copy = mem_printf("%s/tmp/input-%lld.1", b->place.dir, (long long)job);
	auto_free char *other = mem_printf("%s/tmp/input-x", b->place.dir);

	assert_int_equal(file_replace(AT_FDCWD, copy, 0600, "x", 1, &e), 0);
	assert_int_equal(file_replace(AT_FDCWD, other, 0600, "x", 1, &e), 0);
	bed_reopen(b);
	assert_int_equal(access(copy, F_OK), -1);
	assert_int_equal(access(other, F_OK), 0);
	deadline = clock_mono_ns() + BED_WAIT_S * NS_PER_S;
	do {
		kept = 0;
		assert_int_equal(b->driver->ops->list(b->driver, count_one, &kept, &e), 0);
		usleep(10000);
	} while (kept && clock_mono_ns() < deadline);
	assert_int_equal(kept, 0);
	assert_int_equal(bed_job(b, job).state, QUEUE_CANCELLED);
}

// ---- answers of drivers that are wrong or late ---------------------------------------------------------------

static void ends_that_nobody_asked_for_change_nothing(void **state)
{
	struct bed *b = *state;
	struct exec_result ok = { .outcome = EXEC_EXITED }, bad = { .outcome = EXEC_OOM };
	struct exec_events ev;
	struct err e = { 0 };

	bed_service(b, "never", "never", "");
	bed_start(b);
	ev = dispatch_events(b->d);
	int64_t job = bed_call(b, "never", "x");

	bed_wait(b, job, QUEUE_RUNNING);
	ev.ended(ev.owner, "j12345", 1, &ok);
	ev.ended(ev.owner, "nonsense", 1, &ok);
	ev.ended(ev.owner, "j1", 2, &ok);
	ev.ended(ev.owner, "j1", 0, &ok);
	ev.started(ev.owner, "j777", 1, 5, "node");
	assert_int_equal(bed_wait(b, job, QUEUE_RUNNING).attempt, 1);
	assert_int_equal(dispatch_cancel(b->d, job, &e), 0);
	bed_wait(b, job, QUEUE_CANCELLED);
	bed_wait_idle(b);
	ev.ended(ev.owner, "j1", 1, &bad); // told twice
	ev.started(ev.owner, "j1", 1, 5, "node");
	struct queue_job j = bed_job(b, job);

	assert_int_equal(j.state, QUEUE_CANCELLED);
	assert_int_equal(bed_objects(b, "never", "out/"), 0);
}

// ---- engines and disks that do not answer for a while --------------------------------------------------------

static struct {
	atomic_int adopts, cancels, submits; // to be refused
	atomic_int swallow;		     // submits that come through but seem not to
	struct bed *bed;
	struct exec_ops ops; // outlives the test, whose teardown stops the driver
} flaky;

static int unavailable(struct err *e)
{
	return err_set(e, ERR_UNAVAILABLE, "the engine does not answer");
}

static int flaky_adopt(struct exec_driver *d, const char *job, unsigned attempt, struct err *e)
{
	if (atomic_fetch_sub(&flaky.adopts, 1) > 0)
		return unavailable(e);
	return flaky.bed->of_fake->adopt(d, job, attempt, e);
}

static int flaky_cancel(struct exec_driver *d, const char *job, unsigned attempt, struct err *e)
{
	if (atomic_fetch_sub(&flaky.cancels, 1) > 0)
		return unavailable(e);
	return flaky.bed->of_fake->cancel(d, job, attempt, e);
}

static int flaky_submit(struct exec_driver *d, const struct exec_spec *s, struct err *e)
{
	if (atomic_fetch_sub(&flaky.submits, 1) > 0)
		return unavailable(e);
	if (flaky.bed->of_fake->submit(d, s, e) < 0)
		return -1;
	return atomic_fetch_sub(&flaky.swallow, 1) > 0 ? unavailable(e) : 0;
}

static void flaky_use(struct bed *b)
{
	struct exec_driver *probe;
	struct exec_events none = { 0 };
	struct err e = { 0 };

	flaky.bed = b;
	assert_int_equal(exec_fake_open(&probe, &(struct exec_fake_options){ 0 }, &none, &e), 0);
	flaky.ops = *probe->ops;
	probe->ops->close(probe, true);
	flaky.ops.adopt = flaky_adopt;
	flaky.ops.cancel = flaky_cancel;
	flaky.ops.submit = flaky_submit;
	b->ops = &flaky.ops;
}

static void a_job_that_may_run_is_not_started_again(void **state)
{
	struct bed *b = *state;

	flaky_use(b);
	b->world = exec_fake_world_new();
	bed_service(b, "slow", "slow", "");
	bed_start(b);
	int64_t job = bed_call(b, "slow", "x");

	bed_wait(b, job, QUEUE_RUNNING);
	bed_stop(b, false);
	flaky.adopts = 2;
	bed_reopen(b);
	assert_int_equal(bed_wait(b, job, QUEUE_SUCCEEDED).attempt, 1);
	assert_int_equal(b->asked, 1);
	assert_int_equal(bed_objects(b, "slow", "out/"), 1);
}

static void a_cancel_reaches_an_engine_that_was_away(void **state)
{
	struct bed *b = *state;
	struct err e = { 0 };

	flaky_use(b);
	bed_service(b, "never", "never", "");
	bed_start(b);
	int64_t job = bed_call(b, "never", "x");

	bed_wait(b, job, QUEUE_RUNNING);
	flaky.cancels = 2;
	assert_int_equal(dispatch_cancel(b->d, job, &e), 0);
	bed_wait(b, job, QUEUE_CANCELLED);
	bed_wait_idle(b);
}

static void a_submit_without_an_answer_is_one_attempt(void **state)
{
	struct bed *b = *state;
	struct queue_attempt *a;

	flaky_use(b);
	bed_service(b, "slow", "slow", "");
	flaky.submits = 1;
	bed_start(b);
	assert_int_equal(bed_wait(b, bed_call(b, "slow", "x"), QUEUE_SUCCEEDED).attempt, 1);
	flaky.swallow = 1; // it even ends before the dispatcher asks a second time
	int64_t job = bed_call(b, "slow", "y");

	assert_int_equal(bed_wait(b, job, QUEUE_SUCCEEDED).attempt, 1);
	assert_int_equal(bed_attempts(b, job, &a), 1);
	assert_int_equal(bed_objects(b, "slow", "out/"), 2);
	bed_wait_idle(b);
}

static int refuse_ends(struct db_conn *c, void *arg unused_arg, struct err *e)
{
	return db_exec(c,
		       "CREATE TRIGGER no_ends BEFORE UPDATE OF state ON jobs WHEN NEW.state>=4 "
		       "BEGIN SELECT RAISE(ABORT,'no room for the state'); END",
		       DB_NO_ARGS, e) < 0
		       ? -1
		       : 0;
}

static int allow_ends(struct db_conn *c, void *arg unused_arg, struct err *e)
{
	return db_exec(c, "DROP TRIGGER no_ends", DB_NO_ARGS, e) < 0 ? -1 : 0;
}

// As with a full disk: nothing can be written down until there is room again. No restart is needed.
static void what_cannot_be_accounted_is_accounted_later(void **state)
{
	struct bed *b = *state;
	struct err e = { 0 };

	bed_service(b, "plants", "ok", "");
	bed_start(b);
	assert_int_equal(db_write(b->place.db, refuse_ends, NULL, &e), 0);
	int64_t job = bed_call(b, "plants", "x");

	bed_wait(b, job, QUEUE_UPLOADING);
	usleep(300000);
	assert_int_equal(bed_job(b, job).state, QUEUE_UPLOADING);
	assert_int_equal(bed_objects(b, "plants", "out/"), 0);
	assert_int_equal(db_write(b->place.db, allow_ends, NULL, &e), 0);
	bed_wait(b, job, QUEUE_SUCCEEDED);
	assert_int_equal(bed_objects(b, "plants", "out/"), 1);
	assert_int_equal(b->asked, 1);
	bed_wait_idle(b);
}

struct refusal {
	struct services *services;
	_Atomic int code; // ERR_NONE refuses nothing
};

static int refuse_outputs(void *owner, struct db_conn *c, const struct store_event *ev,
			  struct err *e)
{
	struct refusal *r = owner;

	if (r->code && span_starts(ev->key, SPAN("out/")) && ev->key.n > 4)
		return err_set(e, (enum err_code)r->code, "the output is refused");
	return service_object_changed(r->services, c, ev, e);
}

// Whatever the commit of the outputs says, the job is accounted.
static void outputs_refused_at_the_commit_fail_the_job(void **state)
{
	static const enum err_code codes[] = { ERR_NOT_FOUND, ERR_CONFLICT, ERR_DENIED };
	struct bed *b = *state;
	struct refusal r = { b->place.services, ERR_NONE };
	struct store_sink sink = { &r, refuse_outputs };

	bed_service(b, "plants", "ok", "");
	store_set_sink(b->place.store, &sink);
	bed_start(b);
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		r.code = codes[i];
		struct queue_job j = bed_wait(b, bed_call(b, "plants", "x"), QUEUE_FAILED);

		assert_non_null(strstr(j.reason, "the output is refused"));
		assert_int_equal(bed_objects(b, "plants", "out/"), 0);
		bed_wait_idle(b);
	}
}

// … unless the disk takes nothing for now: then outputs and outcome are kept until it does.
static void outputs_wait_for_room_on_the_disk(void **state)
{
	struct bed *b = *state;
	struct refusal r = { b->place.services, ERR_FULL };
	struct store_sink sink = { &r, refuse_outputs };
	int64_t job;

	bed_service(b, "plants", "ok", "");
	store_set_sink(b->place.store, &sink);
	bed_start(b);
	job = bed_call(b, "plants", "x");
	bed_wait(b, job, QUEUE_UPLOADING);
	usleep(300000);
	assert_int_equal(bed_job(b, job).state, QUEUE_UPLOADING);
	assert_int_equal(bed_objects(b, "plants", "out/"), 0);
	r.code = ERR_NONE;
	bed_wait(b, job, QUEUE_SUCCEEDED);
	assert_int_equal(bed_objects(b, "plants", "out/"), 1);
	assert_int_equal(b->asked, 1);
	bed_wait_idle(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, bed_setup, bed_teardown)
		CASE(jobs_are_cancelled_wherever_they_are),
		CASE(a_cancel_at_any_moment_ends_the_job_once),
		CASE(all_jobs_of_a_service_are_cancelled),
		CASE(a_waiting_call_gets_its_answer),
		CASE(a_caller_that_leaves_is_not_called),
		CASE(a_cancelled_call_is_answered),
		CASE(jobs_go_on_while_nobody_listens),
		CASE(jobs_that_the_engine_never_had_run_again),
		CASE(jobs_ended_with_the_daemon_cost_no_attempt),
		CASE(what_the_engine_keeps_for_nobody_is_ended_and_removed),
		CASE(ends_that_nobody_asked_for_change_nothing),
		CASE(a_job_that_may_run_is_not_started_again),
		CASE(a_cancel_reaches_an_engine_that_was_away),
		CASE(a_submit_without_an_answer_is_one_attempt),
		CASE(what_cannot_be_accounted_is_accounted_later),
		CASE(outputs_refused_at_the_commit_fail_the_job),
		CASE(outputs_wait_for_room_on_the_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
