// Devices are given out one by one, and come back.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "bed.h"

static const char *const machine[] = { "a.test/fpga=x", "a.test/gpu=0", "a.test/gpu=1" };

static void begin(struct bed *b)
{
	b->world = exec_fake_world_new();
	b->fake.devices = machine;
	b->fake.device_count = ARRAY_LEN(machine);
	bed_service(b, "one", "never", ",'enable_gpu':true");
	bed_service(b, "two", "never", ",'gpus':2");
	bed_service(b, "none", "ok", "");
}

static void wait_state(struct bed *b, int64_t job, enum queue_state state)
{
	int64_t deadline = clock_mono_ns() + BED_WAIT_S * NS_PER_S;

	while (bed_job(b, job).state != state) {
		if (clock_mono_ns() > deadline)
			fail_msg("job %lld is not in state %d", (long long)job, state);
		usleep(2000);
	}
}

static const char *held(struct bed *b, int64_t job)
{
	struct queue_attempt *a;
	unsigned n = bed_attempts(b, job, &a);

	return n ? a[n - 1].devices : "";
}

// Whatever could start has: one that needs nothing came through later.
static void settle(struct bed *b)
{
	bed_wait(b, bed_call(b, "none", "x"), QUEUE_SUCCEEDED);
	bed_wait(b, bed_call(b, "none", "x"), QUEUE_SUCCEEDED);
}

static void cancel(struct bed *b, int64_t job)
{
	struct err e = { 0 };

	assert_int_equal(dispatch_cancel(b->d, job, &e), 0);
	wait_state(b, job, QUEUE_CANCELLED);
}

static void wait_devices(struct bed *b, size_t n)
{
	int64_t deadline = clock_mono_ns() + BED_WAIT_S * NS_PER_S;
	auto_arena struct arena mem = { 0 };
	struct dispatch_device *devices;

	while (dispatch_devices(b->d, &mem, &devices) != n) {
		if (clock_mono_ns() > deadline)
			fail_msg("there are not %zu devices", n);
		usleep(2000);
	}
}

static void each_is_one_jobs_and_comes_back(void **state)
{
	struct bed *b = *state;
	int64_t jobs[3];

	begin(b);
	bed_start(b);
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		jobs[i] = bed_call(b, "one", "x");
	wait_state(b, jobs[0], QUEUE_RUNNING);
	wait_state(b, jobs[1], QUEUE_RUNNING);
	settle(b);
	assert_string_equal(held(b, jobs[0]), "a.test/gpu=0");
	assert_string_equal(held(b, jobs[1]), "a.test/gpu=1");
	assert_int_equal(bed_job(b, jobs[2]).state, QUEUE_QUEUED);
	cancel(b, jobs[0]);
	wait_state(b, jobs[2], QUEUE_RUNNING);
	assert_string_equal(held(b, jobs[2]), "a.test/gpu=0");
}

static void who_goes_on_keeps_it_in_the_next_life(void **state)
{
	auto_arena struct arena mem = { 0 };
	struct dispatch_device *devices;
	struct bed *b = *state;
	int64_t first, second, third;

	begin(b);
	bed_start(b);
	first = bed_call(b, "one", "x");
	wait_state(b, first, QUEUE_RUNNING);
	second = bed_call(b, "one", "x");
	wait_state(b, second, QUEUE_RUNNING);
	cancel(b, first); // the second has not the first device
	bed_stop(b, false);
	b->fake.devices++; // of which one is gone now, and the other not
	b->fake.device_count = 1;
	bed_reopen(b);
	third = bed_call(b, "one", "x");
	wait_state(b, third, QUEUE_RUNNING);
	settle(b);
	assert_string_equal(held(b, third), "a.test/gpu=0");
	assert_string_equal(held(b, second), "a.test/gpu=1");
	assert_int_equal(dispatch_devices(b->d, &mem, &devices), 2);
	assert_true(devices[0].held && devices[0].there && devices[0].gpu && devices[0].offered);
	assert_true(devices[1].held && !devices[1].there && devices[1].job == second);
	cancel(b, second);
	wait_devices(b, 1); // soon after it is over
}

static void one_that_needs_several_is_not_passed_by(void **state)
{
	struct bed *b = *state;
	int64_t holds, both, later;

	begin(b);
	bed_start(b);
	holds = bed_call(b, "one", "x");
	wait_state(b, holds, QUEUE_RUNNING);
	both = bed_call(b, "two", "x");
	settle(b);
	later = bed_call(b, "one", "x"); // its service has had a share, the other none
	settle(b);
	assert_int_equal(bed_job(b, both).state, QUEUE_QUEUED);
	assert_int_equal(bed_job(b, later).state, QUEUE_QUEUED);
	cancel(b, holds);
	wait_state(b, both, QUEUE_RUNNING);
	assert_string_equal(held(b, both), "a.test/gpu=0 a.test/gpu=1");
	assert_int_equal(bed_job(b, later).state, QUEUE_QUEUED);
}

static void kinds_are_offered_by_name(void **state)
{
	static const char *const kinds[] = { "a.test/fpga" };
	struct bed *b = *state;
	int64_t job;

	begin(b);
	b->o.device_kinds = kinds;
	b->o.device_kind_count = 1;
	bed_service(b, "fpga", "never", ",'gpus':1,'devices':[{'kind':'a.test/fpga'}]");
	bed_start(b);
	job = bed_call(b, "fpga", "x");
	wait_state(b, job, QUEUE_RUNNING);
	assert_string_equal(held(b, job), "a.test/fpga=x a.test/gpu=0");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, bed_setup, bed_teardown)
	const struct CMUnitTest tests[] = {
		CASE(each_is_one_jobs_and_comes_back),
		CASE(who_goes_on_keeps_it_in_the_next_life),
		CASE(one_that_needs_several_is_not_passed_by),
		CASE(kinds_are_offered_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
