// SPDX-License-Identifier: Apache-2.0
// One job for all files of a run.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/clock.h"
#include "fdl/event.h"
#include "place.h"
#include "service/group.h"

static int setup(void **state)
{
	struct place *p = mem_zalloc(sizeof(*p));

	place_init(p);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	clock_wall_shift(0);
	place_release(*state);
	mem_free(*state);
	return 0;
}

// "work" takes what comes into data/in; "join" takes what a run leaves in data/mid, "last" what it leaves in data/end.
static void create(struct place *p, const char *more)
{
	place_create(p, place_admin(),
		     "{'name':'work','image':'host','script':'s',"
		     "'input':[{'path':'data/in','storage_provider':'minio.default'}],"
		     "'output':[{'path':'data/mid','storage_provider':'minio.default'}]}");
	place_create(p, place_admin(),
		     arena_printf(&p->mem,
				  "{'name':'join','image':'host','script':'s','input':[{'path':"
				  "'data/mid','storage_provider':'minio.default','group':{'run':"
				  "true%s}}],'output':[{'path':'data/end','storage_provider':"
				  "'minio.default'}]}",
				  more));
}

static void create_last(struct place *p)
{
	place_create(p, place_admin(),
		     "{'name':'last','image':'host','script':'s','input':[{'path':'data/end',"
		     "'storage_provider':'minio.default','group':{'run':true}}]}");
}

static void step(struct place *p)
{
	struct err e = { 0 };

	if (group_step(p->services, &e) < 0 || rungroup_step(p->services, &e) < 0)
		fail_msg("%s", e.msg);
}

static struct queue_job only_job(struct place *p, const char *service)
{
	struct queue_job *jobs;

	assert_int_equal(place_jobs(p, service, &jobs), 1);
	return jobs[0];
}

// A file of a job of the run.
static void put_of(struct place *p, const struct queue_job *j, const char *key)
{
	struct store_cause by = { .job = j->id, .run = j->run, .depth = j->depth + 1 };
	struct err e = { 0 };

	if (place_try_put(p, "data", key, span_of(key), &by, &e) < 0)
		fail_msg("%s", e.msg);
}

static void end(struct place *p, const struct queue_job *j, enum queue_state to)
{
	struct queue_lease_item it = { .job = j->id };
	struct queue_result r = { .outcome = "exited", .exit_code = to == QUEUE_SUCCEEDED ? 0 : 1 };
	struct err e = { 0 };

	if (queue_lease(p->queue, &it, 1, "fake", 60000, &e) < 0 ||
	    queue_end(p->queue, j->id, it.attempt, to, 0, &r, &e) < 0)
		fail_msg("%s", e.msg);
}

static struct fdl_group group_of(struct place *p, const struct queue_job *j)
{
	struct fdl_group g = { .n = 0 };
	struct span payload;
	struct err e = { 0 };

	if (queue_payload(p->queue, j->id, &p->mem, &payload, &e) < 0 ||
	    fdl_event_group(payload, &p->mem, &g, &e) < 0)
		fail_msg("%s", e.msg);
	return g;
}

static struct service_group *waiting(struct place *p, const char *service, size_t *n)
{
	struct service_group *g;
	struct err e = { 0 };

	assert_int_equal(service_groups(p->services, place_service_id(p, service), 0, &p->mem, &g,
					n, &e),
			 0);
	return g;
}

static void a_run_makes_one_job_when_it_has_ended(void **state)
{
	struct place *p = *state;
	size_t n;

	create(p, "");
	place_put(p, "data", "in/a", SPAN("1"));
	struct queue_job work = only_job(p, "work");

	put_of(p, &work, "mid/b");
	put_of(p, &work, "mid/x/a");
	put_of(p, &work, "mid/b"); // anew: it is one file
	step(p);
	assert_int_equal(place_jobs(p, "join", NULL), 0); // the run goes on
	struct service_group *g = waiting(p, "join", &n);

	assert_int_equal(n, 1);
	assert_int_equal(g[0].files, 2);
	assert_int_equal(g[0].kind, SERVICE_GROUP_RUN);
	assert_int_equal(g[0].run, work.run);
	end(p, &work, QUEUE_SUCCEEDED);
	step(p);
	struct queue_job join = only_job(p, "join");
	struct fdl_group made = group_of(p, &join);

	assert_int_equal(join.run, work.run);
	assert_int_equal(join.depth, work.depth + 1);
	assert_int_equal(made.n, 2);
	assert_string_equal(made.members[0].key, "mid/b");
	assert_string_equal(made.members[1].key, "mid/x/a");
	assert_true(join.version ==
		    made.members[0].version); // the event is of the first one's newest
	assert_int_equal(made.failed, 0);
	step(p);
	assert_int_equal(place_jobs(p, "join", NULL), 1);
	waiting(p, "join", &n);
	assert_int_equal(n, 0);
}

static void runs_are_apart(void **state)
{
	struct place *p = *state;
	struct queue_job *work, *join;

	create(p, "");
	place_put(p, "data", "in/a", SPAN("1"));
	place_put(p, "data", "in/b", SPAN("2"));
	assert_int_equal(place_jobs(p, "work", &work), 2);
	put_of(p, &work[0], "mid/0");
	put_of(p, &work[1], "mid/1");
	put_of(p, &work[0], "mid/2");
	end(p, &work[0], QUEUE_SUCCEEDED);
	step(p);
	assert_int_equal(place_jobs(p, "join", &join), 1);
	assert_int_equal(join[0].run, work[0].run);
	assert_int_equal(group_of(p, &join[0]).n, 2);
	end(p, &work[1], QUEUE_SUCCEEDED);
	// What nobody's job made is a run of its own, which has ended.
	place_put(p, "data", "mid/by-hand", SPAN("3"));
	step(p);
	assert_int_equal(place_jobs(p, "join", &join), 3);
	assert_int_equal(group_of(p, &join[0]).n, 1);
}

static void levels_come_one_after_the_other(void **state)
{
	struct place *p = *state;
	struct queue_job work, join, last;

	create(p, "");
	create_last(p);
	place_put(p, "data", "in/a", SPAN("1"));
	work = only_job(p, "work");
	put_of(p, &work, "mid/a");
	put_of(p, &work, "end/early"); // "last" waits for what "join" makes, too
	end(p, &work, QUEUE_SUCCEEDED);
	step(p);
	step(p);
	join = only_job(p, "join");
	assert_int_equal(place_jobs(p, "last", NULL), 0);
	put_of(p, &join, "end/late");
	end(p, &join, QUEUE_SUCCEEDED);
	step(p);
	last = only_job(p, "last");
	assert_int_equal(group_of(p, &last).n, 2);
	assert_int_equal(last.run, work.run);
}

static void failures_are_told(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	struct queue_job work, *joins;

	create(p, "");
	place_put(p, "data", "in/a", SPAN("1"));
	work = only_job(p, "work");
	put_of(p, &work, "mid/a"); // upload_on_failure
	end(p, &work, QUEUE_DEAD);
	step(p);
	struct queue_job join = only_job(p, "join");

	assert_int_equal(group_of(p, &join).failed, 1);
	// Sent again: a job of its own for what it makes then, once the first has ended.
	assert_int_equal(queue_redrive(p->queue, work.id, &e), 0);
	put_of(p, &work, "mid/b");
	end(p, &join, QUEUE_SUCCEEDED);
	step(p);
	assert_int_equal(place_jobs(p, "join", NULL), 1); // the run is active again
	end(p, &work, QUEUE_SUCCEEDED);
	step(p);
	assert_int_equal(place_jobs(p, "join", &joins), 2);
	assert_int_equal(group_of(p, &joins[0]).n, 1);
	assert_int_equal(group_of(p, &joins[0]).failed, 0);
}

static void a_group_may_wait_for_what_failed(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	struct queue_job work;
	size_t n;

	create(p, ",'failed':'wait','wait':100");
	place_put(p, "data", "in/a", SPAN("1"));
	work = only_job(p, "work");
	put_of(p, &work, "mid/a");
	end(p, &work, QUEUE_DEAD);
	step(p);
	step(p);
	assert_int_equal(place_jobs(p, "join", NULL), 0);
	assert_int_equal(queue_redrive(p->queue, work.id, &e), 0);
	step(p);
	assert_int_equal(place_jobs(p, "join", NULL), 0);
	end(p, &work, QUEUE_SUCCEEDED);
	step(p);
	assert_int_equal(place_jobs(p, "join", NULL), 1);
	// Not for ever.
	place_put(p, "data", "in/b", SPAN("1"));
	struct queue_job *works;

	assert_int_equal(place_jobs(p, "work", &works), 2);
	put_of(p, &works[0], "mid/b");
	end(p, &works[0], QUEUE_CANCELLED);
	clock_wall_shift(99 * NS_PER_S);
	step(p);
	waiting(p, "join", &n);
	assert_int_equal(n, 1);
	clock_wall_shift(101 * NS_PER_S);
	step(p);
	waiting(p, "join", &n);
	assert_int_equal(n, 0);
	assert_int_equal(place_jobs(p, "join", NULL), 1);
}

static void a_cancelled_run_forgets_its_files(void **state)
{
	struct place *p = *state;
	struct queue_job work;
	struct err e = { 0 };
	uint64_t n;

	create(p, "");
	place_put(p, "data", "in/a", SPAN("1"));
	work = only_job(p, "work");
	put_of(p, &work, "mid/a");
	assert_int_equal(service_groups_cancel(p->services, work.run, p->ann.id, &n, &e), 0);
	assert_int_equal(n, 0); // not hers
	assert_int_equal(service_groups_cancel(p->services, work.run, AUTH_ADMIN_ID, &n, &e), 0);
	assert_int_equal(n, 1);
	end(p, &work, QUEUE_CANCELLED);
	step(p);
	assert_int_equal(place_jobs(p, "join", NULL), 0);
}

static void another_group_of_the_run_is_waited_for(void **state)
{
	struct place *p = *state;
	struct queue_job work;

	create(p, "");
	place_create(p, place_admin(),
		     "{'name':'pair','image':'host','script':'s','input':[{'path':'data/two',"
		     "'storage_provider':'minio.default','group':{'count':2,'wait':60}}]}");
	place_put(p, "data", "in/a", SPAN("1"));
	work = only_job(p, "work");
	put_of(p, &work, "mid/a");
	put_of(p, &work, "two/a");
	end(p, &work, QUEUE_SUCCEEDED);
	step(p);
	assert_int_equal(place_jobs(p, "join", NULL), 0);
	clock_wall_shift(61 * NS_PER_S);
	step(p); // makes the job of "pair"
	assert_int_equal(place_jobs(p, "join", NULL), 0);
	struct queue_job pair = only_job(p, "pair");

	end(p, &pair, QUEUE_SUCCEEDED);
	step(p);
	assert_int_equal(place_jobs(p, "join", NULL), 1);
}

static void what_waits_is_there_after_a_restart_and_a_change(void **state)
{
	struct place *p = *state;
	struct service_caller admin = place_admin();
	struct queue_job work;
	struct err e = { 0 };

	create(p, "");
	place_put(p, "data", "in/a", SPAN("1"));
	work = only_job(p, "work");
	put_of(p, &work, "mid/a");
	step(p);
	place_close(p);
	place_open(p);
	step(p);
	// Another script: the run is waited for as before, and the new one gets it.
	struct fdl_service *f = place_fdl(
		p, "{'name':'join','image':'host','script':'t','input':[{'path':'data/mid',"
		   "'storage_provider':'minio.default','group':{'run':true}}],'output':[{'path':"
		   "'data/end','storage_provider':'minio.default'}]}");

	assert_int_equal(service_update(p->services, &admin, f, &e), 0);
	step(p);
	assert_int_equal(place_jobs(p, "join", NULL), 0);
	end(p, &work, QUEUE_SUCCEEDED);
	step(p);
	assert_int_equal(only_job(p, "join").revision, 2);
}

static int all_but_one(struct db_conn *c, void *arg unused_arg, struct err *e)
{
	return db_exec(c, "UPDATE input_groups SET n=?1", DB_ARGS(db_int(FDL_GROUP_RUN_MAX - 1)),
		       e) < 0
		       ? -1
		       : 0;
}

static void too_many_files_are_told(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	struct queue_job work, join;

	create(p, "");
	place_put(p, "data", "in/a", SPAN("1"));
	work = only_job(p, "work");
	put_of(p, &work, "mid/a");
	assert_int_equal(db_write(p->db, all_but_one, NULL, &e), 0);
	put_of(p, &work, "mid/b");
	put_of(p, &work, "mid/c");
	put_of(p, &work, "mid/d");
	end(p, &work, QUEUE_SUCCEEDED);
	step(p);
	join = only_job(p, "join");
	assert_int_equal(group_of(p, &join).n, 2);
	assert_true(group_of(p, &join).over);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(a_run_makes_one_job_when_it_has_ended),
		CASE(runs_are_apart),
		CASE(levels_come_one_after_the_other),
		CASE(failures_are_told),
		CASE(a_group_may_wait_for_what_failed),
		CASE(a_cancelled_run_forgets_its_files),
		CASE(another_group_of_the_run_is_waited_for),
		CASE(what_waits_is_there_after_a_restart_and_a_change),
		CASE(too_many_files_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
