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

#define DAY (24 * 3600 * NS_PER_S)

static void keep_versions(struct place *p, enum store_versioning v)
{
	struct err e = { 0 };

	assert_int_equal(store_bucket_set_versioning(p->store, SPAN("photos"), v, &e), 0);
}

static int find(struct place *p, const char *key, int64_t version, struct store_object *o,
		struct err *e)
{
	return store_object_get(p->store, SPAN("photos"), span_of(key), version, &p->mem, o, e);
}

static void versions_stay_until_they_are_named(void **state)
{
	struct place *p = *state;
	struct store_object null, first, second, got;
	struct store_deleted done;
	struct err e = { 0 };

	null = put(p, "a", SPAN("0"));
	keep_versions(p, STORE_VERSIONED);
	first = put(p, "a", pattern(p, 40000));
	second = put(p, "a", SPAN("2"));
	assert_false(first.null_version || second.null_version);
	assert_int_equal(find(p, "a", STORE_VERSION_NULL, &got, &e), 0);
	assert_int_equal(got.version, null.version);
	assert_int_equal(files_in_content(p), 1);
	assert_int_equal(drop(p->store, SPAN("photos"), SPAN("a"), 0, &done, &e), 0);
	assert_true(done.delete_marker);
	assert_string_equal(p->last_event, "s3:ObjectRemoved:DeleteMarkerCreated");
	assert_int_equal(find(p, "a", 0, &got, &e), -1);
	assert_int_equal(e.sys, STORE_NO_KEY);
	assert_true(got.delete_marker);
	assert_int_equal(find(p, "a", done.version, &got, &e), -1);
	assert_int_equal(e.sys, STORE_DELETE_MARKER);
	assert_int_equal(store_bucket_delete(p->store, SPAN("photos"), &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(drop(p->store, SPAN("photos"), SPAN("a"), done.version, &done, &e), 0);
	assert_content(p, "a", SPAN("2"));
	assert_int_equal(drop(p->store, SPAN("photos"), SPAN("a"), second.version, &done, &e), 0);
	assert_content(p, "a", pattern(p, 40000));
	assert_string_equal(p->last_event, "s3:ObjectRemoved:Delete");
	assert_int_equal(drop(p->store, SPAN("photos"), SPAN("a"), first.version, &done, &e), 0);
	wait_for_files(p, 0);
}

static void a_suspended_bucket_replaces_the_null_version_only(void **state)
{
	struct place *p = *state;
	struct store_object kept, got;
	struct store_deleted done;
	struct err e = { 0 };

	put(p, "a", SPAN("old"));
	keep_versions(p, STORE_VERSIONED);
	kept = put(p, "a", SPAN("kept"));
	keep_versions(p, STORE_SUSPENDED);
	assert_true(put(p, "a", SPAN("new")).null_version);
	assert_int_equal(drop(p->store, SPAN("photos"), SPAN("a"), 0, &done, &e), 0);
	assert_true(done.delete_marker && done.null_version);
	assert_int_equal(find(p, "a", kept.version, &got, &e), 0);
	assert_int_equal(find(p, "a", STORE_VERSION_NULL, &got, &e), -1);
	assert_int_equal(e.sys, STORE_DELETE_MARKER);
}

static void a_locked_version_stays(void **state)
{
	struct place *p = *state;
	struct store_delete_item it = { .key = SPAN("a") };
	struct store_lock lock = { .mode = STORE_LOCK_GOVERNANCE };
	struct store_lock_default days = { STORE_LOCK_COMPLIANCE, 1, 0 };
	struct store_object o;
	struct err e = { 0 };

	assert_int_equal(store_bucket_set_retention(p->store, SPAN("photos"), &days, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	keep_versions(p, STORE_VERSIONED);
	assert_int_equal(store_bucket_set_retention(p->store, SPAN("photos"), &days, &e), 0);
	assert_int_equal(store_bucket_set_versioning(p->store, SPAN("photos"), STORE_SUSPENDED, &e),
			 -1);
	o = put(p, "a", SPAN("x"));
	assert_int_equal(o.lock.mode, STORE_LOCK_COMPLIANCE);
	assert_true(o.lock.until_ns == o.mtime_ns + DAY);
	it.version = o.version;
	it.bypass = true;
	assert_int_equal(store_delete(p->store, SPAN("photos"), &it, NULL, &e), -1);
	assert_int_equal(e.code, ERR_DENIED);
	lock.until_ns = o.lock.until_ns + DAY;
	assert_int_equal(store_retention_set(p->store, SPAN("photos"), SPAN("a"), 0, &lock, true,
					     NULL, &e),
			 -1);
	assert_int_equal(e.code, ERR_DENIED);
	assert_int_equal(store_hold_set(p->store, SPAN("photos"), SPAN("a"), 0, true, NULL, &e), 0);
	clock_wall_shift(2 * DAY);
	assert_int_equal(store_delete(p->store, SPAN("photos"), &it, NULL, &e), -1);
	assert_int_equal(store_hold_set(p->store, SPAN("photos"), SPAN("a"), 0, false, NULL, &e),
			 0);
	assert_int_equal(store_delete(p->store, SPAN("photos"), &it, NULL, &e), 0);
	clock_wall_shift(0);
}

static int try_put(struct place *p, const char *key, size_t size, struct err *e)
{
	struct store_put_options o = {
		.bucket = SPAN("photos"), .key = span_of(key), .owner = 1, .size = size
	};
	struct store_object out;
	struct store_put *w;

	assert_int_equal(store_put_begin(p->store, &o, &w, e), 0);
	assert_int_equal(store_put_write(w, pattern(p, size), e), 0);
	return store_put_finish(w, &p->mem, &out, e);
}

static void quotas_bound_buckets_and_users(void **state)
{
	struct place *p = *state;
	struct store_quota quota = { .bytes = 100000 }, none = { 0 }, used;
	struct err e = { 0 };

	assert_int_equal(store_bucket_set_quota(p->store, SPAN("photos"), &quota, &e), 0);
	assert_int_equal(try_put(p, "a", 60000, &e), 0);
	assert_int_equal(try_put(p, "b", 60000, &e), -1);
	assert_true(e.code == ERR_LIMIT && e.sys == STORE_OVER_QUOTA);
	assert_int_equal(try_put(p, "a", 90000, &e), 0); // in place of the one that was there
	wait_for_files(p, 1);
	assert_int_equal(store_bucket_set_quota(p->store, SPAN("photos"), &none, &e), 0);
	quota = (struct store_quota){ .objects = 2 };
	assert_int_equal(store_user_set_quota(p->store, 1, &quota, &e), 0);
	assert_int_equal(try_put(p, "b", 1, &e), 0);
	assert_int_equal(try_put(p, "c", 1, &e), -1);
	assert_int_equal(e.sys, STORE_OVER_QUOTA);
	assert_int_equal(store_user_quota(p->store, 1, &quota, &used, &e), 0);
	assert_true(used.objects == 2 && used.bytes == 90001 && quota.objects == 2);
	assert_int_equal(store_user_set_quota(p->store, 1, &none, &e), 0);
	assert_int_equal(try_put(p, "c", 1, &e), 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(versions_stay_until_they_are_named),
		CASE(a_suspended_bucket_replaces_the_null_version_only),
		CASE(a_locked_version_stays),
		CASE(quotas_bound_buckets_and_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
