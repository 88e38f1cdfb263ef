// Who may run what beside whom, and what a pause holds back.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "bed.h"

static uint64_t count(struct bed *b, const char *service, enum queue_state state)
{
	uint64_t counts[QUEUE_STATES];
	struct err e = { 0 };

	if (queue_counts(b->place.queue, place_service_id(&b->place, service), 0, counts, &e) < 0)
		fail_msg("%s", e.msg);
	return counts[state];
}

static void wait_running(struct bed *b, const char *service, uint64_t n)
{
	int64_t deadline = clock_mono_ns() + BED_WAIT_S * NS_PER_S;

	while (count(b, service, QUEUE_RUNNING) != n) {
		if (clock_mono_ns() > deadline)
			fail_msg("%s: %llu jobs run, not %llu", service,
				 (unsigned long long)count(b, service, QUEUE_RUNNING),
				 (unsigned long long)n);
		usleep(2000);
	}
}

// So many of two services run, and no more of them when others had their turn.
static void settle(struct bed *b);
static void expect_both(struct bed *b, const char *one, const char *other, uint64_t n)
{
	int64_t deadline = clock_mono_ns() + BED_WAIT_S * NS_PER_S;

	while (count(b, one, QUEUE_RUNNING) + count(b, other, QUEUE_RUNNING) < n &&
	       clock_mono_ns() < deadline)
		usleep(2000);
	settle(b);
	assert_int_equal(count(b, one, QUEUE_RUNNING) + count(b, other, QUEUE_RUNNING), n);
}

// After this, whatever could start has: a job of another service that began later came through.
static void settle(struct bed *b)
{
	static int n;
	char name[20];

	snprintf(name, sizeof(name), "settle%d", n++);
	bed_service(b, name, "ok", "");
	bed_wait(b, bed_call(b, name, "x"), QUEUE_SUCCEEDED);
}

static void flow(struct bed *b, const char *service, enum service_flow_change change)
{
	struct service_caller admin = place_admin();
	struct err e = { 0 };

	if (service_flow_set(b->place.services, &admin, span_of(service), change, &e) < 0)
		fail_msg("%s", e.msg);
	dispatch_look(b->d);
}

static void call_as(struct bed *b, const char *service, int64_t user, int times)
{
	struct service_caller admin = place_admin();
	auto_service_def struct service_def *def = NULL;
	struct err e = { 0 };
	int64_t job;

	if (service_get(b->place.services, &admin, span_of(service), &def, &e) < 0)
		fail_msg("%s", e.msg);
	for (int i = 0; i < times; i++)
		if (service_call(b->place.services, def, user, SPAN("x"), NULL, &job, &e) < 0)
			fail_msg("%s", e.msg);
}

static void a_service_keeps_to_its_concurrency(void **state)
{
	struct bed *b = *state;

	bed_service(b, "two", "never", ",'queue':{'concurrency':2}");
	bed_start(b);
	for (int i = 0; i < 5; i++)
		bed_call(b, "two", "x");
	wait_running(b, "two", 2);
	settle(b);
	assert_int_equal(count(b, "two", QUEUE_RUNNING), 2);
	assert_int_equal(count(b, "two", QUEUE_QUEUED), 3);
}

static void a_user_keeps_to_limits_whatever_the_service(void **state)
{
	struct bed *b = *state;
	struct queue_limits l = { .running = 2 };
	struct err e = { 0 };

	bed_service(b, "one", "never", "");
	bed_service(b, "other", "never", "");
	bed_start(b);
	assert_int_equal(queue_limits_set(b->place.queue, b->place.ann.id, &l, &e), 0);
	call_as(b, "one", b->place.ann.id, 3);
	call_as(b, "other", b->place.ann.id, 3);
	call_as(b, "other", AUTH_ADMIN_ID, 4);
	expect_both(b, "one", "other", 6);
	l = (struct queue_limits){ .cpu_millis = 300 };
	assert_int_equal(queue_limits_set(b->place.queue, b->place.ann.id, &l, &e), 0);
	dispatch_look(b->d);
	expect_both(b, "one", "other", 7);
	l = (struct queue_limits){ .memory_bytes = UINT64_C(64) << 20 };
	assert_int_equal(queue_limits_set(b->place.queue, b->place.ann.id, &l, &e), 0);
	dispatch_look(b->d);
	expect_both(b, "one", "other", 8);
}

static void the_machine_is_not_given_away_twice(void **state)
{
	struct bed *b = *state;

	b->fake.gpus = 2;
	b->o.cpu_millis_max = 2000;
	bed_service(b, "gpu", "never", ",'enable_gpu':true");
	bed_service(b, "big", "never", ",'memory':'64Mi'");
	bed_start(b);
	for (int i = 0; i < 4; i++)
		bed_call(b, "gpu", "x");
	wait_running(b, "gpu", 2);
	settle(b);
	assert_int_equal(count(b, "gpu", QUEUE_RUNNING), 2);
	for (int i = 0; i < 20; i++)
		bed_call(b, "big", "x");
	wait_running(b, "big", 18);
	assert_int_equal(count(b, "big", QUEUE_QUEUED), 2);
}

static void a_higher_priority_goes_first(void **state)
{
	struct bed *b = *state;
	int64_t low[3], high[3];

	b->o.active_max = 1;
	bed_service(b, "first", "slow", "");
	bed_service(b, "low", "ok", ",'queue':{'priority':-1}");
	bed_service(b, "high", "ok", ",'queue':{'priority':10}");
	bed_start(b);
	int64_t first = bed_call(b, "first", "x");

	bed_wait(b, first, QUEUE_RUNNING);
	for (int i = 0; i < 3; i++)
		low[i] = bed_call(b, "low", "x");
	for (int i = 0; i < 3; i++)
		high[i] = bed_call(b, "high", "x");
	for (int i = 0; i < 3; i++)
		bed_wait(b, low[i], QUEUE_SUCCEEDED);
	for (int i = 0; i < 3; i++)
		assert_true(bed_job(b, high[i]).started_ns < bed_job(b, low[0]).started_ns);
}

static void a_pause_holds_jobs_back_and_survives(void **state)
{
	struct bed *b = *state;
	struct service_caller admin = place_admin();
	auto_service_def struct service_def *def = NULL;
	struct err e = { 0 };
	struct queue_call *refused;
	int64_t job;

	b->world = exec_fake_world_new();
	bed_service(b, "held", "ok", "");
	bed_start(b);
	flow(b, "held", SERVICE_PAUSE);
	job = bed_call(b, "held", "x");
	place_put(&b->place, "held", "in/a", SPAN("x"));
	settle(b);
	assert_int_equal(count(b, "held", QUEUE_QUEUED), 2);
	// Who would wait for an answer is told at once.
	assert_int_equal(service_get(b->place.services, &admin, SPAN("held"), &def, &e), 0);
	assert_int_equal(dispatch_call_new(b->d, def, 1, SPAN("x"), NULL, &refused, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	service_def_put(mem_take(&def));
	bed_stop(b, false);
	bed_reopen(b);
	settle(b);
	assert_int_equal(count(b, "held", QUEUE_QUEUED), 2);
	flow(b, "held", SERVICE_RESUME);
	bed_wait(b, job, QUEUE_SUCCEEDED);
}

static void a_drain_works_off_what_was_queued(void **state)
{
	struct bed *b = *state;
	int64_t before[3], after;

	bed_service(b, "held", "slow", ",'queue':{'concurrency':1}");
	bed_start(b);
	for (int i = 0; i < 3; i++)
		before[i] = bed_call(b, "held", "x");
	flow(b, "held", SERVICE_DRAIN);
	after = bed_call(b, "held", "x");
	for (int i = 0; i < 3; i++)
		bed_wait(b, before[i], QUEUE_SUCCEEDED);
	settle(b);
	assert_int_equal(bed_job(b, after).state, QUEUE_QUEUED);
}

static void all_of_a_run_is_cancelled_and_nothing_else(void **state)
{
	struct bed *b = *state;
	struct dispatch_scope s = { 0 };
	struct err e = { 0 };
	struct queue_job *jobs;
	uint64_t n;

	bed_service(b, "one", "never", ",'queue':{'concurrency':2}");
	bed_start(b);
	place_put(&b->place, "one", "in/a", SPAN("x"));
	place_put(&b->place, "one", "in/b", SPAN("x"));
	place_put(&b->place, "one", "in/c", SPAN("x"));
	wait_running(b, "one", 2);
	assert_int_equal(place_jobs(&b->place, "one", &jobs), 3); // the newest first
	s.run = jobs[2].run;
	assert_int_equal(dispatch_cancel_all(b->d, &s, &n, &e), 0);
	assert_int_equal(n, 1);
	bed_wait(b, jobs[2].id, QUEUE_CANCELLED);
	wait_running(b, "one", 2); // the third took its place
	bed_call(b, "one", "x");
	s = (struct dispatch_scope){ .service = place_service_id(&b->place, "one"),
				     .queued_only = true };
	assert_int_equal(dispatch_cancel_all(b->d, &s, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(count(b, "one", QUEUE_RUNNING), 2);
	s.queued_only = false;
	assert_int_equal(dispatch_cancel_all(b->d, &s, &n, &e), 0);
	assert_int_equal(n, 2);
	assert_int_equal(count(b, "one", QUEUE_CANCELLED), 4);
}

static void a_full_queue_refuses_the_upload(void **state)
{
	struct bed *b = *state;
	struct store_cause by_job = { .job = 5, .run = 5, .depth = 1 };
	struct store_object o;
	struct err e = { 0 };

	bed_service(b, "held", "ok", ",'queue':{'max':1}");
	bed_start(b);
	flow(b, "held", SERVICE_PAUSE);
	place_put(&b->place, "held", "in/a", SPAN("x"));
	assert_int_equal(place_try_put(&b->place, "held", "in/b", SPAN("x"), NULL, &e), -1);
	assert_int_equal(e.code, ERR_BUSY);
	assert_int_equal(store_object_get(b->place.store, SPAN("held"), SPAN("in/b"), 0,
					  &b->place.mem, &o, &e),
			 -1);
	// What a job made is kept whatever the bound: else the job would be lost.
	assert_int_equal(place_try_put(&b->place, "held", "in/c", SPAN("x"), &by_job, &e), 0);
	assert_int_equal(count(b, "held", QUEUE_QUEUED), 2);
}

static void a_job_that_waited_too_long_fails_among_many(void **state)
{
	struct bed *b = *state;

	bed_service(b, "late", "ok", ",'wait_timeout':1");
	for (int i = 0; i < 140; i++)
		bed_call(b, "late", "x");
	usleep(2100000); // what is tested is that time went by
	bed_start(b);
	uint64_t counts[QUEUE_STATES];

	bed_wait_all(b, "late", counts);
	assert_int_equal(counts[QUEUE_FAILED], 140);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, bed_setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_service_keeps_to_its_concurrency),
		CASE(a_user_keeps_to_limits_whatever_the_service),
		CASE(the_machine_is_not_given_away_twice),
		CASE(a_higher_priority_goes_first),
		CASE(a_pause_holds_jobs_back_and_survives),
		CASE(a_drain_works_off_what_was_queued),
		CASE(all_of_a_run_is_cancelled_and_nothing_else),
		CASE(a_full_queue_refuses_the_upload),
		CASE(a_job_that_waited_too_long_fails_among_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
