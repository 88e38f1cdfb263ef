// What running jobs say of how far they are, for those who ask and those who follow.
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

static void a_running_job_says_how_far_it_is(void **state)
{
	struct bed *b = *state;
	struct progress p;
	int64_t wall_ns;
	struct err e = { 0 };

	bed_service(b, "never", "never", "");
	bed_service(b, "fine", "ok", "");
	bed_start(b);
	int64_t job = bed_call(b, "never", "x"), other = bed_call(b, "fine", "x");

	bed_wait(b, job, QUEUE_RUNNING);
	assert_int_equal(dispatch_progress(b->d, job, 1, &p, &wall_ns, &e), 0);
	assert_float_equal(p.done, 0.25, 1e-9);
	assert_string_equal(p.message, "a quarter");
	assert_true(wall_ns > 0);
	assert_int_equal(dispatch_progress(b->d, job, 2, &p, &wall_ns, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	bed_wait(b, other, QUEUE_SUCCEEDED);
	assert_int_equal(dispatch_progress(b->d, other, 1, &p, &wall_ns, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(dispatch_cancel(b->d, job, &e), 0);
	bed_wait(b, job, QUEUE_CANCELLED);
}

static void followers_hear_of_each_news_once(void **state)
{
	struct bed *b = *state;
	struct dispatch_progress *list;
	uint64_t number = 0, late = 0, none = 0;
	struct err e = { 0 };

	bed_service(b, "never", "never", "");
	bed_start(b);
	assert_false(dispatch_progress_look(b->d));
	assert_int_equal(dispatch_progress_since(b->d, 0, &number, &b->place.mem, &list), 0);
	int64_t job = bed_call(b, "never", "x");

	bed_wait(b, job, QUEUE_RUNNING);
	assert_true(dispatch_progress_look(b->d));
	assert_false(dispatch_progress_look(b->d)); // it said nothing new
	assert_int_equal(dispatch_progress_since(b->d, 0, &number, &b->place.mem, &list), 1);
	assert_string_equal(list[0].service, "never");
	assert_string_equal(list[0].job, bed_job(b, job).name);
	assert_string_equal(list[0].said.message, "a quarter");
	assert_int_equal(dispatch_progress_since(b->d, 0, &number, &b->place.mem, &list), 0);
	// Who comes later hears where it is; others than its owner do not.
	assert_int_equal(dispatch_progress_since(b->d, AUTH_ADMIN_ID, &late, &b->place.mem, &list),
			 1);
	assert_int_equal(
		dispatch_progress_since(b->d, AUTH_ADMIN_ID + 1, &none, &b->place.mem, &list), 0);
	assert_int_equal(dispatch_cancel(b->d, job, &e), 0);
	bed_wait(b, job, QUEUE_CANCELLED);
	bed_wait_idle(b);
	late = 0;
	assert_int_equal(dispatch_progress_since(b->d, 0, &late, &b->place.mem, &list), 0);
	assert_false(dispatch_progress_look(b->d));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, bed_setup, bed_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(a_running_job_says_how_far_it_is),
		CASE(followers_hear_of_each_news_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
