// SPDX-License-Identifier: Apache-2.0
// How many servers a service shall have, and what becomes of those there are.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/attr.h"
#include "base/clock.h"
#include "expose/plan.h"

#define SECOND NS_PER_S
static const int64_t now = 1000 * SECOND, latest = 1001 * SECOND;

static struct plan_service service(void)
{
	return (struct plan_service){
		.max = 4, .calls = 10, .idle_stop_ns = 60 * SECOND, .changed_ago_ns = 3600 * SECOND
	};
}

static struct plan_instance idle_for(int64_t s)
{
	return (struct plan_instance){ .state = PLAN_READY, .idle_since_ns = now - s * SECOND };
}

static struct plan_instance busy(unsigned requests)
{
	return (struct plan_instance){ .state = PLAN_READY, .active = requests };
}

static struct plan make(const struct plan_service *s, struct plan_instance *at, size_t n)
{
	return plan_make(s, at, n, now, latest);
}

static void it_grows_with_what_waits(void **state unused_arg)
{
	static const struct {
		unsigned min, max, waiting, ready, starting, start;
	} rows[] = {
		{ 0, 4, 0, 0, 0, 0 },				  // nobody asks for it
		{ 2, 4, 0, 0, 0, 2 },				  // always there
		{ 2, 4, 0, 1, 1, 0 },				  // one of them begins
		{ 0, 4, 1, 0, 0, 1 },				  // the first request
		{ 0, 4, 10, 0, 0, 1 },				  // one takes ten at once
		{ 0, 4, 11, 0, 0, 2 },	 { 0, 4, 11, 0, 1, 1 },	  // beside the one that begins
		{ 0, 4, 5, 1, 1, 0 },	 { 0, 4, 1000, 1, 0, 3 }, // no more than max
		{ 0, 4, 1000, 4, 0, 0 }, { 3, 2, 0, 0, 0, 2 },	  // max counts
	};

	for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
		struct plan_service s = service();
		struct plan_instance at[8];
		size_t n = 0;

		s.min = rows[r].min;
		s.max = rows[r].max;
		s.waiting = rows[r].waiting;
		for (unsigned i = 0; i < rows[r].ready; i++)
			at[n++] = busy(10);
		for (unsigned i = 0; i < rows[r].starting; i++)
			at[n++] = (struct plan_instance){ .state = PLAN_STARTS };
		assert_int_equal(make(&s, at, n).start, rows[r].start);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(at[i].action, PLAN_KEEP);
	}
}

static void those_that_leave_and_those_of_old_do_not_count(void **state unused_arg)
{
	struct plan_service s = service();
	struct plan_instance at[] = { { .state = PLAN_LEAVES }, busy(1) };

	s.min = 2;
	at[1].old = true;
	assert_int_equal(make(&s, at, 2).start, 2);
	assert_int_equal(at[0].action, PLAN_KEEP); // it does already
}

static void after_a_failure_it_waits(void **state unused_arg)
{
	struct plan_service s = service();
	struct plan p;

	s.min = 1;
	s.retry_ns = now + SECOND / 2;
	p = make(&s, NULL, 0);
	assert_int_equal(p.start, 0);
	assert_int_equal(p.look_ns, s.retry_ns);
	s.retry_ns = now;
	p = make(&s, NULL, 0);
	assert_int_equal(p.start, 1);
	assert_int_equal(p.look_ns, latest);
	s.min = 0; // nothing is to begin
	s.retry_ns = now + SECOND / 2;
	assert_int_equal(make(&s, NULL, 0).look_ns, latest);
}

static void it_shrinks_to_the_least_when_idle(void **state unused_arg)
{
	struct plan_service s = service();
	struct plan_instance at[] = { idle_for(70), idle_for(59), busy(1), idle_for(60),
				      idle_for(61) };
	struct plan p;

	s.min = 2;
	p = make(&s, at, 5);
	assert_int_equal(at[0].action, PLAN_END);
	assert_int_equal(at[1].action, PLAN_KEEP);
	assert_int_equal(at[2].action, PLAN_KEEP);
	assert_int_equal(at[3].action, PLAN_END);
	assert_int_equal(at[4].action, PLAN_END); // two are left
	assert_int_equal(p.look_ns, latest);	  // at the same time as the second's end
	at[1].idle_since_ns -= SECOND / 2;
	at[4].active = 1;
	at[0].state = PLAN_LEAVES;
	p = make(&s, at, 5); // four are there, so one more goes
	assert_int_equal(at[1].action, PLAN_KEEP);
	assert_int_equal(at[3].action, PLAN_END);
	assert_int_equal(p.look_ns, now + SECOND / 2);
	s.min = 4;
	make(&s, at, 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(at[i].action, PLAN_KEEP);
	s.min = 0; // requests that wait are on their way to them
	s.waiting = 1;
	make(&s, at, 5);
	assert_int_equal(at[3].action, PLAN_KEEP);
}

static void idle_ones_are_frozen_first(void **state unused_arg)
{
	struct plan_service s = service();
	struct plan_instance at[] = { idle_for(30), idle_for(29), busy(1),
				      idle_for(40), idle_for(60), { .state = PLAN_STARTS },
				      idle_for(35) };
	struct plan p;

	s.freeze_after_ns = 30 * SECOND;
	at[1].idle_since_ns -= SECOND / 4;
	at[3].rests = true;
	at[6].old = true; // they end soon
	s.changed_ago_ns = 0;
	s.min = 4;
	p = make(&s, at, 7);
	assert_int_equal(at[0].action, PLAN_FREEZE);
	assert_int_equal(at[1].action, PLAN_KEEP);
	assert_int_equal(at[2].action, PLAN_KEEP);
	assert_int_equal(at[3].action, PLAN_KEEP);
	assert_int_equal(at[4].action, PLAN_END); // six are there; the end comes before
	assert_int_equal(at[5].action, PLAN_KEEP);
	assert_int_equal(p.look_ns, now + SECOND * 3 / 4);
	s.min = 6; // also those that are always there
	make(&s, at, 7);
	assert_int_equal(at[4].action, PLAN_FREEZE);
	s.waiting = 1;
	make(&s, at, 7);
	assert_int_equal(at[0].action, PLAN_KEEP);
	s.waiting = 0;
	s.freeze_after_ns = 0;
	make(&s, at, 7);
	assert_int_equal(at[0].action, PLAN_KEEP);
}

static void frozen_ones_end_in_their_time(void **state unused_arg)
{
	struct plan_service s = service();
	struct plan_instance at[] = { idle_for(60) };

	s.freeze_after_ns = 30 * SECOND;
	at[0].rests = true;
	make(&s, at, 1);
	assert_int_equal(at[0].action, PLAN_END);
	at[0].idle_since_ns = now - 59 * SECOND - SECOND / 2;
	assert_int_equal(make(&s, at, 1).look_ns, now + SECOND / 2);
	assert_int_equal(at[0].action, PLAN_KEEP);
}

static void all_end_with_their_service(void **state unused_arg)
{
	struct plan_service s = service();
	struct plan_instance at[] = {
		busy(3), idle_for(1), { .state = PLAN_STARTS }, { .state = PLAN_LEAVES }
	};

	s.off = true;
	s.min = 2;
	s.waiting = 50;
	assert_int_equal(make(&s, at, 4).start, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(at[i].action, PLAN_END);
	assert_int_equal(at[3].action, PLAN_KEEP);
}

// Of a revision before: it serves until there is one of the newest that takes requests.
static void an_old_one_ends_after_its_successor_began(void **state unused_arg)
{
	struct plan_service s = service();
	struct plan_instance at[] = { busy(3), { .state = PLAN_STARTS }, { .state = PLAN_STARTS } };

	s.min = 1;
	s.changed_ago_ns = SECOND;
	at[0].old = at[2].old = true;
	assert_int_equal(make(&s, at, 3).start, 0);
	assert_int_equal(at[0].action, PLAN_KEEP);
	assert_int_equal(at[1].action, PLAN_KEEP);
	assert_int_equal(at[2].action, PLAN_END); // nobody needs it any more
	at[1].state = PLAN_READY;
	at[1].active = s.calls; // it is full
	make(&s, at, 3);
	assert_int_equal(at[0].action, PLAN_KEEP);
	at[1].active--;
	make(&s, at, 3);
	assert_int_equal(at[0].action, PLAN_END);
	at[1].state = PLAN_STARTS;
	s.changed_ago_ns = 11 * SECOND; // there may be no room for both
	make(&s, at, 3);
	assert_int_equal(at[0].action, PLAN_END);
	s.changed_ago_ns = SECOND;
	s.min = 0; // the next request starts one
	make(&s, at, 3);
	assert_int_equal(at[0].action, PLAN_END);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_grows_with_what_waits),
		cmocka_unit_test(those_that_leave_and_those_of_old_do_not_count),
		cmocka_unit_test(after_a_failure_it_waits),
		cmocka_unit_test(it_shrinks_to_the_least_when_idle),
		cmocka_unit_test(idle_ones_are_frozen_first),
		cmocka_unit_test(frozen_ones_end_in_their_time),
		cmocka_unit_test(all_end_with_their_service),
		cmocka_unit_test(an_old_one_ends_after_its_successor_began),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
