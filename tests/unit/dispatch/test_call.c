// Calls whose callers wait: in memory while they are young, jobs like others when they last.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "answer.h"
#include "bed.h"

enum { LONG_MS = 600000, SHORT_MS = 50 };

static void a_young_call_is_written_with_its_outcome_only(void **state)
{
	struct bed *b = *state;
	struct answer a;
	struct err e = { 0 };

	b->o.call_young_ms = LONG_MS;
	bed_service(b, "never", "never", "");
	bed_start(b);
	int64_t job = answer_ask(b, &a, "never", "x");

	bed_wait_active(b, 1);
	assert_false(bed_has_row(b, job));
	assert_int_equal(dispatch_cancel(b->d, job, &e), 0);
	answer_wait(&a);
	struct queue_job j = bed_job(b, job);

	assert_int_equal(j.state, QUEUE_CANCELLED);
	assert_true(j.sync);
	bed_wait_idle(b);
}

static void a_call_that_lasts_becomes_a_job_like_others(void **state)
{
	struct bed *b = *state;
	struct queue_attempt *attempts;
	struct answer running, waiting;
	struct span payload;
	struct err e = { 0 };

	b->o.call_young_ms = SHORT_MS;
	b->o.active_max = 1;
	bed_service(b, "never", "never", "");
	bed_service(b, "quick", "ok", "");
	bed_start(b);
	int64_t first = answer_ask(b, &running, "never", "x");

	bed_wait(b, first, QUEUE_RUNNING);
	int64_t second = answer_ask(b, &waiting, "quick", "mine");

	assert_int_equal(queue_calls_waiting(b->place.queue), 1);
	bed_wait(b, second, QUEUE_QUEUED);
	assert_int_equal(queue_calls_waiting(b->place.queue), 0);
	assert_int_equal(queue_payload(b->place.queue, second, &b->place.mem, &payload, &e), 0);
	assert_true(span_is(payload, "mine"));
	assert_int_equal(waiting.calls, 0);
	assert_int_equal(dispatch_cancel(b->d, first, &e), 0);
	answer_wait(&running);
	answer_wait(&waiting);
	assert_true(waiting.got.ok);
	assert_int_equal(bed_attempts(b, first, &attempts), 1);
	assert_string_equal(attempts[0].outcome, "cancelled");
	assert_int_equal(bed_attempts(b, second, &attempts), 1);
	assert_string_equal(attempts[0].outcome, "exited");
}

static void calls_go_before_other_jobs_and_count_as_queued(void **state)
{
	struct bed *b = *state;
	struct answer blocker, first;
	struct queue_call *refused;
	struct service_caller admin = place_admin();
	auto_service_def struct service_def *def = NULL;
	struct dispatch_scope all = { 0 };
	struct err e = { 0 };
	uint64_t n;

	b->o.call_young_ms = LONG_MS;
	b->o.active_max = 1;
	bed_service(b, "never", "never", "");
	bed_service(b, "quick", "slow", ",'queue':{'max':2}");
	bed_start(b);
	int64_t held = answer_ask(b, &blocker, "never", "x");

	bed_wait_active(b, 1);
	int64_t job = bed_call(b, "quick", "x");
	int64_t call = answer_ask(b, &first, "quick", "x");

	assert_int_equal(service_get(b->place.services, &admin, SPAN("quick"), &def, &e), 0);
	assert_int_equal(dispatch_call_new(b->d, def, 1, SPAN("x"), NULL, &refused, &e), -1);
	assert_int_equal(e.code, ERR_BUSY);
	int64_t ignored;

	assert_int_equal(service_call(b->place.services, def, 1, SPAN("x"), NULL, &ignored, &e),
			 -1);
	assert_int_equal(e.code, ERR_BUSY);
	assert_int_equal(dispatch_cancel(b->d, held, &e), 0);
	answer_wait(&first);
	assert_true(first.got.ok);
	assert_true(bed_wait(b, job, QUEUE_SUCCEEDED).started_ns >= bed_job(b, call).ended_ns);
	bed_wait_active(b, 0); // nor is it among those that are cancelled
	// What waits in memory is cancelled with the rest.
	held = answer_ask(b, &blocker, "never", "x");
	bed_wait_active(b, 1);
	call = answer_ask(b, &first, "quick", "x");
	all.service = def->id;
	assert_int_equal(dispatch_cancel_all(b->d, &all, &n, &e), 0);
	assert_int_equal(n, 1);
	answer_wait(&first);
	assert_int_equal(bed_job(b, call).state, QUEUE_CANCELLED);
	assert_int_equal(dispatch_cancel(b->d, held, &e), 0);
	answer_wait(&blocker);
}

static void a_call_that_fails_is_tried_again(void **state)
{
	static const char *const scripts[] = { "fail-once", "lost-once" };
	struct bed *b = *state;
	struct queue_attempt *attempts;
	struct answer a;

	b->o.call_young_ms = LONG_MS;
	bed_start(b);
	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		bed_service(b, scripts[i], scripts[i], ",'retry':{'attempts':2}");
		int64_t job = answer_ask(b, &a, scripts[i], "x");

		answer_wait(&a);
		assert_true(a.got.ok);
		assert_int_equal(bed_job(b, job).attempt, 2);
		assert_int_equal(bed_attempts(b, job, &attempts), 2);
		assert_int_equal(bed_objects(b, scripts[i], "out/"), 1);
	}
}

static void a_call_waits_while_the_engine_has_no_room(void **state)
{
	struct bed *b = *state;
	struct queue_attempt *attempts;
	struct answer one, two;

	b->o.call_young_ms = LONG_MS;
	b->fake.room = 1;
	bed_service(b, "slow", "slow", "");
	bed_start(b);
	answer_ask(b, &one, "slow", "x");
	int64_t job = answer_ask(b, &two, "slow", "x");

	answer_wait(&one);
	answer_wait(&two);
	assert_true(one.got.ok && two.got.ok);
	assert_int_equal(bed_job(b, job).attempt, 1); // what came to nothing is no attempt
	assert_int_equal(bed_attempts(b, job, &attempts), 1);
}

static void calls_outlive_an_orderly_end(void **state)
{
	struct bed *b = *state;
	struct answer running, waiting;

	b->world = exec_fake_world_new();
	b->o.call_young_ms = LONG_MS;
	b->o.active_max = 1;
	bed_service(b, "slow", "slow", "");
	bed_start(b);
	int64_t first = answer_ask(b, &running, "slow", "x");

	bed_wait_active(b, 1);
	int64_t second = answer_ask(b, &waiting, "slow", "x");

	bed_stop(b, false);
	bed_reopen(b);
	assert_int_equal(bed_wait(b, first, QUEUE_SUCCEEDED).attempt, 1);
	assert_int_equal(bed_wait(b, second, QUEUE_SUCCEEDED).attempt, 1);
	assert_int_equal(bed_objects(b, "slow", "out/"), 2);
	assert_int_equal(b->asked, 2);
}

static int refuse_rows(struct db_conn *c, void *arg unused_arg, struct err *e)
{
	return db_exec(c,
		       "CREATE TRIGGER no_rows BEFORE INSERT ON jobs "
		       "BEGIN SELECT RAISE(ABORT,'no room for the row'); END",
		       DB_NO_ARGS, e) < 0
		       ? -1
		       : 0;
}

static int allow_rows(struct db_conn *c, void *arg unused_arg, struct err *e)
{
	return db_exec(c, "DROP TRIGGER no_rows", DB_NO_ARGS, e) < 0 ? -1 : 0;
}

// As with a full disk: one that runs is answered when it could be written, one that waits is told.
static void what_cannot_be_recorded_is_not_answered_as_done(void **state)
{
	struct bed *b = *state;
	struct answer runs, waits;
	struct err e = { 0 };

	b->o.call_young_ms = SHORT_MS;
	b->o.active_max = 1;
	bed_service(b, "slow", "slow", "");
	bed_start(b);
	assert_int_equal(db_write(b->place.db, refuse_rows, NULL, &e), 0);
	int64_t first = answer_ask(b, &runs, "slow", "x");

	bed_wait_active(b, 1);
	int64_t second = answer_ask(b, &waits, "slow", "x");

	answer_wait(&waits);
	assert_false(waits.got.ok);
	assert_non_null(strstr(waits.got.reason, "no room for the row"));
	usleep(500000);
	assert_int_equal(runs.calls, 0);
	assert_int_equal(db_write(b->place.db, allow_rows, NULL, &e), 0);
	answer_wait(&runs);
	assert_true(runs.got.ok);
	assert_int_equal(bed_job(b, first).state, QUEUE_SUCCEEDED);
	assert_false(bed_has_row(b, second));
	assert_int_equal(bed_objects(b, "slow", "out/"), 1);
	bed_wait_idle(b);
}

enum { MANY = 300 };

// At every moment of their lives: waiting, being recorded, staged, running, ending.
static void calls_are_ended_once_whenever_they_are_cancelled(void **state)
{
	static struct answer answers[MANY];
	struct bed *b = *state;
	int64_t jobs[MANY];
	uint64_t counts[QUEUE_STATES];
	struct err e;

	b->o.call_young_ms = 2;
	b->o.active_max = 8;
	b->fake.delay_min_ms = 1;
	b->fake.delay_max_ms = 6;
	b->fake.lost_per_mille = 50;
	b->fake.busy_per_mille = 50;
	bed_service(b, "quick", "ok", "");
	bed_start(b);
	for (int i = 0; i < MANY; i++) {
		jobs[i] = answer_ask(b, &answers[i], "quick", "x");
		if (i % 3 == 2) {
			usleep((unsigned)i % 7 * 300);
			e = (struct err){ 0 };
			if (dispatch_cancel(b->d, jobs[i - 1], &e) < 0)
				assert_int_equal(e.code, ERR_CONFLICT);
		}
	}
	for (int i = 0; i < MANY; i++)
		answer_wait(&answers[i]);
	bed_wait_all(b, "quick", counts);
	assert_int_equal(counts[QUEUE_SUCCEEDED] + counts[QUEUE_CANCELLED] + counts[QUEUE_DEAD],
			 MANY);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(answers[i].calls, 1);
		assert_int_equal(answers[i].got.ok, bed_job(b, jobs[i]).state == QUEUE_SUCCEEDED);
	}
	assert_int_equal(bed_objects(b, "quick", "out/"), counts[QUEUE_SUCCEEDED]);
	assert_int_equal(queue_calls_waiting(b->place.queue), 0);
	bed_wait_idle(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, bed_setup, bed_teardown)
		CASE(a_young_call_is_written_with_its_outcome_only),
		CASE(a_call_that_lasts_becomes_a_job_like_others),
		CASE(calls_go_before_other_jobs_and_count_as_queued),
		CASE(a_call_that_fails_is_tried_again),
		CASE(a_call_waits_while_the_engine_has_no_room),
		CASE(calls_outlive_an_orderly_end),
		CASE(what_cannot_be_recorded_is_not_answered_as_done),
		CASE(calls_are_ended_once_whenever_they_are_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
