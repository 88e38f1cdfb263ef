// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "codec/json.h"
#include "db/feed.h"
#include "place.h"

static int setup(void **state)
{
	struct place *p = mem_zalloc(sizeof(*p));

	p->depth_max = 5;
	place_init(p);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	place_release(*state);
	mem_free(*state);
	return 0;
}

#define IN(name, path, more)                                                                       \
	"{'name':'" name "','image':'host','script':'s','input':[{'path':'" path                   \
	"','storage_provider':'minio.default'" more "}]}"

// Which of the keys make a job for an input at "data/in" with these filters?
static void filters_decide(void **state)
{
	static const struct {
		const char *key;
		bool plain, prefix, suffix, both;
	} rows[] = {
		{ "in/a.jpg", true, true, true, true },
		{ "in/a.png", true, true, false, false },
		{ "in/b.jpg", true, false, true, false },
		{ "in/b.png", true, false, false, false },
		{ "in/a", true, true, false, false },
		{ "in/.jpg", true, false, true, false },
		{ "in/sub/a.jpg", true, false, true, false },
		{ "in/a/x.jpg", true, true, true, true },
		{ "in/A.JPG", true, false, false, false },
		{ "in/", false, false, false, false }, // the folder itself
		{ "in", false, false, false, false },
		{ "inn/a.jpg", false, false, false, false },
		{ "a.jpg", false, false, false, false },
		{ "x/in/a.jpg", false, false, false, false },
	};
	struct place *p = *state;
	size_t had[4] = { 0 };

	place_create(p, place_admin(), IN("plain", "data/in", ""));
	place_create(p, place_admin(), IN("prefix", "data/in", ",'prefix':['a']"));
	place_create(p, place_admin(), IN("suffix", "data/in", ",'suffix':['.jpg']"));
	place_create(p, place_admin(), IN("both", "data/in", ",'prefix':['a'],'suffix':['.jpg']"));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const bool expected[] = { rows[i].plain, rows[i].prefix, rows[i].suffix,
					  rows[i].both };
		static const char *const names[] = { "plain", "prefix", "suffix", "both" };

		print_message("# %s\n", rows[i].key);
		place_put(p, "data", rows[i].key, SPAN("x"));
		for (size_t k = 0; k < 4; k++) {
			had[k] += expected[k];
			assert_int_equal(place_jobs(p, names[k], NULL), had[k]);
		}
	}
}

static void an_event_says_what_was_stored(void **state)
{
	struct place *p = *state;
	auto_json json_t *root = NULL;
	struct queue_job *jobs;
	struct span payload;
	struct err e = { 0 };

	place_create(p, place_admin(), IN("one", "data/in", ""));
	place_put(p, "data", "in/my photo+\xc3\xa4.jpg", SPAN("four"));
	assert_int_equal(place_jobs(p, "one", &jobs), 1);
	assert_int_equal(jobs[0].state, QUEUE_QUEUED);
	assert_true(span_is(jobs[0].key, "in/my photo+\xc3\xa4.jpg"));
	assert_int_equal(queue_payload(p->queue, jobs[0].id, &p->mem, &payload, &e), 0);
	assert_int_equal(codec_json_parse(payload, 1 << 16, &root, &e), 0);
	json_t *r = json_array_get(json_object_get(root, "Records"), 0);
	json_t *s3 = json_object_get(r, "s3"), *o = json_object_get(s3, "object");

	assert_string_equal(json_string_value(json_object_get(r, "eventSource")), "minio:s3");
	assert_string_equal(json_string_value(json_object_get(o, "key")),
			    "in%2Fmy+photo%2B%C3%A4.jpg");
	assert_int_equal(json_integer_value(json_object_get(o, "size")), 4);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(s3, "bucket"), "name")), "data");
	assert_string_equal(json_string_value(json_object_get(root, "Key")),
			    "data/in/my photo+\xc3\xa4.jpg");
}

struct again {
	struct place *p;
	struct store_event ev;
};

static int tell_again(struct db_conn *c, void *arg, struct err *e)
{
	struct again *a = arg;

	return service_object_changed(a->p->services, c, &a->ev, e);
}

static void the_same_event_makes_one_job(void **state)
{
	struct place *p = *state;
	struct store_object o;
	struct err e = { 0 };

	place_create(p, place_admin(), IN("one", "data/in", ""));
	place_put(p, "data", "in/a", SPAN("x"));
	assert_int_equal(store_object_get(p->store, SPAN("data"), SPAN("in/a"), 0, &p->mem, &o, &e),
			 0);
	struct again a = { p,
			   { .name = "s3:ObjectCreated:Put",
			     .bucket_id = o.bucket_id,
			     .bucket = SPAN("data"),
			     .key = SPAN("in/a"),
			     .version = o.version,
			     .size = 1,
			     .etag = span_of(o.etag) } };

	for (int i = 0; i < 5; i++)
		assert_int_equal(db_write(p->db, tell_again, &a, &e), 0);
	assert_int_equal(place_jobs(p, "one", NULL), 1);
	place_put(p, "data", "in/a",
		  SPAN("x")); // a new version is a new event, though the bytes are equal
	assert_int_equal(place_jobs(p, "one", NULL), 2);
	a.ev.name = "s3:ObjectRemoved:Delete";
	a.ev.version += 100;
	assert_int_equal(db_write(p->db, tell_again, &a, &e), 0);
	assert_int_equal(place_jobs(p, "one", NULL), 2);
}

// Two inputs of one service and inputs of two services: a job for each.
static void every_input_that_matches_is_triggered(void **state)
{
	struct place *p = *state;

	place_create(p, place_admin(),
		     "{'name':'two','image':'host','script':'s','input':["
		     "{'path':'data/in','storage_provider':'minio.default'},"
		     "{'path':'data/in/sub','storage_provider':'minio.default'}]}");
	place_create(p, place_admin(), IN("other", "data/in/sub", ""));
	place_put(p, "data", "in/sub/x", SPAN("x"));
	assert_int_equal(place_jobs(p, "two", NULL), 2);
	assert_int_equal(place_jobs(p, "other", NULL), 1);
	place_put(p, "data", "in/x", SPAN("x"));
	assert_int_equal(place_jobs(p, "two", NULL), 3);
	assert_int_equal(place_jobs(p, "other", NULL), 1);
}

// A path of one part is a folder of the bucket that is named like the service.
static void a_path_of_one_part_is_below_the_services_own_bucket(void **state)
{
	struct place *p = *state;

	place_create(p, place_admin(), IN("single", "in", ""));
	place_put(p, "single", "in/x", SPAN("x"));
	assert_int_equal(place_jobs(p, "single", NULL), 1);
}

// The bound of last resort: a chain that the check of definitions could not see.
static void a_chain_ends_at_its_depth(void **state)
{
	struct place *p = *state;
	struct store_cause by = { .run = 0 };
	struct queue_job *jobs;
	struct err e = { 0 };
	char key[16];

	place_create(p, place_admin(), IN("one", "data/in", ""));
	place_put(p, "data", "in/0", SPAN("x"));
	assert_int_equal(place_jobs(p, "one", &jobs), 1);
	assert_int_equal(jobs[0].depth, 0);
	by.run = jobs[0].run;
	assert_true(by.run != 0);
	for (by.depth = 1; by.depth <= 8; by.depth++) {
		snprintf(key, sizeof(key), "in/%u", by.depth);
		assert_int_equal(place_try_put(p, "data", key, SPAN("x"), &by, &e), 0);
	}
	assert_int_equal(place_jobs(p, "one", &jobs), 5); // depth 0 … 4
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(jobs[i].run, by.run);
		assert_int_equal(jobs[i].depth, 4 - i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		CASE(filters_decide),
		CASE(an_event_says_what_was_stored),
		CASE(the_same_event_makes_one_job),
		CASE(every_input_that_matches_is_triggered),
		CASE(a_path_of_one_part_is_below_the_services_own_bucket),
		CASE(a_chain_ends_at_its_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
