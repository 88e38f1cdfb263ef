// SPDX-License-Identifier: Apache-2.0
#include "bed.h"

static int setup(void **state)
{
	*state = bed_open(false);
	return 0;
}

static int teardown(void **state)
{
	bed_close(*state);
	return 0;
}

static struct bed *need(void **state)
{
	if (!*state)
		skip();
	return *state;
}

static void a_script_that_succeeds_exits_0(void **state)
{
	struct bed *b = need(state);
	struct exec_spec s = bed_spec("ok", "echo out; echo err >&2");
	struct exec_result r = bed_run(b, &s);
	struct bed_event started;

	assert_outcome(r, EXEC_EXITED);
	assert_int_equal(r.exit_code, 0);
	assert_string_equal(r.reason, "");
	assert_true(r.started_wall_ns > 0 && r.ended_wall_ns >= r.started_wall_ns);
	assert_true(r.memory_peak_bytes > 0);
	assert_true(r.cpu_us > 0);
	bed_wait(b, "ok", 1, false, &started);
	assert_true(started.started_wall_ns == r.started_wall_ns);
	auto_free char *out = bed_log(b, "ok", JOBLOG_STDOUT);
	auto_free char *err = bed_log(b, "ok", JOBLOG_STDERR);

	assert_string_equal(out, "out\n");
	assert_string_equal(err, "err\n");
	bed_forget(b, "ok");
	struct err e = { 0 };

	assert_int_equal(b->driver->ops->open_log(b->driver, "ok", 1, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_script_that_succeeds_exits_0),
	};

	if (bed_is_runner(argc, argv))
		return bed_runner(argc, argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
