// SPDX-License-Identifier: Apache-2.0
// What exec/exec.h promises, asked of every driver alike: one table of checks, run on fake and sandbox.
#include "bed.h"

#include "exec/fake/fake.h"

struct subject {
	struct bed *bed; // events; the sandbox's also has the runner
	struct exec_driver *driver;
};

static struct bed *real; // opened before the tests: it gives up the rights of root

// The fake does what the script says, in the few words that the checks below use.
static void rule(void *owner unused_arg, const struct exec_spec *s, struct exec_fake_answer *out)
{
	uint64_t code = 0;
	struct span rest = s->script;
	struct span word = span_cut(&rest, ' ');

	out->delay_ms = 5;
	if (span_is(word, "exit") && span_to_u64(span_trim(rest), &code))
		out->exit_code = (int)code;
	if (span_is(word, "sleep"))
		out->never = true;
	if (span_is(word, "echo")) {
		out->log = "said\n";
		out->output_name = "out";
		out->output = SPAN("kept\n");
	}
	if (out->exit_code)
		out->reason = "ended with an exit code";
}

static int open_fake(void **state)
{
	struct subject *s = mem_zalloc(sizeof(*s));
	struct exec_fake_options o = { .seed = 1, .rule = rule };
	struct exec_events ev;
	struct err e = { 0 };

	s->bed = mem_zalloc(sizeof(*s->bed));
	pthread_mutex_init(&s->bed->lock, NULL);
	lock_cond_init(&s->bed->changed);
	ev = bed_events(s->bed);
	check(exec_fake_open(&s->driver, &o, &ev, &e) == 0);
	s->bed->driver = s->driver;
	*state = s;
	return 0;
}

static int close_fake(void **state)
{
	struct subject *s = *state;

	s->driver->ops->close(s->driver, true);
	mem_free(s->bed);
	mem_free(s);
	return 0;
}

static int open_real(void **state)
{
	struct subject *s = mem_zalloc(sizeof(*s));

	*state = s;
	s->bed = real;
	s->driver = real ? real->driver : NULL;
	return 0;
}

static int close_real(void **state)
{
	mem_free(*state);
	return 0;
}

static struct subject *need(void **state)
{
	struct subject *s = *state;

	if (!s->driver)
		skip();
	return s;
}

static void an_end_is_told_once_after_its_start(void **state)
{
	struct subject *s = need(state);
	struct exec_spec spec = bed_spec("once", "exit 3");
	struct bed_event started, ended;
	struct exec_result r = bed_run(s->bed, &spec);

	assert_outcome(r, EXEC_EXITED);
	assert_int_equal(r.exit_code, 3);
	assert_string_not_equal(r.reason, "");
	assert_true(r.started_wall_ns > 0);
	bed_pause_ms(20);
	assert_int_equal(bed_find(s->bed, "once", 1, false, &started), 1);
	assert_int_equal(bed_find(s->bed, "once", 1, true, &ended), 1);
	unsigned first = 0;

	while (strcmp(s->bed->events[first].job, "once") != 0)
		first++;
	assert_false(s->bed->events[first].ended);
	bed_forget(s->bed, "once");
}

static void an_attempt_can_be_submitted_once(void **state)
{
	struct subject *s = need(state);
	struct exec_spec spec = bed_spec("twice", "exit 0");
	struct err e = { 0 };

	bed_submit(s->bed, &spec);
	assert_int_equal(s->driver->ops->submit(s->driver, &spec, &e), -1);
	assert_int_equal(e.code, ERR_EXISTS);
	struct bed_event ev;

	bed_wait(s->bed, "twice", 1, true, &ev);
	assert_int_equal(s->driver->ops->submit(s->driver, &spec, &e), -1);
	assert_int_equal(e.code, ERR_EXISTS);
	spec.attempt = 2;
	bed_submit(s->bed, &spec);
	bed_wait(s->bed, "twice", 2, true, &ev);
	assert_int_equal(s->driver->ops->forget(s->driver, "twice", 2, &e), 0);
	bed_forget(s->bed, "twice");
	spec.attempt = 1;
	bed_submit(s->bed, &spec); // forgotten is as if it had never been
	bed_forget(s->bed, "nobody-knows");
}

struct look {
	unsigned first, second, others;
};

static void look_one(void *owner, const char *job, unsigned attempt)
{
	struct look *l = owner;
	bool mine = strcmp(job, "listed") == 0;

	l->first += mine && attempt == 1;
	l->second += mine && attempt == 2;
	l->others += mine && attempt > 2;
}

static void attempts_are_listed_until_forgotten(void **state)
{
	struct subject *s = need(state);
	struct exec_spec spec = bed_spec("listed", "exit 0");
	struct look both = { 0 }, one = { 0 };
	struct bed_event ev;
	struct err e = { 0 };

	bed_submit(s->bed, &spec);
	bed_wait(s->bed, "listed", 1, true, &ev);
	spec.attempt = 2;
	bed_submit(s->bed, &spec);
	assert_int_equal(s->driver->ops->list(s->driver, look_one, &both, &e), 0);
	assert_true(both.first == 1 && both.second == 1 && !both.others);
	bed_wait(s->bed, "listed", 2, true, &ev);
	assert_int_equal(s->driver->ops->forget(s->driver, "listed", 2, &e), 0);
	assert_int_equal(s->driver->ops->list(s->driver, look_one, &one, &e), 0);
	assert_true(one.first == 1 && !one.second && !one.others);
	bed_forget(s->bed, "listed");
}

static void a_cancelled_job_ends_as_cancelled(void **state)
{
	struct subject *s = need(state);
	struct exec_spec spec = bed_spec("cancel", "sleep 1000");
	struct bed_event ev;
	struct err e = { 0 };

	spec.grace_ms = 100;
	bed_submit(s->bed, &spec);
	assert_int_equal(s->driver->ops->forget(s->driver, "cancel", 1, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(s->driver->ops->cancel(s->driver, "cancel", 1, &e), 0);
	bed_wait(s->bed, "cancel", 1, true, &ev);
	assert_outcome(ev.result, EXEC_CANCELLED);
	assert_int_equal(s->driver->ops->cancel(s->driver, "cancel", 1, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	bed_forget(s->bed, "cancel");
}

static void outputs_and_log_are_there_until_forgotten(void **state)
{
	struct subject *s = need(state);
	struct exec_spec spec = bed_spec("outputs", "echo said; echo kept >$TMP_OUTPUT_DIR/out");
	struct err e = { 0 };

	assert_outcome(bed_run(s->bed, &spec), EXEC_EXITED);
	auto_free char *out = bed_output(s->bed, "outputs", "out");
	auto_free char *log = bed_log(s->bed, "outputs", JOBLOG_STDOUT);

	assert_string_equal(out, "kept\n");
	assert_string_equal(log, "said\n");
	bed_forget(s->bed, "outputs");
	assert_int_equal(s->driver->ops->open_output(s->driver, "outputs", 1, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(s->driver->ops->open_log(s->driver, "outputs", 1, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
}

static void what_was_never_submitted_is_not_found(void **state)
{
	struct subject *s = need(state);
	struct err e = { 0 };

	assert_int_equal(s->driver->ops->adopt(s->driver, "nobody-knows", 1, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(s->driver->ops->cancel(s->driver, "nobody-knows", 1, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(s->driver->ops->forget(s->driver, "nobody-knows", 1, &e), 0);
}

static void a_wrong_id_is_invalid(void **state)
{
	struct subject *s = need(state);
	struct exec_spec spec = bed_spec("Not/Good", "exit 0");
	struct err e = { 0 };

	assert_int_equal(s->driver->ops->submit(s->driver, &spec, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	spec = bed_spec("zeroth", "exit 0");
	spec.attempt = 0;
	assert_int_equal(s->driver->ops->submit(s->driver, &spec, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
}

// The fake's own: a sequence of accidents from a seed, and every job is still told of exactly once.
static void accidents_lose_no_end(void **state unused_arg)
{
	enum { JOBS = 400 };
	struct exec_fake_options o = { .seed = 7,
				       .delay_max_ms = 20,
				       .lost_per_mille = 100,
				       .busy_per_mille = 100,
				       .down_per_mille = 50,
				       .silent_per_mille = 200 };
	struct bed *b = mem_zalloc(sizeof(*b));
	struct exec_events ev = bed_events(b);
	struct exec_fake_counts counts;
	struct err e = { 0 };
	unsigned lost = 0, refused = 0, silent = 0;

	pthread_mutex_init(&b->lock, NULL);
	lock_cond_init(&b->changed);
	check(exec_fake_open(&b->driver, &o, &ev, &e) == 0);
	for (int i = 0; i < JOBS; i++) {
		char job[16];
		struct exec_spec s = bed_spec(job, "exit 0");

		snprintf(job, sizeof(job), "job-%d", i);
		while (b->driver->ops->submit(b->driver, &s, &e) < 0) {
			assert_true(e.code == ERR_BUSY || e.code == ERR_UNAVAILABLE);
			refused++;
		}
	}
	for (int i = 0; i < JOBS; i++) {
		struct bed_event end;
		char job[16];

		snprintf(job, sizeof(job), "job-%d", i);
		bed_wait(b, job, 1, true, &end);
		lost += end.result.outcome == EXEC_LOST;
		assert_int_equal(bed_find(b, job, 1, true, &end), 1);
		silent += bed_find(b, job, 1, false, &end) == 0;
	}
	exec_fake_counts(b->driver, &counts);
	assert_int_equal(counts.ended, JOBS);
	assert_int_equal(counts.running, 0);
	assert_in_range(lost, 10, 90);
	assert_in_range(silent, 30, 150);
	assert_in_range(refused, 10, 150);
	b->driver->ops->close(b->driver, true);
	mem_free(b);
}

static void a_fake_world_outlives_its_driver(void **state unused_arg)
{
	struct exec_fake_world *w = exec_fake_world_new();
	struct exec_fake_options o = { .rule = rule, .world = w };
	struct bed *b = mem_zalloc(sizeof(*b));
	struct exec_events ev = bed_events(b);
	struct exec_spec runs = bed_spec("runs", "sleep 10"), ends = bed_spec("ends", "exit 4");
	struct bed_event end;
	struct err e = { 0 };

	pthread_mutex_init(&b->lock, NULL);
	lock_cond_init(&b->changed);
	check(exec_fake_open(&b->driver, &o, &ev, &e) == 0);
	bed_submit(b, &runs);
	bed_submit(b, &ends);
	b->driver->ops->close(b->driver, false);
	bed_pause_ms(10);
	check(exec_fake_open(&b->driver, &o, &ev, &e) == 0);
	b->count = 0;
	assert_int_equal(b->driver->ops->adopt(b->driver, "ends", 1, &e), 0);
	assert_int_equal(b->driver->ops->adopt(b->driver, "runs", 1, &e), 0);
	bed_wait(b, "ends", 1, true, &end);
	assert_int_equal(end.result.exit_code, 4);
	assert_int_equal(b->driver->ops->cancel(b->driver, "runs", 1, &e), 0);
	bed_wait(b, "runs", 1, true, &end);
	assert_outcome(end.result, EXEC_CANCELLED);
	b->driver->ops->close(b->driver, true);
	exec_fake_world_free(w);
	mem_free(b);
}

#define CHECKS(open, close)                                                                        \
	cmocka_unit_test_setup_teardown(an_end_is_told_once_after_its_start, open, close),         \
		cmocka_unit_test_setup_teardown(an_attempt_can_be_submitted_once, open, close),    \
		cmocka_unit_test_setup_teardown(attempts_are_listed_until_forgotten, open, close), \
		cmocka_unit_test_setup_teardown(a_cancelled_job_ends_as_cancelled, open, close),   \
		cmocka_unit_test_setup_teardown(outputs_and_log_are_there_until_forgotten, open,   \
						close),                                            \
		cmocka_unit_test_setup_teardown(what_was_never_submitted_is_not_found, open,       \
						close),                                            \
		cmocka_unit_test_setup_teardown(a_wrong_id_is_invalid, open, close)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CHECKS(open_fake, close_fake),
		CHECKS(open_real, close_real),
		cmocka_unit_test(accidents_lose_no_end),
		cmocka_unit_test(a_fake_world_outlives_its_driver),
	};
	int bad;

	if (bed_is_runner(argc, argv))
		return bed_runner(argc, argv);
	real = bed_open(false);
	bad = cmocka_run_group_tests(tests, NULL, NULL);
	bed_close(real);
	return bad;
}
