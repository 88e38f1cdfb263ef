// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "place.h"
#include "store/hot.h"
#include "store/lifecycle.h"

#include <stdatomic.h>

static struct store_object look(struct place *p, const char *key)
{
	struct store_object o;
	struct err e = { 0 };

	assert_int_equal(
		store_object_get(p->store, SPAN("photos"), span_of(key), 0, &p->mem, &o, &e), 0);
	return o;
}

static struct store_bucket look_bucket(struct place *p)
{
	struct store_bucket b;
	struct err e = { 0 };

	assert_int_equal(store_bucket_look(p->store, SPAN("photos"), &b, &e), 0);
	return b;
}

static void every_change_of_an_object_is_seen(void **state)
{
	struct place *p = *state;
	struct store_object o, ignored;
	struct store_deleted done;
	struct err e = { 0 };

	for (int i = 0; i < 3; i++) {
		auto_free char *text = mem_printf("number %d", i);

		o = put(p, "a", span_of(text));
		for (int k = 0; k < 2; k++) {
			assert_content(p, "a", span_of(text));
			assert_int_equal(look(p, "a").version, o.version);
			assert_string_equal(look(p, "a").etag, o.etag);
		}
	}
	assert_int_equal(store_tags_set(p->store, SPAN("photos"), SPAN("a"), 0, SPAN("k=v"), NULL,
					&ignored, &e),
			 0);
	assert_true(span_is(look(p, "a").tags, "k=v"));
	assert_int_equal(
		store_acl_set(p->store, SPAN("photos"), SPAN("a"), 0, SPAN("acl"), NULL, &e), 0);
	assert_true(span_is(look(p, "a").acl, "acl"));
	assert_true(span_is(look(p, "a").tags, "k=v"));
	put(p, "a", pattern(p, 40000)); // now in a file
	assert_content(p, "a", pattern(p, 40000));
	assert_content(p, "a", pattern(p, 40000));
	assert_int_equal(drop(p->store, SPAN("photos"), SPAN("a"), 0, &done, &e), 0);
	assert_int_equal(store_object_get(p->store, SPAN("photos"), SPAN("a"), 0, &p->mem, &o, &e),
			 -1);
	assert_int_equal(e.sys, STORE_NO_KEY);
}

static void a_head_first_leaves_the_bytes_to_be_read(void **state)
{
	struct place *p = *state;

	put(p, "a", SPAN("bytes"));
	look(p, "a");
	assert_content(p, "a", SPAN("bytes"));
	assert_content(p, "a", SPAN("bytes"));
}

static void every_change_of_a_bucket_is_seen(void **state)
{
	struct place *p = *state;
	struct store_quota quota = { 1000000, 10 };
	struct store_lock_default days = { STORE_LOCK_GOVERNANCE, 1, 0 };
	struct store_bucket b = look_bucket(p), again;
	struct err e = { 0 };

	assert_int_equal(store_bucket_set_visibility(p->store, SPAN("photos"), 2, &e), 0);
	assert_int_equal(look_bucket(p).visibility, 2);
	assert_int_equal(store_bucket_set_quota(p->store, SPAN("photos"), &quota, &e), 0);
	assert_true(look_bucket(p).quota.bytes == 1000000);
	assert_int_equal(store_lifecycle_set(p->store, SPAN("photos"),
					     SPAN("<LifecycleConfiguration/>"), &e),
			 0);
	assert_true(look_bucket(p).lifecycle);
	assert_int_equal(store_bucket_set_versioning(p->store, SPAN("photos"), STORE_VERSIONED, &e),
			 0);
	assert_int_equal(look_bucket(p).versioning, STORE_VERSIONED);
	assert_int_equal(store_bucket_set_retention(p->store, SPAN("photos"), &days, &e), 0);
	assert_true(look_bucket(p).lockable);
	assert_int_equal(store_bucket_delete(p->store, SPAN("photos"), &e), 0);
	assert_int_equal(store_bucket_look(p->store, SPAN("photos"), &again, &e), -1);
	assert_int_equal(store_bucket_create(p->store, SPAN("photos"), 1, 0, &again, &e), 0);
	assert_true(look_bucket(p).id == again.id && again.id != b.id);
	assert_false(look_bucket(p).lockable);
}

// A reader that began before a change must not put the row of then back into memory after it.
static void what_an_older_moment_saw_is_not_kept(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };

	put(p, "a", SPAN("old"));
	put(p, "b", SPAN("other"));
	store_read_begin(p->store);
	assert_content(p, "b", SPAN("other")); // the first query: the moment
	put(p, "a", SPAN("new"));
	assert_int_equal(store_bucket_set_visibility(p->store, SPAN("photos"), 2, &e), 0);
	assert_content(p, "a", SPAN("old"));
	assert_int_equal(look_bucket(p).visibility, 0);
	store_read_end(p->store);
	assert_content(p, "a", SPAN("new"));
	assert_int_equal(look_bucket(p).visibility, 2);
}

// The file of what an older moment saw may be gone.
static void a_content_that_went_is_looked_for_anew(void **state)
{
	struct place *p = *state;

	put(p, "a", pattern(p, 40000));
	put(p, "b", SPAN("other"));
	store_read_begin(p->store);
	assert_content(p, "b", SPAN("other")); // the first query: the moment
	put(p, "a", pattern(p, 50000));
	wait_for_files(p, 1);
	assert_content(p, "a", pattern(p, 50000));
	store_read_end(p->store);
}

// Found without the database or not at all.
static bool is_hot(struct place *p, struct hot *h, const struct store_bucket *b, const char *key)
{
	struct store_object o;
	struct content at;

	return hot_object(h, b, span_of(key), &p->mem, &o, &at, NULL, NULL);
}

static void keep(struct hot *h, const struct store_bucket *b, int number, struct span body)
{
	auto_free char *key = mem_printf("key-%d", number);
	struct store_object o = { .key = span_of(key), .bucket_id = b->id, .size = body.n };

	hot_object_keep(h, UINT64_MAX - 1, &o, (struct content){ 0 }, body);
}

static void memory_is_bounded_and_what_is_used_stays(void **state)
{
	struct place *p = *state;
	struct store_bucket b = look_bucket(p);
	struct hot *h = hot_new(p->db, 64 << 10);
	struct span body = pattern(p, 1000);
	size_t kept = 0, lost = 0;

	keep(h, &b, 0, body);
	for (int i = 1; i < 1000; i++) {
		keep(h, &b, i, body);
		if (is_hot(p, h, &b, "key-0"))
			continue;
		lost++; // pushed out by a key of the same spot, of which there is none or one
		keep(h, &b, 0, body);
	}
	assert_in_range(lost, 0, 5); // it would be 20 were it not for its use
	for (int i = 0; i < 1000; i++) {
		auto_free char *key = mem_printf("key-%d", i);

		kept += is_hot(p, h, &b, key);
	}
	assert_in_range(kept, 20, 64);
	body = pattern(p, 5000); // more than its share
	hot_object_keep(h, UINT64_MAX - 1,
			&(struct store_object){ .key = SPAN("big"), .bucket_id = b.id },
			(struct content){ 0 }, body);
	assert_false(is_hot(p, h, &b, "big"));
	hot_free(h);
}

struct race {
	struct place *p;
	_Atomic int acked, stop;
};

static void *read_on(void *arg)
{
	struct race *race = arg;
	uint64_t last = 0;

	while (!atomic_load(&race->stop)) {
		auto_reader struct store_reader *r = NULL;
		auto_arena struct arena mem = { 0 };
		uint64_t before = (uint64_t)atomic_load(&race->acked), got = 0;
		struct store_object o;
		char text[16] = "";
		struct err e = { 0 };

		check(store_reader_open(race->p->store, SPAN("photos"), SPAN("n"), 0, &mem, &o, &r,
					&e) == 0);
		check(store_reader_pread(r, 0, text, sizeof(text) - 1, &e) > 0);
		check(span_to_u64(span_of(text), &got));
		check(got >= before && got >= last);
		last = got;
	}
	return NULL;
}

static void readers_never_see_an_older_one_than_was_told(void **state)
{
	struct race race = { .p = *state };
	pthread_t readers[2];

	put(race.p, "n", SPAN("0"));
	for (size_t i = 0; i < ARRAY_LEN(readers); i++)
		check(pthread_create(&readers[i], NULL, read_on, &race) == 0);
	for (int i = 1; i <= 300; i++) {
		auto_free char *text = mem_printf("%d", i);

		put(race.p, "n", span_of(text));
		atomic_store(&race.acked, i);
	}
	atomic_store(&race.stop, 1);
	for (size_t i = 0; i < ARRAY_LEN(readers); i++)
		pthread_join(readers[i], NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_change_of_an_object_is_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(a_head_first_leaves_the_bytes_to_be_read, setup,
						teardown),
		cmocka_unit_test_setup_teardown(every_change_of_a_bucket_is_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(what_an_older_moment_saw_is_not_kept, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_content_that_went_is_looked_for_anew, setup,
						teardown),
		cmocka_unit_test_setup_teardown(memory_is_bounded_and_what_is_used_stays, setup,
						teardown),
		cmocka_unit_test_setup_teardown(readers_never_see_an_older_one_than_was_told, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
