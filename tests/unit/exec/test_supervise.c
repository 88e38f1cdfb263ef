// SPDX-License-Identifier: Apache-2.0
#include "bed.h"

static int setup(void **state)
{
	*state = bed_open(true);
	return 0;
}

static int teardown(void **state)
{
	bed_close(*state);
	return 0;
}

static void a_supervised_runner_comes_back(void **state)
{
	struct bed *b = *state;
	struct exec_spec s = bed_spec("after", "exit 42");
	struct exec_spec long_one = bed_spec("during", "sleep 2; exit 7");
	struct bed_event ev;
	struct err e = { 0 };

	if (!b)
		skip();
	bed_submit(b, &long_one);
	bed_wait(b, "during", 1, false, &ev);
	assert_true(bed_order(b, "K"));
	for (int i = 0; b->driver->ops->submit(b->driver, &s, &e) < 0; i++) {
		assert_int_equal(e.code, ERR_UNAVAILABLE);
		assert_true(i < 1000);
		bed_pause_ms(10);
	}
	bed_wait(b, "after", 1, true, &ev);
	assert_int_equal(ev.result.exit_code, 42);
	bed_wait(b, "during", 1, true, &ev);
	assert_outcome(ev.result, EXEC_EXITED);
	assert_int_equal(ev.result.exit_code, 7);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_supervised_runner_comes_back),
	};

	if (bed_is_runner(argc, argv))
		return bed_runner(argc, argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
