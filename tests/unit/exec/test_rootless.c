// SPDX-License-Identifier: Apache-2.0
// The same runner without root rights: namespaces of its own, no control groups, one user id.
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

static const struct {
	const char *job, *script;
	enum exec_outcome outcome;
	const char *out;
} cases[] = {
	{ "basic",
	  "id -u; cat; echo x >$TMP_OUTPUT_DIR/x; echo y >/dev/null && echo z >/dev/stdout",
	  EXEC_EXITED, "0\n{}z\n" },
	{ "hidden",
	  "for f in /etc/shadow /home/* /root/* /work /srv/*; do test -e $f && echo $f; done; "
	  "touch /x /etc/x /usr/x /oscar/x 2>/dev/null && echo wrote; ls /proc | grep -c '^[0-9]' "
	  ">/dev/null; "
	  "cat /proc/net/route | wc -l; true",
	  EXEC_EXITED, "1\n" },
	{ "hostile",
	  "for c in 'mount -t tmpfs x /tmp' 'unshare -U true' 'umount /proc' 'chroot / true'; do "
	  "$c 2>/dev/null && echo \"allowed: $c\"; done; true",
	  EXEC_EXITED, "" },
	{ "memory", "exec python3 -c 'x=b\"x\"*(500<<20); import time; time.sleep(10)'", EXEC_OOM,
	  NULL },
	{ "tmpfs", "head -c 200m /dev/zero >/tmp/x; sleep 10", EXEC_OOM, NULL },
	{ "processes",
	  "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 "
	  "30; do "
	  "sleep 5 & done; true",
	  EXEC_EXITED, NULL },
	{ "time", "sleep 100", EXEC_TIMEOUT, NULL },
	{ "orphan", "setsid sleep 1000 & exit 0", EXEC_EXITED, "" },
};

static void a_runner_without_rights_runs_jobs(void **state)
{
	struct bed *b = *state;
	unsigned bad = 0;

	if (!b)
		skip();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct exec_spec s = bed_spec(cases[i].job, cases[i].script);

		s.memory_bytes = UINT64_C(100) << 20;
		s.scratch_bytes_max = UINT64_C(1) << 30;
		s.pids_max = 20;
		s.grace_ms = 200;
		if (strcmp(cases[i].job, "time") == 0)
			s.timeout_ms = 500;
		struct exec_result r = bed_run(b, &s);
		auto_free char *out = bed_log(b, cases[i].job, JOBLOG_STDOUT);
		auto_free char *err = bed_log(b, cases[i].job, JOBLOG_STDERR);

		if (r.outcome != cases[i].outcome ||
		    (cases[i].out && strcmp(out, cases[i].out) != 0) ||
		    (strcmp(cases[i].job, "processes") == 0 && !strstr(err, "fork"))) {
			print_error("%s: outcome %d code %d (%s)\n--- stdout\n%s--- stderr\n%s",
				    cases[i].job, r.outcome, r.exit_code, r.reason, out, err);
			bad++;
		}
		bed_forget(b, cases[i].job);
	}
	assert_int_equal(bad, 0);
}

static void it_says_which_limits_do_not_hold(void **state)
{
	struct bed *b = *state;
	struct exec_capacity c;

	if (!b)
		skip();
	b->driver->ops->capacity(b->driver, &c);
	assert_true(c.cpu_millis >= 1000);
	assert_true(c.memory_bytes > UINT64_C(64) << 20);
	printf("# %s\n", c.limits);
	assert_non_null(strstr(c.limits, "memory"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_runner_without_rights_runs_jobs),
		cmocka_unit_test(it_says_which_limits_do_not_hold),
	};

	if (bed_is_runner(argc, argv))
		return bed_runner(argc, argv);
	if (geteuid() == 0 &&
	    (setgroups(0, NULL) < 0 || setresgid(BED_USER, BED_USER, BED_USER) < 0 ||
	     setresuid(BED_USER, BED_USER, BED_USER) < 0))
		return 1;
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	return cmocka_run_group_tests(tests, setup, teardown);
}
