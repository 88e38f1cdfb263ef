// SPDX-License-Identifier: Apache-2.0
// Sandboxes made ahead, as the driver counts them: which one a job gets, how many there are, when they end.
#include "base/clock.h"
#include "base/mem.h"
#include "exec/sandbox/ahead.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct place {
	struct ahead_pool pool;
	struct exec_keep keep;
	char id[PROTO_JOB_MAX];
	struct proto_start start; // last: its end is of any length
};

static int setup(void **state)
{
	struct place *p = mem_zalloc(sizeof(*p));

	ahead_init(&p->pool);
	p->keep = (struct exec_keep){
		.service = 1, .revision = 1, .count = 2, .once = true, .idle_ms = 60000
	};
	p->start = (struct proto_start){ .job = "a", .attempt = 1, .memory_bytes = 1 << 20 };
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	ahead_release(&p->pool);
	mem_free(p);
	return 0;
}

static bool add(struct place *p)
{
	return ahead_add(&p->pool, &p->keep, &p->start, sizeof(p->start), p->id);
}

static bool take(struct place *p, char id[static PROTO_JOB_MAX])
{
	return ahead_take(&p->pool, &p->keep, &p->start, sizeof(p->start), id);
}

static void only_ready_ones_are_taken_once(void **state)
{
	struct place *p = *state;
	char id[PROTO_JOB_MAX];

	assert_false(take(p, id));
	assert_true(add(p));
	assert_false(take(p, id));
	assert_int_equal(ahead_count(&p->pool), 0);
	ahead_ready(&p->pool, p->id);
	assert_int_equal(ahead_count(&p->pool), 1);
	snprintf(p->start.job, sizeof(p->start.job), "another"); // whose job it is says nothing
	p->start.attempt = 7;
	assert_true(take(p, id));
	assert_string_equal(id, p->id);
	assert_false(take(p, id));
	ahead_ready(&p->pool, id); // told again: it is not known any more
	ahead_gone(&p->pool, id);
	assert_false(take(p, id));
}

static void another_sandbox_is_no_use(void **state)
{
	struct place *p = *state;
	char id[PROTO_JOB_MAX];

	assert_true(add(p));
	ahead_ready(&p->pool, p->id);
	p->start.memory_bytes++;
	assert_false(take(p, id));
	assert_true(add(p)); // nor does it count for such jobs
	p->start.memory_bytes--;
	assert_false(ahead_take(&p->pool, &p->keep, &p->start, sizeof(p->start) - 8, id));
	p->keep.service = 2;
	assert_false(take(p, id));
	p->keep.service = 1;
	assert_true(take(p, id));
}

static void as_many_as_are_wanted(void **state)
{
	struct place *p = *state;
	char id[PROTO_JOB_MAX], first[PROTO_JOB_MAX];

	assert_true(add(p));
	memcpy(first, p->id, sizeof(first));
	assert_true(add(p));
	assert_string_not_equal(first, p->id);
	assert_false(add(p));
	ahead_gone(&p->pool, first);
	assert_true(add(p));
	p->keep.count = AHEAD_MAX + 1;
	for (int i = 2; i < AHEAD_MAX; i++)
		assert_true(add(p));
	assert_false(add(p)); // of all services together
	ahead_ready(&p->pool, p->id);
	assert_true(take(p, id));
	assert_true(add(p));
}

static void a_new_revision_ends_those_of_the_old(void **state)
{
	struct place *p = *state;
	char id[PROTO_JOB_MAX], old[PROTO_JOB_MAX];

	assert_true(add(p));
	memcpy(old, p->id, sizeof(old));
	ahead_ready(&p->pool, old);
	assert_false(ahead_ending(&p->pool, id));
	p->keep.revision = 2;
	assert_false(take(p, id));
	assert_true(add(p));
	assert_true(ahead_ending(&p->pool, id));
	assert_string_equal(id, old);
	assert_false(ahead_ending(&p->pool, id)); // told once
	assert_true(ahead_due(&p->pool) > clock_mono_ns());
}

static void idle_ones_end(void **state)
{
	struct place *p = *state;
	char id[PROTO_JOB_MAX];

	assert_int_equal(ahead_due(&p->pool), 0);
	p->keep.idle_ms = 0;
	assert_true(add(p));
	assert_true(ahead_due(&p->pool) > 0 && ahead_due(&p->pool) <= clock_mono_ns());
	assert_true(ahead_ending(&p->pool, id));
	ahead_ready(&p->pool, id);
	assert_false(take(p, id)); // it is on its way out
	assert_int_equal(ahead_due(&p->pool), 0);
}

static void retiring_a_service_or_all(void **state)
{
	struct place *p = *state;
	char id[PROTO_JOB_MAX];

	assert_true(add(p));
	ahead_ready(&p->pool, p->id);
	ahead_retire(&p->pool, 2);
	assert_int_equal(ahead_count(&p->pool), 1);
	ahead_retire(&p->pool, 0);
	assert_int_equal(ahead_count(&p->pool), 0);
	assert_false(take(p, id));
	assert_true(add(p)); // for a runner that is there again
	assert_true(ahead_ending(&p->pool, id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_ready_ones_are_taken_once, setup, teardown),
		cmocka_unit_test_setup_teardown(another_sandbox_is_no_use, setup, teardown),
		cmocka_unit_test_setup_teardown(as_many_as_are_wanted, setup, teardown),
		cmocka_unit_test_setup_teardown(a_new_revision_ends_those_of_the_old, setup,
						teardown),
		cmocka_unit_test_setup_teardown(idle_ones_end, setup, teardown),
		cmocka_unit_test_setup_teardown(retiring_a_service_or_all, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
