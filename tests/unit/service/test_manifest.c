// SPDX-License-Identifier: Apache-2.0
// Manifests, which wait for the files that they name.
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
	place_create(
		p, place_admin(),
		"{'name':'scan','image':'host','script':'s','input':[{'path':'data/in',"
		"'storage_provider':'minio.default','group':{'manifest':'.list','wait':100}}]}");
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

static size_t jobs_after(struct place *p, struct queue_job **jobs)
{
	struct err e = { 0 };

	if (manifest_step(p->services, &e) < 0)
		fail_msg("%s", e.msg);
	return place_jobs(p, "scan", jobs);
}

static size_t waiting(struct place *p)
{
	struct service_group *g;
	struct err e = { 0 };
	size_t n;

	assert_int_equal(service_groups(p->services, place_service_id(p, "scan"), 0, &p->mem, &g,
					&n, &e),
			 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(g[i].kind, SERVICE_GROUP_MANIFEST);
	return n;
}

static int files_of(struct place *p, const struct queue_job *j, size_t *n, struct err *e)
{
	struct service_caller admin = place_admin();
	auto_service_def struct service_def *d = NULL;
	struct fdl_member *members;

	assert_int_equal(service_get(p->services, &admin, SPAN("scan"), &d, e), 0);
	return service_manifest_files(p->store, &d->fdl->inputs[0], j->bucket, j->key, j->version,
				      &p->mem, &members, n, e);
}

static void the_last_file_makes_the_job(void **state)
{
	struct place *p = *state;
	struct queue_job *jobs;
	struct err e = { 0 };
	size_t n;

	place_put(p, "data", "in/b", SPAN("2")); // was there before
	place_put(p, "data", "in/x.list", SPAN("a\nb\nsub/c\n"));
	assert_int_equal(jobs_after(p, NULL), 0);
	place_put(p, "data", "in/sub/c", SPAN("3"));
	assert_int_equal(jobs_after(p, NULL), 0);
	assert_int_equal(waiting(p), 1);
	place_put(p, "data", "in/a", SPAN("1"));
	assert_int_equal(jobs_after(p, &jobs), 1);
	assert_true(span_is(jobs[0].key, "in/x.list"));
	assert_int_equal(files_of(p, &jobs[0], &n, &e), 0);
	assert_int_equal(n, 4);
	assert_int_equal(waiting(p), 0);
	assert_int_equal(jobs_after(p, NULL), 1);
	place_put(p, "data", "in/y.list", SPAN("a\n")); // complete when it comes
	assert_int_equal(jobs_after(p, NULL), 2);
}

static void a_file_that_went_again_is_waited_for(void **state)
{
	struct place *p = *state;
	struct store_delete_item gone = { .key = SPAN("in/a") };
	struct err e = { 0 };

	place_put(p, "data", "in/a", SPAN("1"));
	place_put(p, "data", "in/x.list", SPAN("a\nb\n"));
	assert_int_equal(jobs_after(p, NULL), 0); // waits for b
	assert_int_equal(store_delete(p->store, SPAN("data"), &gone, NULL, &e), 0);
	place_put(p, "data", "in/b", SPAN("2"));
	assert_int_equal(jobs_after(p, NULL), 0);
	place_put(p, "data", "in/a", SPAN("1"));
	assert_int_equal(jobs_after(p, NULL), 1);
}

static void what_is_missing_at_last_is_told_by_the_job(void **state)
{
	struct place *p = *state;
	struct queue_job *jobs;
	struct err e = { 0 };
	size_t n;

	place_put(p, "data", "in/x.list", SPAN("a\nb\n"));
	place_put(p, "data", "in/a", SPAN("1"));
	clock_wall_shift(99 * NS_PER_S);
	assert_int_equal(jobs_after(p, NULL), 0);
	clock_wall_shift(101 * NS_PER_S);
	assert_int_equal(jobs_after(p, &jobs), 1);
	assert_int_equal(files_of(p, &jobs[0], &n, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_string_equal(e.msg,
			    "1 of the 2 files that in/x.list names are missing, the first is in/b");
}

static void what_is_wrong_with_it_makes_the_job_at_once(void **state)
{
	struct place *p = *state;
	struct queue_job *jobs;
	struct err e = { 0 };
	size_t n;

	place_put(p, "data", "in/x.list", SPAN("a\n../../b\n"));
	assert_int_equal(jobs_after(p, &jobs), 1);
	assert_int_equal(files_of(p, &jobs[0], &n, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_non_null(strstr(e.msg, "the manifest in/x.list: line 2: "));
}

static void one_written_anew_takes_its_place_and_one_deleted_goes(void **state)
{
	struct place *p = *state;
	struct store_delete_item gone = { .key = SPAN("in/y.list") };
	struct err e = { 0 };

	place_put(p, "data", "in/x.list", SPAN("never\n"));
	assert_int_equal(jobs_after(p, NULL), 0);
	place_put(p, "data", "in/x.list", SPAN("a\n"));
	assert_int_equal(waiting(p), 1);
	place_put(p, "data", "in/y.list", SPAN("never\n"));
	place_close(p); // what waits is there after a restart
	place_open(p);
	place_put(p, "data", "in/a", SPAN("1"));
	assert_int_equal(jobs_after(p, NULL), 1);
	assert_int_equal(waiting(p), 1);
	assert_int_equal(store_delete(p->store, SPAN("data"), &gone, NULL, &e), 0);
	assert_int_equal(jobs_after(p, NULL), 1);
	place_put(p, "data", "in/never", SPAN("1"));
	assert_int_equal(jobs_after(p, NULL), 1);
	assert_int_equal(waiting(p), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(the_last_file_makes_the_job),
		CASE(a_file_that_went_again_is_waited_for),
		CASE(what_is_missing_at_last_is_told_by_the_job),
		CASE(what_is_wrong_with_it_makes_the_job_at_once),
		CASE(one_written_anew_takes_its_place_and_one_deleted_goes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
