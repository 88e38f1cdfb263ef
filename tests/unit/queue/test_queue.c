// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/clock.h"
#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "db/db.h"
#include "db/feed.h"
#include "db/schema.h"
#include "queue/call.h"

#include <fcntl.h>
#include <unistd.h>

struct place {
	char dir[32];
	struct db *db;
	struct queue *q;
	struct arena mem;
};

static int make_service(struct db_conn *c, void *arg unused_arg, struct err *e)
{
	return db_exec(c,
		       "INSERT INTO services(id,name,owner,revision,token,created_ns,changed_ns) "
		       "VALUES(3,'plants',1,1,'t',0,0)",
		       DB_NO_ARGS, e) < 0
		       ? -1
		       : 0;
}

static void open_all(struct place *p)
{
	auto_free char *path = mem_printf("%s/oscar.db", p->dir);
	struct db_options o = { .path = path,
				.migrations = schema_migrations,
				.migration_count = schema_migration_count };
	struct err e = { 0 };

	assert_int_equal(db_open(&p->db, &o, &e), 0);
	assert_int_equal(queue_open(&p->q, p->db, &e), 0);
}

static int setup(void **state)
{
	struct place *p = mem_zalloc(sizeof(*p));
	struct err e;

	memcpy(p->dir, "/tmp/oscar-queue-XXXXXX", 24);
	assert_non_null(mkdtemp(p->dir));
	open_all(p);
	assert_int_equal(db_write(p->db, make_service, NULL, &e), 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	struct err e;

	queue_close(p->q);
	db_close(p->db);
	arena_release(&p->mem);
	assert_int_equal(file_remove_tree(AT_FDCWD, p->dir, &e), 0);
	mem_free(p);
	return 0;
}

static int64_t add(struct place *p, int64_t version)
{
	struct queue_new n = { .service = 3,
			       .revision = 1,
			       .owner = 1,
			       .trigger = version ? 9 : 0,
			       .source = "store",
			       .key = SPAN("in/a.jpg"),
			       .version = version,
			       .payload = SPAN("{}"),
			       .run = version };
	struct err e = { 0 };
	int64_t job = -1;

	assert_int_equal(queue_add(p->q, &n, &job, &e), 0);
	return job;
}

static size_t ready(struct place *p, struct queue_job **jobs)
{
	static const struct queue_lane lane = { .owner = 1, .service = 3 };
	struct err e = { 0 };
	size_t n;

	assert_int_equal(queue_ready(p->q, &lane, 0, INT64_MAX, 10, &p->mem, jobs, &n, &e), 0);
	return n;
}

static size_t lanes(struct place *p, struct queue_lane **out)
{
	struct err e = { 0 };
	size_t n;

	assert_int_equal(queue_lanes(p->q, &p->mem, out, &n, &e), 0);
	return n;
}

static unsigned lease(struct place *p, int64_t job)
{
	struct queue_lease_item item = { .job = job };
	struct err e = { 0 };

	assert_int_equal(queue_lease(p->q, &item, 1, "sandbox", 1000, &e), 0);
	return item.attempt;
}

static void settle(struct place *p)
{
	add(p, 0); // commits behind every lazy write
}

static void an_event_told_twice_makes_one_job(void **state)
{
	struct place *p = *state;
	struct queue_job *jobs;

	assert_true(add(p, 77) > 0);
	assert_int_equal(add(p, 77), 0);
	assert_int_equal(ready(p, &jobs), 1);
	assert_string_equal(jobs[0].service_name, "plants");
	assert_memory_equal(jobs[0].name, "plants-", 7);
	assert_true(span_is(jobs[0].key, "in/a.jpg"));
}

static void a_leased_job_is_not_ready_and_not_leased_again(void **state)
{
	struct place *p = *state;
	int64_t job = add(p, 1);
	struct queue_job *jobs;

	assert_int_equal(lease(p, job), 1);
	assert_int_equal(lease(p, job), 0);
	settle(p);
	assert_int_equal(ready(p, &jobs), 1);
	assert_true(jobs[0].id != job);
}

static void an_outcome_is_accounted_once(void **state)
{
	struct place *p = *state;
	struct queue_result ok = {
		.outcome = "exited", .exit_code = 0, .reason = "", .outputs = 2
	};
	uint64_t counts[QUEUE_STATES];
	int64_t job = add(p, 1);
	struct queue_attempt *a;
	struct queue_job j;
	struct err e = { 0 };
	unsigned attempt;
	size_t n;

	attempt = lease(p, job);
	assert_true(attempt > 0);
	queue_started(p->q, job, attempt, clock_wall_ns(), "node1");
	queue_uploading(p->q, job, attempt);
	assert_int_equal(queue_end(p->q, job, attempt, QUEUE_SUCCEEDED, 0, &ok, &e), 0);
	assert_int_equal(queue_end(p->q, job, attempt, QUEUE_SUCCEEDED, 0, &ok, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	queue_started(p->q, job, attempt, clock_wall_ns(), "late");
	settle(p);
	assert_int_equal(queue_job_get(p->q, job, &p->mem, &j, &e), 0);
	assert_int_equal(j.state, QUEUE_SUCCEEDED);
	assert_int_equal(j.outputs, 2);
	assert_int_equal(queue_attempts(p->q, job, &p->mem, &a, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_string_equal(a[0].node, "node1");
	assert_string_equal(a[0].outcome, "exited");
	assert_int_equal(queue_counts(p->q, 3, 0, counts, &e), 0);
	assert_int_equal(counts[QUEUE_SUCCEEDED], 1);
	assert_int_equal(counts[QUEUE_RUNNING], 0);
	assert_int_equal(counts[QUEUE_QUEUED], 1);
}

static void a_retry_waits_and_counts_as_a_new_attempt(void **state)
{
	struct place *p = *state;
	struct queue_result bad = { .outcome = "lost",
				    .exit_code = -1,
				    .reason = "node \"x\" gone" };
	int64_t job = add(p, 1), next;
	struct queue_job *jobs;
	struct err e = { 0 };
	unsigned attempt;

	attempt = lease(p, job);
	assert_true(attempt > 0);
	int64_t later = clock_wall_ns() + 3600 * NS_PER_S;
	assert_int_equal(queue_end(p->q, job, attempt, QUEUE_QUEUED, later, &bad, &e), 0);
	assert_int_equal(queue_wake(p->q, clock_wall_ns(), &next, &e), 0);
	assert_true(next == later);
	assert_int_equal(ready(p, &jobs), 0);
	assert_int_equal(queue_wake(p->q, later, &next, &e), 0);
	settle(p);
	assert_int_equal(ready(p, &jobs), 2);
	assert_int_equal(jobs[0].id, job); // it kept its place
	assert_int_equal(queue_wake(p->q, later, &next, &e), 0);
	assert_int_equal(next, 0);
	attempt = lease(p, job);
	assert_true(attempt > 0);
	assert_int_equal(attempt, 2);
	// an answer of the first attempt that comes now is refused
	assert_int_equal(queue_end(p->q, job, 1, QUEUE_SUCCEEDED, 0, &bad, &e), -1);
}

static void lanes_are_those_with_queued_jobs(void **state)
{
	struct queue_new n = { .service = 3,
			       .revision = 1,
			       .owner = 7,
			       .source = "api",
			       .payload = SPAN("{}"),
			       .priority = 5 };
	struct place *p = *state;
	struct queue_lane *l;
	struct err e = { 0 };
	int64_t job = add(p, 1), other;

	assert_int_equal(queue_add(p->q, &n, &other, &e), 0);
	assert_int_equal(lanes(p, &l), 2);
	assert_int_equal(l[0].owner, 1);
	assert_int_equal(l[1].owner, 7);
	assert_int_equal(l[1].priority, 5);
	assert_int_equal(lease(p, job), 1);
	assert_int_equal(lanes(p, &l), 1);
	assert_int_equal(queue_release(p->q, job, 1, 0, &e), 0);
	assert_int_equal(lanes(p, &l), 2);
	assert_int_equal(queue_cancel(p->q, job, &e), 1);
	assert_int_equal(queue_cancel(p->q, other, &e), 1);
	assert_int_equal(lanes(p, &l), 0);
	assert_int_equal(queue_redrive(p->q, other, &e), 0);
	assert_int_equal(lanes(p, &l), 1);
}

static void a_full_queue_refuses_but_what_jobs_made(void **state)
{
	struct queue_new n = { .service = 3,
			       .revision = 1,
			       .owner = 1,
			       .source = "api",
			       .payload = SPAN("{}"),
			       .queued_max = 2 };
	struct queue_limits limits = { .queued = 4, .weight = 3 };
	struct place *p = *state;
	struct err e = { 0 };
	int64_t job, first;

	assert_int_equal(queue_add(p->q, &n, &first, &e), 0);
	assert_int_equal(queue_add(p->q, &n, &job, &e), 0);
	assert_int_equal(queue_add(p->q, &n, &job, &e), -1);
	assert_int_equal(e.code, ERR_BUSY);
	n.unbounded = true;
	assert_int_equal(queue_add(p->q, &n, &job, &e), 0);
	n.unbounded = false;
	n.queued_max = 0;
	assert_int_equal(queue_limits_set(p->q, 1, &limits, &e), 0);
	assert_int_equal(queue_add(p->q, &n, &job, &e), 0);
	assert_int_equal(queue_add(p->q, &n, &job, &e), -1);
	assert_int_equal(e.code, ERR_BUSY);
	assert_int_equal(lease(p, first), 1);
	assert_int_equal(queue_add(p->q, &n, &job, &e), 0);
	limits.weight = QUEUE_WEIGHT_MAX + 1;
	assert_int_equal(queue_limits_set(p->q, 1, &limits, &e), -1);
	queue_close(p->q);
	db_close(p->db);
	open_all(p);
	assert_int_equal(queue_limits_get(p->q, 1).queued, 4);
	assert_int_equal(queue_limits_get(p->q, 1).weight, 3);
	assert_int_equal(queue_limits_get(p->q, 2).weight, 0);
}

static void lists_filter_by_state_service_and_owner(void **state)
{
	struct queue_filter f = { .state = QUEUE_CANCELLED, .limit = 10 };
	struct place *p = *state;
	int64_t first = add(p, 1), second = add(p, 2);
	struct queue_job *jobs;
	struct err e = { 0 };
	size_t n;

	assert_int_equal(queue_cancel(p->q, first, &e), 1);
	for (int i = 0; i < 4; i++) {
		f.service = i & 1 ? 3 : 0;
		f.owner = i & 2 ? 1 : 0;
		f.state = QUEUE_CANCELLED;
		assert_int_equal(queue_list(p->q, &f, &p->mem, &jobs, &n, &e), 0);
		assert_int_equal(n, 1);
		assert_int_equal(jobs[0].id, first);
		f.state = -1;
		assert_int_equal(queue_list(p->q, &f, &p->mem, &jobs, &n, &e), 0);
		assert_int_equal(n, 2);
		assert_int_equal(jobs[0].id, second);
		f.before = second;
		assert_int_equal(queue_list(p->q, &f, &p->mem, &jobs, &n, &e), 0);
		assert_int_equal(n, 1);
		f.before = 0;
	}
	f.owner = 9;
	assert_int_equal(queue_list(p->q, &f, &p->mem, &jobs, &n, &e), 0);
	assert_int_equal(n, 0);
}

static void a_lease_given_back_is_no_attempt(void **state)
{
	struct place *p = *state;
	int64_t job = add(p, 1);
	struct queue_attempt *a;
	struct queue_job *jobs;
	struct err e = { 0 };
	size_t n;

	assert_int_equal(lease(p, job), 1);
	assert_int_equal(queue_release(p->q, job, 1, 0, &e), 0);
	assert_int_equal(queue_release(p->q, job, 1, 0, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(ready(p, &jobs), 1);
	assert_int_equal(queue_attempts(p->q, job, &p->mem, &a, &n, &e), 0);
	assert_int_equal(n, 0);
	assert_int_equal(lease(p, job), 1);
}

static void leased_jobs_are_found_after_a_restart(void **state)
{
	struct place *p = *state;
	int64_t job = add(p, 1);
	struct queue_job *jobs;
	struct err e = { 0 };
	unsigned attempt;
	size_t n;

	attempt = lease(p, job);
	assert_true(attempt > 0);
	settle(p);
	queue_close(p->q);
	db_close(p->db);
	open_all(p);
	assert_int_equal(queue_active(p->q, &p->mem, &jobs, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(jobs[0].id, job);
	assert_int_equal(jobs[0].attempt, 1);
}

static void a_job_that_is_over_runs_again_as_a_new_one(void **state)
{
	struct place *p = *state;
	struct queue_new n = { .service = 1,
			       .revision = 7,
			       .owner = 1,
			       .trigger = 5,
			       .source = "store",
			       .bucket = 2,
			       .key = SPAN("in/a"),
			       .version = 99,
			       .priority = 3,
			       .run = 42,
			       .depth = 4,
			       .payload = SPAN("{\"a\":1}") };
	struct queue_job old, again;
	struct err e = { 0 };
	struct span payload;
	int64_t job, first, second;

	assert_int_equal(queue_add(p->q, &n, &job, &e), 0);
	assert_int_equal(queue_rerun(p->q, job, 0, &first, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(queue_cancel(p->q, job, &e), 1);
	assert_int_equal(queue_rerun(p->q, job, 1, &first, &e), 0);
	assert_int_equal(queue_rerun(p->q, job, 1, &second, &e), -1); // its queue is full now
	assert_int_equal(e.code, ERR_BUSY);
	assert_int_equal(queue_rerun(p->q, job, 0, &second, &e), 0);
	assert_true(job < first && first < second);
	assert_int_equal(queue_job_get(p->q, job, &p->mem, &old, &e), 0);
	assert_int_equal(queue_job_get(p->q, second, &p->mem, &again, &e), 0);
	assert_int_equal(old.state, QUEUE_CANCELLED);
	assert_int_equal(again.state, QUEUE_QUEUED);
	assert_int_equal(again.revision, 7);
	assert_int_equal(again.version, 99);
	assert_int_equal(again.priority, 3);
	assert_int_equal(again.depth, 0);
	assert_int_equal(again.run, -second);
	assert_true(span_is(again.key, "in/a"));
	assert_int_equal(queue_payload(p->q, second, &p->mem, &payload, &e), 0);
	assert_true(span_is(payload, "{\"a\":1}"));
	assert_int_equal(queue_add(p->q, &n, &job, &e), 0); // the upload's event stays told
	assert_int_equal(job, 0);
	assert_int_equal(queue_rerun(p->q, 123456, 0, &second, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
}

static void cancel_and_redrive_follow_the_states(void **state)
{
	struct place *p = *state;
	int64_t job = add(p, 1);
	struct queue_job j;
	struct err e = { 0 };

	assert_int_equal(queue_cancel(p->q, job, &e), 1);
	assert_int_equal(queue_cancel(p->q, job, &e), -1);
	assert_int_equal(queue_job_get(p->q, job, &p->mem, &j, &e), 0);
	assert_int_equal(j.state, QUEUE_CANCELLED);
	assert_int_equal(queue_redrive(p->q, job, &e), 0);
	assert_int_equal(queue_redrive(p->q, job, &e), -1);
	assert_int_equal(queue_delete(p->q, job, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(queue_cancel(p->q, job, &e), 1);
	assert_int_equal(queue_delete(p->q, job, &e), 0);
	assert_int_equal(queue_job_get(p->q, job, &p->mem, &j, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(add(p, 1), 0); // the event is remembered
}

static void many_are_cancelled_and_sent_again_once(void **state)
{
	struct queue_filter f = { .service = 3, .limit = 2 };
	struct queue_result bad = { .outcome = "exited", .exit_code = 1, .reason = "no" };
	struct place *p = *state;
	int64_t jobs[5], ids[2], after = 0;
	uint64_t counts[QUEUE_STATES];
	struct err e = { 0 };
	size_t n;

	for (int i = 0; i < 5; i++)
		jobs[i] = add(p, i + 1);
	assert_int_equal(lease(p, jobs[0]), 1);
	f.run = 2;
	assert_int_equal(queue_cancel_some(p->q, &f, ids, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(ids[0], jobs[1]);
	f.run = 0;
	assert_int_equal(queue_cancel_some(p->q, &f, ids, &n, &e), 0);
	assert_int_equal(n, 2);
	assert_int_equal(queue_cancel_some(p->q, &f, ids, &n, &e), 0);
	assert_int_equal(n, 1); // the leased one is not the queue's to end
	assert_int_equal(queue_end(p->q, jobs[0], 1, QUEUE_FAILED, 0, &bad, &e), 0);
	f.state = QUEUE_SUCCEEDED;
	assert_int_equal(queue_redrive_some(p->q, &f, &after, &n, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	f.state = QUEUE_FAILED;
	assert_int_equal(queue_redrive_some(p->q, &f, &after, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(after, jobs[0]);
	// One that fails again while we go through them is not met a second time.
	assert_int_equal(lease(p, jobs[0]), 2);
	assert_int_equal(queue_end(p->q, jobs[0], 2, QUEUE_FAILED, 0, &bad, &e), 0);
	assert_int_equal(queue_redrive_some(p->q, &f, &after, &n, &e), 0);
	assert_int_equal(n, 0);
	f.state = QUEUE_CANCELLED;
	f.service = 0;
	f.owner = 1;
	after = 0;
	assert_int_equal(queue_redrive_some(p->q, &f, &after, &n, &e), 0);
	assert_int_equal(n, 2);
	assert_int_equal(queue_counts(p->q, 3, 0, counts, &e), 0);
	assert_int_equal(counts[QUEUE_CANCELLED], 2);
	assert_int_equal(counts[QUEUE_QUEUED], 2);
}

static void jobs_are_found_by_name_and_listed_newest_first(void **state)
{
	struct place *p = *state;
	struct queue_filter f = { .service = 3, .state = -1, .limit = 2 };
	int64_t first = add(p, 1), second = add(p, 2), third = add(p, 3);
	struct queue_job *jobs, j;
	struct err e = { 0 };
	size_t n;

	assert_int_equal(queue_list(p->q, &f, &p->mem, &jobs, &n, &e), 0);
	assert_int_equal(n, 2);
	assert_int_equal(jobs[0].id, third);
	assert_int_equal(jobs[1].id, second);
	f.before = jobs[1].id;
	assert_int_equal(queue_list(p->q, &f, &p->mem, &jobs, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(jobs[0].id, first);
	assert_int_equal(queue_job_find(p->q, span_of(jobs[0].name), &p->mem, &j, &e), 0);
	assert_int_equal(j.id, first);
	assert_int_equal(queue_job_find(p->q, SPAN("plants-zz"), &p->mem, &j, &e), -1);
	jobs[0].name[0] = 'x';
	assert_int_equal(queue_job_find(p->q, span_of(jobs[0].name), &p->mem, &j, &e), -1);
}

static int old_jobs(struct db_conn *c, void *arg unused_arg, struct err *e)
{
	return db_exec(c,
		       "INSERT INTO jobs(uuid,service,revision,owner,state,attempt,sync,priority,"
		       "run_after_ns,lease_ns,run,depth,created_ns) VALUES"
		       "(x'00000000000000000000000000000001',3,1,1,0,0,0,0,0,0,1,0,1),"
		       "(x'00000000000000000000000000000002',3,1,1,0,1,0,0,77,0,2,0,1),"
		       "(x'00000000000000000000000000000003',3,1,1,4,1,0,0,0,0,3,0,1)",
		       DB_NO_ARGS, e) < 0
		       ? -1
		       : 0;
}

static void a_database_of_an_older_schema_keeps_its_queue(void **state)
{
	enum { BEFORE_LANES = 9 };
	struct place *p = *state;
	auto_free char *path = mem_printf("%s/older.db", p->dir);
	struct db_options o = { .path = path,
				.migrations = schema_migrations,
				.migration_count = BEFORE_LANES };
	struct queue_lane *l;
	struct queue_job *jobs;
	struct err e = { 0 };
	int64_t next;

	queue_close(p->q);
	db_close(p->db);
	assert_int_equal(db_open(&p->db, &o, &e), 0);
	assert_int_equal(db_write(p->db, old_jobs, NULL, &e), 0);
	db_close(p->db);
	o.migration_count = schema_migration_count;
	assert_int_equal(db_open(&p->db, &o, &e), 0);
	assert_int_equal(queue_open(&p->q, p->db, &e), 0);
	assert_int_equal(lanes(p, &l), 1);
	assert_int_equal(ready(p, &jobs), 1);
	assert_int_equal(queue_wake(p->q, 78, &next, &e), 0);
	assert_int_equal(next, 77);
	settle(p);
	assert_int_equal(ready(p, &jobs), 3);
}

static void every_step_is_in_the_feed(void **state)
{
	struct place *p = *state;
	struct feed_entry *f;
	struct err e = { 0 };
	size_t n;

	assert_int_equal(lease(p, add(p, 5)), 1);
	settle(p);
	assert_int_equal(feed_read(p->db, 0, 10, &p->mem, &f, &n, &e), 0);
	assert_int_equal(n, 3);
	assert_non_null(strstr(f[0].doc.p, "\"state\":\"queued\""));
	assert_non_null(strstr(f[1].doc.p, "\"state\":\"staging\""));
}

// ---- calls ---------------------------------------------------------------------------------------------

static struct queue_call *call_new(struct place *p)
{
	struct queue_new n = {
		.service = 3, .revision = 1, .owner = 1, .source = "api", .payload = SPAN("said")
	};
	struct queue_call *call;
	struct err e = { 0 };

	for (int i = 0; queue_call_new(p->q, &n, "plants", &call, &e) < 0; i++) {
		// A block of numbers is on its way.
		assert_int_equal(e.code, ERR_UNAVAILABLE);
		assert_true(i < 10000);
		usleep(1000);
	}
	return call;
}

static struct trace_context trace_of(struct place *p, int64_t run)
{
	struct trace_context t = { 0 };
	struct err e = { 0 };

	assert_int_equal(queue_trace(p->q, run, &t, &e), 0);
	assert_true(trace_is(&t));
	return t;
}

static size_t runs_of(struct place *p, const struct trace_context *t, int64_t runs[static 4])
{
	struct err e = { 0 };
	size_t n;

	assert_int_equal(queue_trace_runs(p->q, t->id, runs, 4, &n, &e), 0);
	return n;
}

static void each_run_is_a_trace_of_its_own(void **state)
{
	struct place *p = *state;
	const int64_t runs[] = { 1, 2, -1, -70000, INT64_MAX, INT64_MIN + 1 };
	struct trace_context before[ARRAY_LEN(runs)];
	int64_t found[4];

	for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
		before[i] = trace_of(p, runs[i]);
		assert_int_equal(runs_of(p, &before[i], found), 1);
		assert_true(found[0] == runs[i]);
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(before[i].id, before[k].id, TRACE_ID);
	}
	queue_close(p->q);
	db_close(p->db);
	open_all(p);
	for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
		struct trace_context again = trace_of(p, runs[i]);

		assert_memory_equal(again.id, before[i].id, TRACE_ID);
	}
	before[0].id[TRACE_ID - 1] ^= 1; // nobody's
	assert_int_equal(runs_of(p, &before[0], found), 0);
}

static void a_callers_trace_is_its_runs_as_long_as_they_are_kept(void **state)
{
	struct place *p = *state;
	struct trace_context theirs = { .id = { 1, 2, 3 }, .parent = { 4 }, .flags = 1 }, got;
	struct queue_new n = { .service = 3,
			       .revision = 1,
			       .owner = 1,
			       .source = "api",
			       .payload = SPAN("{}"),
			       .trace = &theirs };
	int64_t first, second, found[4];
	struct err e = { 0 };

	assert_int_equal(queue_add(p->q, &n, &first, &e), 0);
	assert_int_equal(queue_add(p->q, &n, &second, &e), 0);
	got = trace_of(p, -first);
	assert_memory_equal(&got, &theirs, sizeof(got));
	n.run = -first; // what follows is of the same, whatever it says
	n.trace = &(const struct trace_context){ .id = { 9 }, .parent = { 9 } };
	assert_int_equal(queue_add(p->q, &n, &(int64_t){ 0 }, &e), 0);
	got = trace_of(p, -first);
	assert_memory_equal(&got, &theirs, sizeof(got));
	assert_int_equal(runs_of(p, &theirs, found), 2);
	assert_int_equal(queue_cancel(p->q, second, &e), 1);
	assert_int_equal(queue_delete(p->q, second, &e), 0);
	assert_int_equal(runs_of(p, &theirs, found), 1);
	assert_true(found[0] == -first);
	assert_int_equal(queue_cancel(p->q, first, &e), 1);
	assert_int_equal(queue_delete(p->q, first, &e), 0);
	assert_int_equal(runs_of(p, &theirs, found), 1); // another job of the run is there
}

static void numbers_of_calls_never_come_twice(void **state)
{
	enum { CALLS = 10000 }; // more than two blocks
	struct place *p = *state;
	struct map seen = { 0 };
	int64_t last = 0;

	for (int i = 0; i < CALLS; i++) {
		struct queue_call *call = call_new(p);
		uint64_t id = (uint64_t)call->row.id, row;

		assert_true(call->row.id > last);
		last = call->row.id;
		assert_null(map_put(&seen, map_key_u64(&id), p));
		queue_call_put(call);
		if (i % 500)
			continue;
		row = (uint64_t)add(p, 0);
		assert_null(map_put(&seen, map_key_u64(&row), p));
		if (i % 3000 == 0) { // those that were reserved and not used are gone
			queue_close(p->q);
			db_close(p->db);
			open_all(p);
			last = 0;
		}
	}
	map_release(&seen);
}

struct writing {
	struct place *p;
	const struct queue_call *call;
	struct queue_stand stand;
	bool end;
};

static int write_call(struct db_conn *c, void *arg, struct err *e)
{
	const struct writing *w = arg;

	return w->end ? queue_call_end_in(w->p->q, c, w->call, &w->stand, e)
		      : queue_call_write_in(w->p->q, c, w->call, &w->stand, e);
}

static void a_call_gets_the_row_that_another_job_would_have(void **state)
{
	struct place *p = *state;
	struct queue_result r = { .outcome = "exited",
				  .exit_code = 0,
				  .reason = "",
				  .memory_peak = 5,
				  .cpu_us = 6,
				  .outputs = 2 };
	struct queue_call *at_once = call_new(p), *late = call_new(p);
	struct writing w = { .p = p,
			     .call = late,
			     .stand = { .state = QUEUE_RUNNING,
					.attempt = 1,
					.driver = "sandbox",
					.node = "here",
					.leased_ns = 7,
					.started_ns = 8,
					.lease_ms = 1000 } };
	struct queue_attempt *a;
	uint64_t counts[QUEUE_STATES];
	struct queue_job j;
	struct err e = { 0 };
	struct span payload;
	size_t n;

	assert_int_equal(db_write(p->db, write_call, &w, &e), 0);
	assert_int_equal(db_write(p->db, write_call, &w, &e), 0); // it has one
	assert_int_equal(queue_active(p->q, &p->mem, &(struct queue_job *){ NULL }, &n, &e), 0);
	assert_int_equal(n, 1);
	w.end = true;
	w.stand.state = QUEUE_SUCCEEDED;
	w.stand.result = &r;
	assert_int_equal(db_write(p->db, write_call, &w, &e), 0);
	assert_int_equal(db_write(p->db, write_call, &w, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT); // accounted before
	w.call = at_once;
	assert_int_equal(db_write(p->db, write_call, &w, &e), 0);
	for (int i = 0; i < 2; i++) {
		const struct queue_call *call = i ? late : at_once;

		assert_int_equal(queue_job_find(p->q, span_of(call->row.name), &p->mem, &j, &e), 0);
		assert_int_equal(j.id, call->row.id);
		assert_int_equal(j.state, QUEUE_SUCCEEDED);
		assert_int_equal(j.run, -j.id);
		assert_int_equal(j.started_ns, 8);
		assert_int_equal(j.outputs, 2);
		assert_int_equal(j.exit_code, 0);
		assert_true(j.sync && j.ended_ns && j.created_ns == call->row.created_ns);
		assert_int_equal(queue_payload(p->q, j.id, &p->mem, &payload, &e), 0);
		assert_true(span_is(payload, "said"));
		assert_int_equal(queue_attempts(p->q, j.id, &p->mem, &a, &n, &e), 0);
		assert_int_equal(n, 1);
		assert_string_equal(a[0].outcome, "exited");
		assert_string_equal(a[0].node, "here");
		assert_int_equal(a[0].memory_peak, 5);
		assert_int_equal(a[0].started_ns, 8);
		assert_true(a[0].ended_ns);
	}
	assert_int_equal(queue_counts(p->q, 3, 0, counts, &e), 0);
	assert_int_equal(counts[QUEUE_SUCCEEDED], 2);
	assert_int_equal(counts[QUEUE_RUNNING], 0);
	queue_call_put(at_once);
	queue_call_put(late);
}

static void calls_wait_in_their_lanes_in_order(void **state)
{
	struct place *p = *state;
	struct queue_filter mine = { .service = 3 }, other = { .service = 4 };
	struct queue_call *calls[3], *got;
	struct queue_lane *l;
	int64_t next;
	bool waited;

	for (int i = 0; i < 3; i++) {
		calls[i] = call_new(p);
		queue_call_wait(p->q, calls[i]);
	}
	assert_int_equal(lanes(p, &l), 1);
	assert_true(l[0].calls && !l[0].rows && l[0].service == 3);
	add(p, 0);
	assert_int_equal(lanes(p, &l), 1);
	assert_true(l[0].calls && l[0].rows);
	assert_null(queue_call_pick(p->q, &other, 0));
	got = queue_call_first(p->q, l);
	assert_ptr_equal(got, calls[0]);
	assert_true(queue_call_take(p->q, got));
	assert_false(queue_call_take(p->q, got));
	queue_call_put(got);
	got = queue_call_pick(p->q, &mine, calls[2]->row.id);
	assert_ptr_equal(got, calls[2]);
	assert_int_equal(queue_calls_waiting(p->q), 1);
	// The first was taken, the second waits; the third is over.
	queue_call_settled(p->q, calls[2]);
	queue_call_put(calls[2]);
	assert_null(queue_call_old(p->q, 0, &waited, &next));
	assert_int_equal(next, calls[0]->made_ns);
	assert_ptr_equal(queue_call_old(p->q, INT64_MAX, &waited, &next), calls[0]);
	assert_false(waited);
	queue_call_again(p->q, calls[0]);
	queue_call_put(calls[0]);
	assert_ptr_equal(queue_call_old(p->q, INT64_MAX, &waited, &next), calls[1]);
	assert_true(waited);
	queue_call_put(calls[1]);
	queue_call_settled(p->q, calls[0]);
	queue_call_again(p->q, calls[0]); // too late
	assert_null(queue_call_old(p->q, INT64_MAX, &waited, &next));
	assert_int_equal(next, 0);
	queue_call_put(calls[0]);
	assert_int_equal(queue_calls_waiting(p->q), 0);
	queue_call_wait(p->q, call_new(p)); // closing frees it
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(an_event_told_twice_makes_one_job),
		CASE(a_leased_job_is_not_ready_and_not_leased_again),
		CASE(an_outcome_is_accounted_once),
		CASE(a_retry_waits_and_counts_as_a_new_attempt),
		CASE(lanes_are_those_with_queued_jobs),
		CASE(a_full_queue_refuses_but_what_jobs_made),
		CASE(lists_filter_by_state_service_and_owner),
		CASE(a_lease_given_back_is_no_attempt),
		CASE(leased_jobs_are_found_after_a_restart),
		CASE(a_job_that_is_over_runs_again_as_a_new_one),
		CASE(cancel_and_redrive_follow_the_states),
		CASE(many_are_cancelled_and_sent_again_once),
		CASE(jobs_are_found_by_name_and_listed_newest_first),
		CASE(a_database_of_an_older_schema_keeps_its_queue),
		CASE(every_step_is_in_the_feed),
		CASE(each_run_is_a_trace_of_its_own),
		CASE(a_callers_trace_is_its_runs_as_long_as_they_are_kept),
		CASE(numbers_of_calls_never_come_twice),
		CASE(a_call_gets_the_row_that_another_job_would_have),
		CASE(calls_wait_in_their_lanes_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
