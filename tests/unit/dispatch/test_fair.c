// The order of turns, played with a clock of its own.
// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/attr.h"
#include "base/clock.h"
#include "dispatch/fair.h"

enum { PLAYERS = 3 };

struct player {
	int64_t user, service;
	unsigned user_weight, weight;
	int64_t lasts_ms; // its jobs
	bool away;
	struct fair_size size;
	// the play's own
	struct fair_party *party;
	unsigned running, began;
	int64_t ends_ms[16];
};

static const struct fair_size machine = { 4000, UINT64_C(4) << 30, 2 };
static const struct fair_size core = { 1000, UINT64_C(64) << 20, 0 };

static bool fits(const struct player *p, const struct player *all)
{
	uint32_t cpu = p->size.cpu_millis;

	for (size_t i = 0; i < PLAYERS; i++)
		cpu += all[i].running * all[i].size.cpu_millis;
	return cpu <= machine.cpu_millis;
}

static void end_jobs(struct fair *f, struct player *p, int64_t ms)
{
	for (unsigned i = 0; i < p->running;) {
		if (p->ends_ms[i] > ms) {
			i++;
			continue;
		}
		p->ends_ms[i] = p->ends_ms[--p->running];
		fair_give_back(f, p->party, &p->size, ms * NS_PER_MS);
	}
}

// Everybody has jobs without end, unless away; one step is a millisecond.
static void play(struct fair *f, struct player *all, int64_t from_ms, int64_t to_ms)
{
	for (int64_t ms = from_ms; ms < to_ms; ms++) {
		for (size_t i = 0; i < PLAYERS; i++)
			end_jobs(f, &all[i], ms);
		fair_begin(f, ms * NS_PER_MS);
		for (size_t i = 0; i < PLAYERS; i++) {
			if (all[i].away)
				continue;
			all[i].party = fair_party(f, all[i].user, all[i].service, ms * NS_PER_MS);
			fair_waits(all[i].party, all[i].user_weight, all[i].weight);
		}
		fair_settle(f);
		for (;;) {
			struct player *best = NULL;

			for (size_t i = 0; i < PLAYERS; i++) {
				struct player *p = &all[i];

				if (p->away || !fits(p, all) || p->running == 16)
					continue;
				if (!best ||
				    (p->party->user == best->party->user
					     ? fair_before(p->party, best->party)
					     : fair_before(p->party->user, best->party->user)))
					best = p;
			}
			if (!best)
				break;
			best->ends_ms[best->running++] = ms + best->lasts_ms;
			best->began++;
			fair_take(f, best->party, &best->size, ms * NS_PER_MS);
		}
	}
}

static void expect_ratio(unsigned a, unsigned b, double want)
{
	double got = (double)a / b;

	if (got < want * 0.9 || got > want * 1.1)
		fail_msg("%u to %u is %.2f, not %.2f", a, b, got, want);
}

static void users_share_by_weight_whatever_their_services(void **state unused_arg)
{
	struct player p[PLAYERS] = {
		{ 1, 1, 3, 1, 50, .size = core },
		{ 2, 2, 1, 1, 50, .size = core },
		{ 2, 3, 1, 1, 50, .size = core },
	};
	struct fair f;

	fair_init(&f, &machine, 100);
	play(&f, p, 0, 20000);
	expect_ratio(p[0].began, p[1].began + p[2].began, 3);
	expect_ratio(p[1].began, p[2].began, 1);
	fair_release(&f);
}

static void services_of_a_user_share_by_weight(void **state unused_arg)
{
	struct player p[PLAYERS] = {
		{ 1, 1, 1, 4, 50, .size = core },
		{ 1, 2, 1, 2, 50, .size = core },
		{ 1, 3, 1, 1, 50, .size = core },
	};
	struct fair f;

	fair_init(&f, &machine, 100);
	play(&f, p, 0, 20000);
	expect_ratio(p[0].began, p[2].began, 4);
	expect_ratio(p[1].began, p[2].began, 2);
	fair_release(&f);
}

static void long_jobs_are_paid_for(void **state unused_arg)
{
	struct player p[PLAYERS] = {
		{ 1, 1, 1, 1, 500, .size = core },
		{ 2, 2, 1, 1, 50, .size = core },
		{ .away = true, .size = core },
	};
	struct fair f;

	fair_init(&f, &machine, 100);
	play(&f, p, 0, 60000);
	expect_ratio(p[1].began, p[0].began, 10);
	fair_release(&f);
}

static void who_was_away_has_saved_nothing_up(void **state unused_arg)
{
	struct player p[PLAYERS] = {
		{ 1, 1, 1, 1, 50, .size = core },
		{ 2, 2, 1, 1, 50, .size = core },
		{ .away = true, .size = core },
	};
	struct fair f;
	unsigned first, second;

	fair_init(&f, &machine, 100);
	play(&f, p, 0, 1000);
	p[1].away = true;
	play(&f, p, 1000, 30000);
	p[1].away = false;
	first = p[0].began;
	second = p[1].began;
	play(&f, p, 30000, 32000);
	expect_ratio(p[0].began - first, p[1].began - second, 1);
	fair_release(&f);
}

static void the_scarcest_thing_counts(void **state unused_arg)
{
	// The first takes a quarter of the cores, the second half of the GPUs a job.
	struct player p[PLAYERS] = {
		{ 1, 1, 1, 1, 100, .size = { 1000, 1, 0 } },
		{ 2, 2, 1, 1, 100, .size = { 1000, 1, 1 } },
		{ .away = true, .size = core },
	};
	struct fair f;

	fair_init(&f, &machine, 100);
	play(&f, p, 0, 30000);
	expect_ratio(p[0].began, p[1].began, 2);
	fair_release(&f);
}

static void parties_that_do_nothing_are_forgotten(void **state unused_arg)
{
	struct fair f;

	fair_init(&f, &machine, 100);
	for (int64_t i = 0; i < 1000; i++)
		fair_waits(fair_party(&f, i, i, 0), 1, 1);
	fair_begin(&f, NS_PER_S);
	assert_int_equal(f.services.count, 1000);
	fair_begin(&f, 200 * NS_PER_S);
	fair_begin(&f, 400 * NS_PER_S);
	assert_int_equal(f.services.count, 0);
	assert_int_equal(f.users.count, 0);
	fair_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(users_share_by_weight_whatever_their_services),
		cmocka_unit_test(services_of_a_user_share_by_weight),
		cmocka_unit_test(long_jobs_are_paid_for),
		cmocka_unit_test(who_was_away_has_saved_nothing_up),
		cmocka_unit_test(the_scarcest_thing_counts),
		cmocka_unit_test(parties_that_do_nothing_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
