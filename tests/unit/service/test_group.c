// SPDX-License-Identifier: Apache-2.0
// Files that make one job together.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/clock.h"
#include "codec/json.h"
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

#define SERVICE(more)                                                                              \
	"{'name':'many','image':'host','script':'s'," more                                         \
	"'input':[{'path':'data/in','storage_provider':'minio.default','group':{'count':3,"        \
	"'wait':60}}]}"

static struct service_group *open_groups(struct place *p, size_t *n)
{
	struct service_group *g;
	struct err e = { 0 };

	assert_int_equal(
		service_groups(p->services, place_service_id(p, "many"), 0, &p->mem, &g, n, &e), 0);
	return g;
}

static size_t waiting(struct place *p)
{
	size_t n, files = 0;
	struct service_group *g = open_groups(p, &n);

	for (size_t i = 0; i < n; i++)
		files += g[i].files;
	return files;
}

static void step(struct place *p)
{
	struct err e = { 0 };

	if (group_step(p->services, &e) < 0)
		fail_msg("%s", e.msg);
}

// The keys in the payload of a job's event, with blanks between.
static const char *keys_of(struct place *p, const struct queue_job *j)
{
	auto_json json_t *root = NULL;
	struct span payload;
	struct err e = { 0 };
	const char *all = "";
	json_t *r;
	size_t i;

	assert_int_equal(queue_payload(p->queue, j->id, &p->mem, &payload, &e), 0);
	assert_int_equal(codec_json_parse(payload, 1 << 20, &root, &e), 0);
	json_array_foreach(json_object_get(root, "Records"), i, r) all =
		arena_printf(&p->mem, "%s%s ", all,
			     json_string_value(json_object_get(
				     json_object_get(json_object_get(r, "s3"), "object"), "key")));
	return all;
}

static void the_last_file_makes_the_job(void **state)
{
	struct place *p = *state;
	struct queue_job *jobs;

	place_create(p, place_admin(), SERVICE(""));
	place_put(p, "data", "in/b", SPAN("1"));
	place_put(p, "data", "in/a", SPAN("2"));
	place_put(p, "data", "other/c", SPAN("3")); // not of the input
	place_put(p, "data", "in/a", SPAN("4"));    // in place of the one before
	assert_int_equal(place_jobs(p, "many", NULL), 0);
	assert_int_equal(waiting(p), 2);
	place_put(p, "data", "in/c", SPAN("5"));
	assert_int_equal(place_jobs(p, "many", &jobs), 1);
	assert_string_equal(keys_of(p, &jobs[0]), "in%2Fa in%2Fb in%2Fc ");
	assert_true(span_is(jobs[0].key, "in/a"));
	assert_int_equal(waiting(p), 0);
	for (int i = 0; i < 6; i++)
		place_put(p, "data", arena_printf(&p->mem, "in/%d", i), SPAN("x"));
	assert_int_equal(place_jobs(p, "many", NULL), 3);
}

static void what_waited_for_long_enough_makes_a_job(void **state)
{
	struct place *p = *state;
	struct queue_job *jobs;

	place_create(p, place_admin(), SERVICE(""));
	place_put(p, "data", "in/a", SPAN("1"));
	clock_wall_shift(59 * NS_PER_S);
	place_put(p, "data", "in/b", SPAN("2")); // which does not make the first wait longer
	step(p);
	assert_int_equal(place_jobs(p, "many", NULL), 0);
	clock_wall_shift(61 * NS_PER_S);
	step(p);
	assert_int_equal(place_jobs(p, "many", &jobs), 1);
	assert_string_equal(keys_of(p, &jobs[0]), "in%2Fa in%2Fb ");
	step(p);
	assert_int_equal(place_jobs(p, "many", NULL), 1);
}

static void what_waits_is_there_after_a_restart(void **state)
{
	struct place *p = *state;

	place_create(p, place_admin(), SERVICE(""));
	place_put(p, "data", "in/a", SPAN("1"));
	place_put(p, "data", "in/b", SPAN("2"));
	place_close(p);
	place_open(p);
	assert_int_equal(waiting(p), 2);
	place_put(p, "data", "in/c", SPAN("3"));
	assert_int_equal(place_jobs(p, "many", NULL), 1);
	assert_int_equal(waiting(p), 0);
}

// An upload that would make a job of a full queue is refused with it, and the others wait on.
static void a_full_queue_pushes_back(void **state)
{
	struct place *p = *state;
	struct store_object made;
	struct err e = { 0 };

	place_create(p, place_admin(), SERVICE("'queue':{'max':1},"));
	for (int i = 0; i < 5; i++)
		place_put(p, "data", arena_printf(&p->mem, "in/%d", i), SPAN("x"));
	assert_int_equal(place_jobs(p, "many", NULL), 1);
	assert_int_equal(waiting(p), 2);
	assert_int_equal(place_try_put(p, "data", "in/f", SPAN("x"), NULL, &e), -1);
	assert_int_equal(e.code, ERR_BUSY);
	assert_int_equal(waiting(p), 2);
	assert_int_equal(
		store_object_get(p->store, SPAN("data"), SPAN("in/f"), 0, &p->mem, &made, &e), -1);
	clock_wall_shift(61 * NS_PER_S);
	assert_int_equal(group_step(p->services, &e), -1);
	assert_int_equal(e.code, ERR_BUSY);
	assert_int_equal(waiting(p), 2);
}

static void a_new_revision_closes_and_the_end_forgets(void **state)
{
	struct place *p = *state;
	struct service_caller admin = place_admin();
	struct queue_job *jobs;
	struct err e = { 0 };
	size_t n;

	place_create(p, admin, SERVICE(""));
	place_put(p, "data", "in/a", SPAN("1"));
	assert_int_equal(service_update(p->services, &admin, place_fdl(p, SERVICE("")), &e), 0);
	place_put(p, "data", "in/b", SPAN("2")); // begins another one
	assert_int_equal(open_groups(p, &n)[0].due_ns, 0);
	assert_int_equal(n, 2);
	step(p);
	assert_int_equal(place_jobs(p, "many", &jobs), 1);
	assert_string_equal(keys_of(p, &jobs[0]), "in%2Fa ");
	assert_int_equal(jobs[0].revision, 2);
	assert_int_equal(waiting(p), 1);
	assert_int_equal(service_remove(p->services, &admin, SPAN("many"), false, &e), 0);
	place_create(p, admin, SERVICE(""));
	assert_int_equal(waiting(p), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_last_file_makes_the_job, setup, teardown),
		cmocka_unit_test_setup_teardown(what_waited_for_long_enough_makes_a_job, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_waits_is_there_after_a_restart, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_full_queue_pushes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(a_new_revision_closes_and_the_end_forgets, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
