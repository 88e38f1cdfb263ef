// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "bed.h"

static void an_object_becomes_a_result(void **state)
{
	struct bed *b = *state;
	struct queue_job *jobs, j;
	struct queue_attempt *a;
	struct store_object o;
	struct err e = { 0 };

	bed_service(b, "plants", "ok", "");
	bed_start(b);
	place_put(&b->place, "plants", "in/rose.jpg", SPAN("thorns"));
	assert_int_equal(place_jobs(&b->place, "plants", &jobs), 1);
	j = bed_wait(b, jobs[0].id, QUEUE_SUCCEEDED);
	assert_int_equal(j.attempt, 1);
	assert_int_equal(j.exit_code, 0);
	assert_int_equal(j.outputs, 1);
	assert_true(bed_object_is(b, "plants", "out/rose.jpg", "thorns"));
	assert_int_equal(store_object_get(b->place.store, SPAN("plants"), SPAN("out/rose.jpg"), 0,
					  &b->place.mem, &o, &e),
			 0);
	assert_int_equal(o.job, j.id);
	assert_int_equal(o.run, j.run);
	assert_int_equal(o.depth, 1);
	assert_true(span_is(store_meta_get(o.meta, "content-type"), "image/jpeg"));
	assert_true(span_is(store_meta_get(o.meta, "x-amz-meta-oscar-job"), j.name));
	assert_true(
		span_is(store_meta_get(o.meta, "x-amz-meta-oscar-input"), "plants/in/rose.jpg"));
	assert_int_equal(store_meta_get(o.meta, "x-amz-meta-oscar-input-version").n, 16);
	assert_int_equal(bed_attempts(b, j.id, &a), 1);
	assert_string_equal(a[0].outcome, "exited");
	assert_string_equal(a[0].driver, "fake");
	assert_true(a[0].ended_ns >= a[0].started_ns && a[0].started_ns > 0);
	bed_wait_idle(b);
}

static void a_chain_runs_to_its_end(void **state)
{
	struct bed *b = *state;
	uint64_t counts[QUEUE_STATES];
	struct queue_job *first, *second;

	bed_service(b, "one", "ok", "");
	place_create(&b->place, place_admin(),
		     "{'name':'two','image':'host','script':'ok','input':[{'path':'one/out',"
		     "'storage_provider':'minio.default'}],'output':[{'path':'two/out',"
		     "'storage_provider':'minio.default'}]}");
	bed_start(b);
	place_put(&b->place, "one", "in/a", SPAN("x"));
	int64_t deadline = clock_mono_ns() + BED_WAIT_S * NS_PER_S;

	while (!place_jobs(&b->place, "two", NULL) && clock_mono_ns() < deadline)
		usleep(2000);
	bed_wait_all(b, "two", counts);
	assert_int_equal(counts[QUEUE_SUCCEEDED], 1);
	assert_true(bed_object_is(b, "two", "out/a", "x"));
	assert_int_equal(place_jobs(&b->place, "one", &first), 1);
	assert_int_equal(place_jobs(&b->place, "two", &second), 1);
	assert_int_equal(second->run, first->run);
	assert_int_equal(second->depth, 1);
}

static void ends_that_are_no_success(void **state)
{
	static const struct {
		const char *script, *outcome;
		int exit_code;
		const char *reason;
	} rows[] = {
		{ "fail", "exited", 7, "status 7" },
		{ "oom", "oom", -1, "oom" },
		{ "timeout", "timeout", -1, "timeout" },
		{ "bad-name", "upload", 0, "control characters" },
	};
	struct bed *b = *state;

	bed_start(b);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct queue_attempt *a;
		struct queue_job j;

		print_message("# %s\n", rows[i].script);
		bed_service(b, rows[i].script, rows[i].script, "");
		j = bed_wait(b, bed_call(b, rows[i].script, "x"), QUEUE_FAILED);
		assert_int_equal(j.exit_code, rows[i].exit_code);
		assert_non_null(strstr(j.reason, rows[i].reason));
		assert_int_equal(bed_attempts(b, j.id, &a), 1);
		assert_string_equal(a[0].outcome, rows[i].outcome);
		assert_int_equal(bed_objects(b, rows[i].script, "out/"), 0);
	}
	bed_wait_idle(b);
}

static void outputs_of_a_failure_are_kept_when_asked(void **state)
{
	struct bed *b = *state;

	bed_service(b, "kept", "fail", ",'upload_on_failure':true");
	bed_start(b);
	bed_wait(b, bed_call(b, "kept", "x"), QUEUE_FAILED);
	assert_true(bed_object_is(b, "kept", "out/half", "half"));
}

static void the_retry_policy_is_followed(void **state)
{
	struct bed *b = *state;
	struct queue_attempt *a;
	struct queue_job j;

	bed_service(b, "third", "fail", ",'retry':{'attempts':3,'on':['exit']}");
	bed_service(b, "second", "fail-once", ",'retry':{'attempts':3,'on':['exit']}");
	bed_service(b, "other", "oom", ",'retry':{'attempts':3,'on':['exit']}");
	bed_service(b, "seven", "fail", ",'retry':{'attempts':2,'on':['exit:7','exit:255']}");
	bed_service(b, "eight", "fail", ",'retry':{'attempts':2,'on':['exit:8','oom']}");
	bed_start(b);
	bed_wait(b, bed_call(b, "seven", "x"), QUEUE_DEAD);
	bed_wait(b, bed_call(b, "eight", "x"), QUEUE_FAILED);
	int64_t third = bed_call(b, "third", "x"), second = bed_call(b, "second", "x"),
		other = bed_call(b, "other", "x");

	j = bed_wait(b, third, QUEUE_DEAD);
	assert_int_equal(j.attempt, 3);
	assert_int_equal(bed_attempts(b, third, &a), 3);
	j = bed_wait(b, second, QUEUE_SUCCEEDED);
	assert_int_equal(j.attempt, 2);
	assert_int_equal(bed_objects(b, "second", "out/"), 1);
	j = bed_wait(b, other, QUEUE_FAILED);
	assert_int_equal(j.attempt, 1);
	// From the dead-letter list it runs again, with fresh attempts.
	struct err e = { 0 };

	assert_int_equal(queue_redrive(b->place.queue, third, &e), 0);
	j = bed_wait(b, third, QUEUE_DEAD);
	assert_int_equal(j.attempt, 6);
}

static void what_the_engine_lost_runs_again(void **state)
{
	struct bed *b = *state;
	struct queue_attempt *a;

	b->o.lost_attempts = 3;
	bed_service(b, "once", "lost-once", "");
	bed_service(b, "always", "lost", "");
	bed_start(b);
	int64_t once = bed_call(b, "once", "x"), always = bed_call(b, "always", "x");

	assert_int_equal(bed_wait(b, once, QUEUE_SUCCEEDED).attempt, 2);
	assert_int_equal(bed_attempts(b, once, &a), 2);
	assert_string_equal(a[0].outcome, "lost");
	assert_int_equal(bed_wait(b, always, QUEUE_DEAD).attempt, 3);
}

static void a_busy_engine_costs_no_attempt(void **state)
{
	struct bed *b = *state;
	uint64_t counts[QUEUE_STATES];
	struct queue_job *jobs;

	b->fake.room = 2;
	b->fake.delay_min_ms = b->fake.delay_max_ms = 20;
	bed_service(b, "many", "ok", "");
	bed_start(b);
	for (int i = 0; i < 12; i++)
		bed_call(b, "many", "x");
	bed_wait_all(b, "many", counts);
	assert_int_equal(counts[QUEUE_SUCCEEDED], 12);
	assert_int_equal(place_jobs(&b->place, "many", &jobs), 12);
	for (size_t i = 0; i < 12; i++)
		assert_int_equal(jobs[i].attempt, 1);
}

static int drop(struct store *s, struct span bucket, struct span key, int64_t version,
		struct store_deleted *done, struct err *e)
{
	struct store_delete_item it = { .key = key, .version = version };
	int result = store_delete(s, bucket, &it, NULL, e);

	*done = it.done;
	return result;
}

static void inputs_that_are_gone_are_named(void **state)
{
	struct bed *b = *state;
	struct store_deleted gone;
	struct queue_job *jobs, j;
	struct err e = { 0 };

	bed_service(b, "plants", "ok", "");
	place_put(&b->place, "plants", "in/a", SPAN("x"));
	assert_int_equal(drop(b->place.store, SPAN("plants"), SPAN("in/a"), 0, &gone, &e), 0);
	bed_start(b);
	assert_int_equal(place_jobs(&b->place, "plants", &jobs), 1);
	j = bed_wait(b, jobs[0].id, QUEUE_FAILED);
	assert_non_null(strstr(j.reason, "is gone"));
	bed_wait_idle(b);
}

static void a_job_runs_with_the_revision_it_was_made_for(void **state)
{
	struct service_caller admin = place_admin();
	struct bed *b = *state;
	struct err e = { 0 };
	int64_t job;

	bed_service(b, "plants", "ok", "");
	job = bed_call(b, "plants", "x");
	if (service_update(b->place.services, &admin,
			   place_fdl(&b->place, "{'name':'plants','image':'host','script':'fail'}"),
			   &e) < 0)
		fail_msg("%s", e.msg);
	bed_start(b);
	bed_wait(b, job, QUEUE_SUCCEEDED);
	bed_wait(b, bed_call(b, "plants", "x"), QUEUE_FAILED);
}

// Between the end of the script and the commit of its outputs somebody may delete the bucket.
static void outputs_without_a_bucket_fail_the_job(void **state)
{
	struct bed *b = *state;
	struct store_deleted gone;
	struct queue_job j;
	struct err e = { 0 };

	bed_service(b, "plants", "ok", "");
	for (int i = 0; i < 2; i++)
		assert_int_equal(drop(b->place.store, SPAN("plants"),
				      i ? SPAN("in/") : SPAN("out/"), 0, &gone, &e),
				 0);
	assert_int_equal(store_bucket_delete(b->place.store, SPAN("plants"), &e), 0);
	bed_start(b);
	j = bed_wait(b, bed_call(b, "plants", "x"), QUEUE_FAILED);
	assert_non_null(strstr(j.reason, "plants"));
	bed_wait_idle(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, bed_setup, bed_teardown)
		CASE(an_object_becomes_a_result),
		CASE(a_chain_runs_to_its_end),
		CASE(ends_that_are_no_success),
		CASE(outputs_of_a_failure_are_kept_when_asked),
		CASE(the_retry_policy_is_followed),
		CASE(what_the_engine_lost_runs_again),
		CASE(a_busy_engine_costs_no_attempt),
		CASE(inputs_that_are_gone_are_named),
		CASE(a_job_runs_with_the_revision_it_was_made_for),
		CASE(outputs_without_a_bucket_fail_the_job),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
