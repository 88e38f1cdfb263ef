// SPDX-License-Identifier: Apache-2.0
// Whatever is killed, no job is lost that still runs, none is told of twice, and nothing runs on unseen.
#include "bed.h"

#include <dirent.h>

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

// A job that runs until the file `go` is in its output folder, then exits with 42.
static const char waits[] =
	"echo begun; while ! test -e $TMP_OUTPUT_DIR/go; do sleep 0.02; done; exit 42";

static void let_go(struct bed *b, const char *job)
{
	struct err e = { 0 };
	auto_free char *path = mem_printf("%s/jobs/%s.1/oscar/output/go", b->data, job);
	auto_fd int fd = file_open(AT_FDCWD, path, O_WRONLY | O_CREAT, 0644, &e);

	assert_true(fd >= 0);
}

// Returns once the script has said something.
static void start(struct bed *b, const char *job, const char *script)
{
	struct exec_spec s = bed_spec(job, script);
	struct bed_event ev;

	bed_submit(b, &s);
	bed_wait(b, job, 1, false, &ev);
	for (int i = 0;; i++) {
		auto_free char *out = bed_log(b, job, JOBLOG_STDOUT);

		if (*out)
			return;
		assert_true(i < 5000);
		bed_pause_ms(2);
	}
}

static void expect_42(struct bed *b, const char *job)
{
	struct bed_event ev;

	bed_wait(b, job, 1, true, &ev);
	assert_outcome(ev.result, EXEC_EXITED);
	assert_int_equal(ev.result.exit_code, 42);
	assert_int_equal(bed_find(b, job, 1, true, &ev), 1);
	bed_forget(b, job);
}

static void adopt(struct bed *b, const char *job)
{
	struct err e = { 0 };

	if (b->driver->ops->adopt(b->driver, job, 1, &e) < 0)
		fail_msg("adopt %s: %s", job, e.msg);
}

static pid_t shim_of(struct bed *b, const char *job)
{
	auto_free char *path = mem_printf("%s/jobs/%s.1/alive", b->data, job);
	struct jobdir_alive a = { 0 };
	struct err e = { 0 };
	auto_fd int fd = file_open(AT_FDCWD, path, O_RDONLY, 0, &e);

	assert_true(fd >= 0 && file_read_full(fd, &a, sizeof(a), &e) == sizeof(a));
	return a.shim;
}

// Processes of the whole machine with this word among their arguments.
static unsigned processes(const char *word)
{
	DIR *list = opendir("/proc");
	struct dirent *d;
	unsigned n = 0;

	assert_non_null(list);
	while ((d = readdir(list))) {
		char path[300], text[512];
		ssize_t k;

		snprintf(path, sizeof(path), "/proc/%s/cmdline", d->d_name);
		auto_fd int fd =
			d->d_name[0] > '0' && d->d_name[0] <= '9' ? open(path, O_RDONLY) : -1;

		k = fd < 0 ? 0 : read(fd, text, sizeof(text));
		if (k > 0 && memmem(text, (size_t)k, word, strlen(word)))
			n++;
	}
	closedir(list);
	return n;
}

static int shell(const char *script)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", script, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Until the driver has noticed that nobody is there.
static void wait_for_silence(struct bed *b)
{
	struct exec_capacity c;

	for (int i = 0; i < 1000; i++) {
		b->driver->ops->capacity(b->driver, &c);
		if (strstr(c.limits, "does not answer"))
			return;
		bed_pause_ms(5);
	}
	fail_msg("the driver still believes in its runner");
}

static void a_job_outlives_its_runner(void **state)
{
	struct bed *b = need(state);

	start(b, "outlives", waits);
	assert_true(bed_order(b, "K"));
	assert_true(bed_order(b, "S"));
	bed_pause_ms(100);
	let_go(b, "outlives");
	expect_42(b, "outlives");
}

static void an_end_is_seen_without_a_runner(void **state)
{
	struct bed *b = need(state);
	struct exec_spec s = bed_spec("refused", "true");
	struct err e = { 0 };

	start(b, "alone", waits);
	assert_true(bed_order(b, "K"));
	let_go(b, "alone");
	expect_42(b, "alone");
	assert_int_equal(b->driver->ops->submit(b->driver, &s, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_int_equal(b->driver->ops->adopt(b->driver, "nobody-knows", 1, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_true(bed_order(b, "S"));
}

static void a_job_can_be_cancelled_without_a_runner(void **state)
{
	struct bed *b = need(state);
	struct bed_event ev;
	struct err e = { 0 };

	bed_close_driver(b, false);
	bed_open_driver(b);
	start(b, "cancelled", waits);
	assert_true(bed_order(b, "K"));
	wait_for_silence(b);
	assert_int_equal(b->driver->ops->cancel(b->driver, "cancelled", 1, &e), 0);
	bed_wait(b, "cancelled", 1, true, &ev);
	assert_outcome(ev.result, EXEC_CANCELLED);
	bed_forget(b, "cancelled");
	assert_true(bed_order(b, "S"));
	bed_close_driver(b, false);
	bed_open_driver(b);
}

static void a_new_driver_adopts_what_runs_and_what_ended(void **state)
{
	struct bed *b = need(state);

	start(b, "runs", waits);
	start(b, "ends", waits);
	bed_close_driver(b, false);
	let_go(b, "ends");
	pid_t shim = shim_of(b, "ends");

	for (int i = 0; kill(shim, 0) == 0 || errno == EPERM; i++) {
		assert_true(i < 2000);
		bed_pause_ms(5);
	}
	bed_open_driver(b);
	b->count = 0; // events of the new life only
	adopt(b, "ends");
	adopt(b, "runs");
	adopt(b, "runs"); // twice does no harm
	expect_42(b, "ends");
	struct bed_event ev;

	bed_wait(b, "runs", 1, false, &ev);
	assert_int_equal(bed_find(b, "runs", 1, true, &ev), 0);
	let_go(b, "runs");
	expect_42(b, "runs");
}

static void everything_killed_and_started_again_finds_the_job(void **state)
{
	struct bed *b = need(state);

	start(b, "survivor", waits);
	bed_close_driver(b, false);
	assert_true(bed_order(b, "K"));
	assert_true(bed_order(b, "S"));
	bed_open_driver(b);
	b->count = 0;
	adopt(b, "survivor");
	let_go(b, "survivor");
	expect_42(b, "survivor");
}

static int spares(struct bed *b)
{
	auto_free char *cmd = mem_printf("exit $(ls -a %s/jobs | grep -c spare)", b->data);

	return shell(cmd);
}

static void a_killed_shim_takes_its_sandbox_along(void **state)
{
	struct bed *b = need(state);
	int before;
	char order[32];
	struct bed_event ev;

	start(b, "shimless", "(setsid sleep 86399.25 &); echo on; sleep 86399.25");
	for (int i = 0; processes("86399.25") < 2; i++) {
		assert_true(i < 1000);
		bed_pause_ms(5);
	}
	snprintf(order, sizeof(order), "P%d", shim_of(b, "shimless"));
	assert_true(bed_order(b, order));
	bed_wait(b, "shimless", 1, true, &ev);
	assert_outcome(ev.result, EXEC_LOST);
	assert_true(ev.result.started_wall_ns > 0);
	for (int i = 0; processes("86399.25"); i++) {
		assert_true(i < 1000);
		bed_pause_ms(5);
	}
	before = spares(b);
	bed_forget(b, "shimless");
	// What was in the sandbox may have been alive for a moment longer: the folder is nobody's any more.
	assert_int_equal(spares(b), before);
	// Its control groups are swept by the runner.
	for (int i = 0; shell("find /sys/fs/cgroup -name shimless.1 2>/dev/null | grep -q .") == 0;
	     i++) {
		assert_true(i < 100);
		bed_pause_ms(50);
	}
}

static void what_never_began_is_not_known(void **state)
{
	struct bed *b = need(state);
	auto_free char *dir = mem_printf("%s/jobs/unborn.1", b->data);
	struct err e = { 0 };

	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(b->driver->ops->adopt(b->driver, "unborn", 1, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	struct exec_spec s = bed_spec("unborn", "exit 42");

	bed_submit(b, &s); // and may be submitted
	expect_42(b, "unborn");
}

static void jobs_stopped_with_the_daemon_are_lost_to_the_next(void **state)
{
	struct bed *b = need(state);
	struct bed_event ev;

	start(b, "stopped", waits);
	start(b, "stubborn", "trap '' TERM; echo on; while :; do sleep 0.1; done");
	bed_close_driver(b, true);
	assert_int_equal(bed_find(b, "stopped", 1, true, &ev), 0);
	bed_open_driver(b);
	adopt(b, "stopped");
	adopt(b, "stubborn");
	bed_wait(b, "stopped", 1, true, &ev);
	assert_outcome(ev.result, EXEC_LOST);
	assert_string_equal(ev.result.reason, "stopped with the daemon");
	bed_wait(b, "stubborn", 1, true, &ev);
	assert_outcome(ev.result, EXEC_LOST);
	bed_forget(b, "stopped");
	bed_forget(b, "stubborn");
}

static void jobs_are_stopped_also_without_a_runner(void **state)
{
	struct bed *b = need(state);
	struct bed_event ev;

	start(b, "stopped-alone", waits);
	assert_true(bed_order(b, "K"));
	wait_for_silence(b);
	bed_close_driver(b, true);
	assert_int_equal(bed_find(b, "stopped-alone", 1, true, &ev), 0);
	assert_true(bed_order(b, "S"));
	bed_open_driver(b);
	adopt(b, "stopped-alone");
	bed_wait(b, "stopped-alone", 1, true, &ev);
	assert_outcome(ev.result, EXEC_LOST);
	assert_string_equal(ev.result.reason, "stopped with the daemon");
	bed_forget(b, "stopped-alone");
}

static void a_start_finds_the_runner_that_has_a_daemon(void **state)
{
	struct bed *b = need(state);
	pid_t runner = bed_runner_pid(b->data);

	assert_true(bed_order(b, "S"));
	assert_int_equal(bed_runner_pid(b->data), runner);
}

static void a_second_daemon_has_to_wait(void **state)
{
	struct bed *b = need(state);
	struct exec_sandbox_options o = { .data_dir = b->data,
					  .connect_ms = 200,
					  .oci = getenv("BED_OCI") };
	struct exec_events none = { 0 };
	struct exec_driver *second;
	struct exec_spec s = bed_spec("second", "true");
	struct err e = { 0 };

	assert_int_equal(exec_sandbox_open(&second, &o, &none, &e), 0);
	assert_int_equal(second->ops->submit(second, &s, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	second->ops->close(second, false);
	assert_outcome(bed_run(b, &s), EXEC_EXITED);
	bed_forget(b, "second");
}

// It finds the lock taken and goes; what it opened on the way is the first one's to remove.
static void a_second_runner_leaves_the_first_alone(void **state)
{
	struct bed *b = need(state);
	struct exec_spec before = bed_spec("before", "true"), after = bed_spec("after", "true");

	assert_outcome(bed_run(b, &before), EXEC_EXITED);
	bed_forget(b, "before");
	bed_pause_ms(2 * BED_IDLE_MS); // no group is left but the runner's own
	assert_true(bed_order(b, "D"));
	assert_outcome(bed_run(b, &after), EXEC_EXITED);
	bed_forget(b, "after");
}

static void a_stranger_is_sent_away(void **state)
{
	struct bed *b = need(state);
	auto_free char *run = mem_printf("%s/run", b->data);

	if (!b->root)
		skip();
	bed_close_driver(b, false);
	assert_true(chmod(b->data, 0755) == 0 && chmod(run, 0755) == 0);
	assert_false(bed_order(b, "U"));
	assert_true(chmod(b->data, 0700) == 0 && chmod(run, 0700) == 0);
	bed_open_driver(b);
}

static void an_idle_runner_leaves_and_a_busy_one_stays(void **state)
{
	struct bed *b = need(state);

	start(b, "busy", waits);
	pid_t shim = shim_of(b, "busy");

	bed_close_driver(b, false);
	bed_pause_ms(2500);		// longer than its patience of 1.5 s
	assert_true(bed_order(b, "S")); // it is there: this starts no second
	bed_open_driver(b);
	assert_int_equal(shim_of(b, "busy"), shim);
	b->count = 0;
	adopt(b, "busy");
	let_go(b, "busy");
	expect_42(b, "busy");
	bed_close_driver(b, false);
	struct err e = { 0 };

	for (int i = 0;; i++) {
		auto_fd int fd = -1;

		assert_true(i < 100);
		bed_pause_ms(200 * (i + 1)); // a look keeps it: so look less and less often
		fd = runner_connect(b->data, &e);
		if (fd < 0)
			break;
	}
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_true(bed_order(b, "S"));
	bed_open_driver(b);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_job_outlives_its_runner),
		cmocka_unit_test(an_end_is_seen_without_a_runner),
		cmocka_unit_test(a_job_can_be_cancelled_without_a_runner),
		cmocka_unit_test(a_new_driver_adopts_what_runs_and_what_ended),
		cmocka_unit_test(everything_killed_and_started_again_finds_the_job),
		cmocka_unit_test(a_killed_shim_takes_its_sandbox_along),
		cmocka_unit_test(what_never_began_is_not_known),
		cmocka_unit_test(jobs_stopped_with_the_daemon_are_lost_to_the_next),
		cmocka_unit_test(jobs_are_stopped_also_without_a_runner),
		cmocka_unit_test(a_start_finds_the_runner_that_has_a_daemon),
		cmocka_unit_test(a_second_daemon_has_to_wait),
		cmocka_unit_test(a_second_runner_leaves_the_first_alone),
		cmocka_unit_test(a_stranger_is_sent_away),
		cmocka_unit_test(an_idle_runner_leaves_and_a_busy_one_stays),
	};

	if (bed_is_runner(argc, argv))
		return bed_runner(argc, argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
