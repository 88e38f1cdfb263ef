// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/clock.h"
#include "place.h"
#include "store/keeper.h"
#include "store/lifecycle.h"

#define HOUR (3600 * NS_PER_S)
#define DAY (24 * HOUR)

static atomic_bool go_on;

static void rules(struct place *p, const char *actions)
{
	auto_free char *doc =
		mem_printf("<LifecycleConfiguration><Rule><ID>r</ID><Prefix>d</Prefix>"
			   "<Status>Enabled</Status>%s</Rule></LifecycleConfiguration>",
			   actions);
	struct err e = { 0 };

	assert_int_equal(store_lifecycle_set(p->store, SPAN("photos"), span_of(doc), &e), 0);
}

static int64_t walk(struct place *p)
{
	struct err e = { 0 };

	return keeper_walk(p->store, &go_on, &e);
}

static uint64_t objects(struct place *p)
{
	struct store_bucket b;
	struct err e = { 0 };

	assert_int_equal(store_bucket_get(p->store, SPAN("photos"), &b, &e), 0);
	return b.objects;
}

static void due_is_at_the_midnight_after(void **state unused_arg)
{
	assert_true(keeper_due(10 * DAY + HOUR, 2, 86400) == 13 * DAY);
	assert_true(keeper_due(10 * DAY, 2, 86400) == 12 * DAY);
	assert_true(keeper_due(10 * DAY + HOUR, 2, 10) == 10 * DAY + HOUR + 20 * NS_PER_S);
}

static void many_keys_expire_in_pages(void **state)
{
	struct place *p = *state;
	char key[16];

	for (int i = 0; i < 1203; i++) {
		snprintf(key, sizeof(key), "d%04d", i);
		put(p, key, SPAN("x"));
	}
	put(p, "a", SPAN("x"));
	put(p, "z", SPAN("x"));
	rules(p, "<Expiration><Days>2</Days></Expiration>");
	assert_int_equal(walk(p), 0);
	clock_wall_shift(4 * DAY);
	assert_int_equal(walk(p), 1203);
	assert_string_equal(p->last_event, "s3:LifecycleExpiration:Delete");
	assert_int_equal(objects(p), 2);
	assert_int_equal(walk(p), 0);
	clock_wall_shift(0);
}

static void a_key_with_more_versions_than_a_page_keeps_the_newest(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };

	assert_int_equal(store_bucket_set_versioning(p->store, SPAN("photos"), STORE_VERSIONED, &e),
			 0);
	for (int i = 0; i < 1100; i++)
		put(p, "d", SPAN("x"));
	put(p, "e", SPAN("x"));
	rules(p, "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>"
		 "<NewerNoncurrentVersions>3</NewerNoncurrentVersions>"
		 "</NoncurrentVersionExpiration>");
	assert_int_equal(walk(p), 0);
	clock_wall_shift(3 * DAY);
	assert_int_equal(walk(p), 1096);
	assert_int_equal(objects(p), 5);
	rules(p, "<Expiration><Days>1</Days></Expiration>");
	assert_int_equal(walk(p), 1); // a marker comes on top of the key
	assert_string_equal(p->last_event, "s3:LifecycleExpiration:DeleteMarkerCreated");
	assert_int_equal(objects(p), 5);
	clock_wall_shift(0);
}

static void nobody_completes_stale_uploads(void **state)
{
	struct place *p = *state;
	struct store_put_options o = { .bucket = SPAN("photos"), .key = SPAN("up"), .owner = 1 };
	char id[STORE_UPLOAD_ID_MAX];
	struct store_upload *found;
	struct store_object part;
	struct store_put *w;
	struct err e = { 0 };
	bool more;
	size_t n;

	for (int i = 0; i < 150; i++)
		assert_int_equal(store_upload_create(p->store, &o, SPAN(""), id, &e), 0);
	assert_int_equal(store_put_begin_part(p->store, o.bucket, o.key, span_of(id), 1, 5, &w, &e),
			 0);
	assert_int_equal(store_put_write(w, SPAN("12345"), &e), 0);
	assert_int_equal(store_put_finish(w, &p->mem, &part, &e), 0);
	clock_wall_shift(6 * DAY);
	assert_int_equal(walk(p), 0);
	clock_wall_shift(8 * DAY);
	assert_int_equal(walk(p), 150);
	clock_wall_shift(0);
	assert_int_equal(store_upload_list(p->store, o.bucket, SPAN(""), SPAN(""), SPAN(""), 10,
					   &p->mem, &found, &n, &more, &e),
			 0);
	assert_int_equal(n, 0);
	wait_for_files(p, 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(due_is_at_the_midnight_after),
		CASE(many_keys_expire_in_pages),
		CASE(a_key_with_more_versions_than_a_page_keeps_the_newest),
		CASE(nobody_completes_stale_uploads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
